"""Parallel coordinates of a study: one line a trial, one axis a parameter, coloured by the metric.

Plain lines: plotly's own kind needs WebGL and compiles code in the browser, which our content policy forbids, and
Optuna's makes one trace a trial, which is slow for a thousand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

_COLOURS = ("#3b6fb6", "#5b6fd0", "#8561c5", "#a855b5", "#c9479a", "#dd4a6f", "#e5603f", "#e07b00")
"""From low metrics to high ones; each is readable on white and on black."""
_FEWEST = 3
"""Trials of one colour: a legend with a line for each trial can't be read."""
_LABEL = 22
_BEYOND = 1.035
"""Where an axis's end is written: above the box of a range that reaches it."""


def parallel(study: Any, parameters: Sequence[str]) -> dict[str, Any]:
    """A plotly figure of the trials that have all of ``parameters``, and what a browser needs to filter it.

    ``axes``: name and scale of each, ``low``, ``high``, ``log`` or the ``options`` of a choice. A trace's
    ``meta``: the numbers of its trials, in the order of its lines.
    """
    trials = sorted(
        (t for t in study.trials if all(p in t.params for p in parameters)), key=lambda t: t.value
    )
    axes = [_numbers("objective", [t.value for t in trials])]
    axes += [_axis(name, trials) for name in parameters]
    share = max(_FEWEST, math.ceil(len(trials) / len(_COLOURS)))
    data = []
    for index, begin in enumerate(range(0, len(trials), share)):
        group = range(begin, min(begin + share, len(trials)))
        low, high = trials[group[0]].value, trials[group[-1]].value
        colour = _COLOURS[round(index * (len(_COLOURS) - 1) / max(1, (len(trials) - 1) // share))]
        name = f"{low:.4g}" if low == high else f"{low:.4g} … {high:.4g}"
        data.append(_lines(name, colour, [trials[n] for n in group], group, axes))
    ticks = [_short(axis["name"]) for axis in axes]
    layout = {
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": ticks,
            "zeroline": False,
            "range": [-0.25, len(axes) - 0.75],
        },
        "yaxis": {"visible": False, "range": [-0.08, 1.08]},
        "annotations": [note for place, axis in enumerate(axes) for note in _ends(place, axis)],
        "hovermode": "closest",
    }
    scales = [{"name": axis["name"], **axis["scale"]} for axis in axes]
    return {"data": data, "layout": layout, "axes": scales}


def _axis(name: str, trials: Sequence[Any]) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution

    values = [t.params[name] for t in trials]
    distribution = trials[0].distributions[name] if trials else None
    if not isinstance(distribution, CategoricalDistribution):
        return _numbers(name, values, log=bool(getattr(distribution, "log", False)))
    options = sorted(set(values), key=_order)
    step = 1 / max(1, len(options) - 1)
    places = [options.index(v) * step for v in values]
    return {
        "name": name,
        "at": places,
        "low": options[0] if options else "",
        "high": options[-1] if options else "",
        "scale": {"options": options},
    }


def _order(option: Any) -> tuple[int, list[float], str]:
    """Numbers by size, then lists of numbers (texts here) by theirs, then other texts."""
    if not isinstance(option, str):
        return 0, [float(option or 0)], ""
    try:
        return 1, [float(number) for number in json.loads(option)], ""
    except (TypeError, ValueError):
        return 2, [], option


def _numbers(name: str, values: Sequence[float], *, log: bool = False) -> dict[str, Any]:
    scaled = [math.log(v) if log else float(v) for v in values]
    low, high = min(scaled, default=0.0), max(scaled, default=1.0)
    width = (high - low) or 1.0
    ends = (f"{min(values, default=0):.4g}", f"{max(values, default=1):.4g}")
    return {
        "name": name,
        "at": [(v - low) / width for v in scaled],
        "low": ends[0],
        "high": ends[1],
        "scale": {"low": min(values, default=0), "high": max(values, default=1), "log": log},
    }


def _lines(
    name: str, colour: str, trials: Sequence[Any], group: Sequence[int], axes: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Lines of several trials as one trace, with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for trial, place in zip(trials, group, strict=True):
        x += [*range(len(axes)), None]
        y += [*(round(axis["at"][place], 4) for axis in axes), None]
        said = [f"{axis['name']} = {trial.params.get(axis['name'], trial.value)}" for axis in axes]
        text += [*(f"#{trial.user_attrs['trial']}: {each}" for each in said), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "meta": [trial.user_attrs["trial"] for trial in trials],
        "x": x,
        "y": y,
        "text": text,
        "line": {"color": colour, "width": 1.2},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _ends(place: int, axis: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"x": place, "showarrow": False}
    return [
        {**common, "y": _BEYOND, "yanchor": "bottom", "text": _short(str(axis["high"]))},
        {**common, "y": 1 - _BEYOND, "yanchor": "top", "text": _short(str(axis["low"]))},
    ]


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else f"…{text[1 - _LABEL :]}"
