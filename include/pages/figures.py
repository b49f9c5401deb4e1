"""Plots of a whole search as plotly figures in JSON: Optuna draws them, a few plain ones are made here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from include.errors import NotFoundError
from include.experiments.chain_plan import plan_of
from include.experiments.report import days_of_trials, json_ready
from include.experiments.trial_starter import BASELINE
from include.pages.parallel import parallel
from include.pages.study import study_of
from include.search.trial import TrialState
from include.store import Experiment, ExperimentStore, RecordedResult, Step, Trial

Figure = dict[str, Any]
Curves = dict[int, tuple[list[Any], list[Any]]]
"""By trial: where its points lie, and their values."""
_MOST_PARAMETERS = {"parallel": 12, "slice": 4, "contour": 2}
"""Shown without a choice, the most important first: more would not be readable."""
_MOST_CHOSEN = {"parallel": 24, "slice": 8, "contour": 3}
"""Shown by choice: contours have a panel for each pair, which take the server seconds and a browser longer."""
_MARKED = 2000
"""Points that a browser still draws quickly with a mark on each."""
_LABELLED = 300
"""Bars that are wide enough for a number, and few enough to draw one on each."""
COLOURS = {
    TrialState.SUCCEEDED: "#16a34a",
    TrialState.EARLY_STOPPED: "#8b5cf6",
    TrialState.FAILED: "#dc2626",
    TrialState.CANCELLED: "#a1a1aa",
    TrialState.RUNNING: "#2563eb",
    TrialState.SUBMITTED: "#60a5fa",
    TrialState.WAITING: "#a1a1aa",
}


def figure(
    store: ExperimentStore,
    experiment_id: str,
    name: str,
    *,
    parameters: Sequence[str] = (),
    trials: Sequence[int] = (),
    now: datetime,
) -> Figure:
    """One plot: ``data`` and ``layout`` for plotly; ``empty`` says what is missing where there is nothing.

    ``parameters``: short names to show (``parallel``, ``slice``, ``contour``); ``trials``: only these
    (``intermediate``). Parameters that are too many for the plot are left out, ``left_out`` counts them.
    Raises NotFoundError for an unknown name.
    """
    experiment = store.experiment(experiment_id)
    if name == "intermediate":
        return _intermediate(store, experiment, trials)
    if name == "timeline":
        return _timeline(store.trials(experiment_id), store.steps(experiment_id), now)
    if name not in (*_BY_OPTUNA, "parallel"):
        known = ", ".join(("intermediate", "timeline", "parallel", *_BY_OPTUNA))
        raise NotFoundError(f"there is no plot {name!r}", hint=f"plots: {known}")
    return _by_optuna(store, experiment, name, parameters)


def _by_optuna(
    store: ExperimentStore, experiment: Experiment, name: str, parameters: Sequence[str]
) -> Figure:
    plan = plan_of(experiment.snapshot)
    trials = [t for t in store.trials(experiment.id) if t.state.counts_for_tuner]
    if name == "best":
        study = study_of(experiment, plan, [t for t in trials if t.state is TrialState.SUCCEEDED])
        return _json(_BY_OPTUNA[name](study, [])) if study.trials else _nothing("two")
    study = study_of(experiment, plan, [t for t in trials if t.source != BASELINE])
    weights = _importances(study)
    if len(study.trials) < 2 or not weights:
        return _nothing("two")
    wanted = [p for p in dict.fromkeys(parameters) if p in weights]
    chosen = wanted[: _MOST_CHOSEN.get(name)] or list(weights)[: _MOST_PARAMETERS.get(name)]
    if name == "contour" and len(chosen) < 2:
        chosen += [p for p in weights if p not in chosen][: 2 - len(chosen)]
    if name == "contour" and len(chosen) < 2:
        return _nothing("two")
    drawn = parallel(study, chosen) if name == "parallel" else _json(_BY_OPTUNA[name](study, chosen))
    return {**drawn, "parameters": list(weights), "left_out": max(0, len(wanted) - len(chosen))}


def _importances(study: Any) -> dict[str, float]:
    """By parameter, the most important first; empty when it can't be said."""
    import optuna

    if len(study.trials) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    try:
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except (ValueError, RuntimeError):  # no parameter that all trials have, or all metrics are equal
        return dict.fromkeys(sorted({p for t in study.trials for p in t.params}), 0.0)


def _best(study: Any, _: list[str]) -> Any:
    from optuna.visualization import plot_optimization_history

    drawn = plot_optimization_history(study)
    numbers = [t.user_attrs["trial"] for t in study.trials]
    for trace in drawn.data:  # Optuna numbers the trials that it knows
        trace.x = [numbers[x] for x in trace.x] if trace.x is not None else trace.x
    return drawn


def _importance(study: Any, _: list[str]) -> Any:
    import plotly.graph_objects as go

    weights = dict(reversed(_importances(study).items()))
    bar = go.Bar(x=list(weights.values()), y=list(weights), orientation="h")
    return go.Figure(bar, layout={"xaxis": {"title": {"text": "PED-ANOVA"}}})


def _slice(study: Any, chosen: list[str]) -> Any:
    from optuna.visualization import plot_slice

    return plot_slice(study, params=chosen)


def _contour(study: Any, chosen: list[str]) -> Any:
    from optuna.visualization import plot_contour

    return plot_contour(study, params=chosen)


