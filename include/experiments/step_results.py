"""From the evaluations of a trial's steps to what each step, and the trial, came to (reference R9, R26)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from include.experiments.trial_plan import TrialPlan
from include.names import StepId
from include.store import RecordedResult, Result, Step, StepState


def of_step(results: Iterable[RecordedResult], step: int) -> list[RecordedResult]:
    """The evaluations of one step of a trial."""
    return [result for result in results if result.step.step == step]


def best_step(plan: TrialPlan, results: Iterable[RecordedResult], step: int) -> int | None:
    """With the metric of the best evaluation, the global step of that; else None for the last checkpoint."""
    if plan.settings.final_metric != "best":
        return None
    final = plan.final_result(of_step(results, step))
    return final.global_step if final is not None else None


def values_of_steps(plan: TrialPlan, results: Sequence[RecordedResult]) -> list[Result | None]:
    """What each step of a trial came to, in order; None for one without a finite result."""
    return [plan.final_result(of_step(results, step)) for step in range(plan.step_count)]


def missing(plan: TrialPlan, finals: Sequence[Result | None]) -> str:
    """Names of the steps that have no result: a mean without them would hide them (reference section 2)."""
    return ", ".join(plan.step_name(step) for step, final in enumerate(finals) if final is None)


def mean(finals: Sequence[Result]) -> tuple[float, dict[str, float]]:
    """Objective and metrics of a trial: the mean over its steps, of the metrics that every step has."""
    common = set.intersection(*({*final.metrics} for final in finals))
    metrics = {
        tag: statistics.fmean(f.metrics[tag] for f in finals) for tag in finals[0].metrics if tag in common
    }
    return statistics.fmean(final.objective for final in finals), metrics


def values_of_ended(
    plan: TrialPlan, results: Iterable[RecordedResult], steps: Iterable[Step]
) -> Iterator[tuple[StepId, float | None]]:
    """Each step that succeeded, of any trial and epoch, and what it came to; None without a finite result.

    ``results``: those that count, so what is said of a step of an older epoch means nothing.
    """
    by_step: dict[tuple[int, int], list[RecordedResult]] = {}
    for result in results:
        by_step.setdefault((result.step.trial, result.step.step), []).append(result)
    for step in steps:
        if step.state is StepState.SUCCEEDED:
            final = plan.final_result(by_step.get((step.id.trial, step.id.step), ()))
            yield step.id, None if final is None else final.objective


def histories(
    plan: TrialPlan, results: Sequence[RecordedResult], steps: Sequence[Step], epochs: Mapping[int, int]
) -> dict[int, list[float]]:
    """The intermediate results of every trial: one value for each step that succeeded, in order.

    ``results``: of the experiment, those that count. ``epochs``: each trial's current one.
    """
    counting = (step for step in steps if step.id.epoch == epochs.get(step.id.trial))
    found: dict[int, list[float]] = {}
    for step, value in sorted(
        values_of_ended(plan, results, counting), key=lambda each: (each[0].trial, each[0].step)
    ):
        found.setdefault(step.trial, []).append(math.nan if value is None else value)
    return found
