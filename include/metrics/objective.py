"""The objective: one number per evaluation, made of weighted metrics (reference R9)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, Protocol, TypeVar

from include.errors import ConfigError, MetricError
from include.metrics.events import ScalarEvent

OptimizeMode = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class ObjectiveValue:
    """One intermediate result. ``metrics``: all scalars known of that step, not only the weighted ones.

    ``objective`` is NaN or infinite when a weighted metric is: a result that says that training went
    wrong, which is not the same as no result. ``wall_time``: seconds since the epoch.
    """

    global_step: int
    objective: float
    metrics: Mapping[str, float]
    wall_time: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.objective)


class Objective:
    """Turns scalar events into results, Σ weight·value per step.

    A step counts once all weighted tags are there, in one record or in several, and only when it is
    greater than the last one reported. A tag of weight 0 must be there but takes no part in the sum.
    """

    def __init__(self, weights: Mapping[str, float], *, last_step: int | None = None) -> None:
        """``last_step``: the last step that was reported already, to go on after a restart."""
        if not weights:
            raise ConfigError("the objective has no metrics", hint="name one in [metric_config], e.g. auc=1")
        for tag, weight in weights.items():
            if not math.isfinite(weight):
                raise ConfigError(f"the weight of {tag} is {weight}", hint="a finite number")
        self._weights = dict(weights)
        self._last = last_step
        self._open: dict[int, dict[str, float]] = {}
        self._times: dict[int, float] = {}

    @property
    def last_step(self) -> int | None:
        """The last step reported."""
        return self._last

    def collect(self, events: Iterable[ScalarEvent]) -> list[ObjectiveValue]:
        """Results that ``events`` complete, with strictly increasing steps. Call it at every poll.

        Raises MetricError when the first evaluation lacks a weighted tag and nothing more of it came since
        the call before: the rest of a step may be in a record that is still being written.
        """
        before = {step: len(values) for step, values in self._open.items()}
        for event in events:
            self._add(event)
        results = [self._report(step) for step in sorted(self._open) if self._is_complete(step)]
        if self._last is None:
            stuck = [step for step, size in before.items() if len(self._open[step]) == size]
            if stuck:
                raise self._missing(min(stuck))
        else:
            for step in [s for s in self._open if s <= self._last]:
                del self._open[step], self._times[step]
        return results

    def _add(self, event: ScalarEvent) -> None:
        step = event.global_step
        if self._last is None or step > self._last:
            self._open.setdefault(step, {}).update(event.values)
            self._times[step] = event.wall_time

    def _is_complete(self, step: int) -> bool:
        return self._weights.keys() <= self._open[step].keys()

    def _report(self, step: int) -> ObjectiveValue:
        metrics = self._open[step]
        # weight 0 is left out: 0 * NaN would be NaN
        objective = sum(weight * metrics[tag] for tag, weight in self._weights.items() if weight)
        self._last = step
        return ObjectiveValue(step, float(objective), dict(metrics), self._times[step])

    def _missing(self, step: int) -> MetricError:
        there = sorted(self._open[step])
        missing = []
        for tag in self._weights:
            if tag not in self._open[step]:
                near = get_close_matches(tag, there, 1)
                missing.append(f"{tag!r} (did you mean {near[0]!r}?)" if near else repr(tag))
        return MetricError(
            f"the evaluation at step {step} has no metric {', '.join(missing)}; it has {', '.join(there)}",
            where="[metric_config]",
            hint="use tags that EasyRec logs",
        )


class HasObjective(Protocol):
    @property
    def objective(self) -> float: ...


Value = TypeVar("Value", bound=HasObjective)


def final(
    results: Sequence[Value], *, optimize_mode: OptimizeMode = "maximize", use_best: bool = False
) -> Value | None:
    """The result that counts for a job that has ended: the last, or with ``use_best`` the best (R9).

    NaN and infinite results never count; None when there is no other.
    """
    finite = [result for result in results if math.isfinite(result.objective)]
    if not finite:
        return None
    if not use_best:
        return finite[-1]
    best = max if optimize_mode == "maximize" else min
    return best(finite, key=lambda result: result.objective)