_BY_OPTUNA: dict[str, Callable[[Any, list[str]], Any]] = {
    "best": _best,
    "importance": _importance,
    "slice": _slice,
    "contour": _contour,
}


def _intermediate(store: ExperimentStore, experiment: Experiment, only: Sequence[int]) -> Figure:
    """One line a trial. The lines of a state are one trace with gaps: a browser draws 1,000 of them at once.

    A chain's line goes over its days: their own curves all count from step 0 and would lie on each other.
    """
    plan, trials = plan_of(experiment.snapshot), store.trials(experiment.id)
    results = store.results(experiment.id)
    if plan.judges_whole_steps:
        curves = _of_days(trials, days_of_trials(plan, results, store.steps(experiment.id)))
    else:
        curves = _of_evaluations(results)
    shown = [t for t in trials if t.number in curves and (not only or t.number in only)]
    if not shown:
        return _nothing("days" if plan.judges_whole_steps else "results")
    if only:
        data = [_line(f"#{t.number}", [t], curves, None) for t in shown]
    else:
        states = [(s, [t for t in shown if t.state is s]) for s in COLOURS]
        data = [_line(s.value, of, curves, COLOURS[s]) for s, of in states if of]
    layout = _axes("global step", "objective")
    if plan.judges_whole_steps:
        days = [plan.step_name(step) for step in range(plan.step_count)]
        layout["xaxis"] = {"type": "category", "categoryarray": days, "range": [-0.5, len(days) - 0.5]}
        return json_ready({"data": data, "layout": layout, "over": "days"})  # type: ignore[no-any-return]
    return json_ready({"data": data, "layout": layout})  # type: ignore[no-any-return]


def _of_evaluations(results: Sequence[RecordedResult]) -> Curves:
    curves: Curves = {}
    for result in results:
        xs, ys = curves.setdefault(result.step.trial, ([], []))
        xs.append(result.global_step)
        ys.append(_rounded(result.objective))
    return curves


def _of_days(trials: Sequence[Trial], values: Mapping[tuple[int, int], Mapping[str, float | None]]) -> Curves:
    """What each day that has ended came to; a day without a finite metric is a gap."""
    curves: Curves = {}
    for trial in trials:
        days = sorted(values.get((trial.number, trial.epoch), {}).items())
        if days:
            curves[trial.number] = (
                [day for day, _ in days],
                [v if v is None else _rounded(v) for _, v in days],
            )
    return curves


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _line(name: str, trials: Sequence[Trial], curves: Curves, colour: str | None) -> Figure:
    x: list[Any] = []
    y: list[Any] = []
    text: list[Any] = []
    for trial in trials:
        xs, ys = curves[trial.number]
        x += [*xs, None]
        y += [*ys, None]
        text += [f"#{trial.number}"] * len(xs) + [None]
    line = {"width": 1.5, **({"color": colour} if colour else {})}
    mode = "lines+markers" if len(x) < _MARKED else "lines"
    return {
        "type": "scatter", "mode": mode, "name": name, "x": x, "y": y, "text": text,
        "line": line, "marker": {"size": 4}, "hovertemplate": "%{text} · %{x}: %{y}<extra></extra>",
    }  # fmt: skip


def _timeline(trials: Sequence[Trial], steps: Sequence[Step], now: datetime) -> Figure:
    """When each job had a slot; jobs that overlap lie in different rows."""
    state_of = {t.number: t.state for t in trials}
    began = sorted(
        (s for s in steps if s.submitted_at is not None), key=lambda s: (s.submitted_at, s.id.trial)
    )
    if not began:
        return _nothing("jobs")
    free_from: list[datetime] = []
    bars: dict[TrialState, list[tuple[int, Step, datetime, datetime]]] = {}
    for step in began:
        start, end = step.submitted_at, step.ended_at or now
        assert start is not None
        row = next((n for n, free in enumerate(free_from) if free <= start), len(free_from))
        free_from[row : row + 1] = [end]
        bars.setdefault(state_of[step.id.trial], []).append((row, step, start, end))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": state.value,
            "y": [row + 1 for row, *_ in of],
            "base": [start.isoformat() for _, _, start, _ in of],
            "x": [round((end - start).total_seconds() * 1000) for _, _, start, end in of],
            "text": [f"#{step.id.trial}" for _, step, _, _ in of],
            "textposition": "auto" if len(began) <= _LABELLED else "none",
            "hovertemplate": "%{text} · %{base}<extra></extra>",
            "width": 0.85,
            "marker": {"color": COLOURS[state]},
        }
        for state, of in bars.items()
    ]
    layout = _axes("", "slot")
    layout["xaxis"]["type"] = "date"
    layout["yaxis"].update(dtick=1, range=[len(free_from) + 0.5, 0.5])
    return {"data": data, "layout": {**layout, "barmode": "overlay", "bargap": 0.1}}


def _axes(x: str, y: str) -> Figure:
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}


def _json(drawn: Any) -> Figure:
    data: Figure = json.loads(drawn.to_json())
    for fixed in ("template", "title", "width", "height"):
        data["layout"].pop(fixed, None)
    return data


def _nothing(missing: str) -> Figure:
    return {"data": [], "layout": {}, "empty": missing}
