"""From the evaluations of a trial's steps to what each step, and the trial, came to (reference R9, R26)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from include.experiments.trial_plan import TrialPlan
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


def histories(
    plan: TrialPlan, results: Sequence[RecordedResult], steps: Sequence[Step], epochs: Mapping[int, int]
) -> dict[int, list[float]]:
    """The intermediate results of every trial: one value for each step that succeeded, in order.

    ``results``: of the experiment, those that count. ``epochs``: each trial's current one.
    """
    found: dict[int, list[float]] = {}
    ended = sorted(
        (s.id.trial, s.id.step)
        for s in steps
        if s.state is StepState.SUCCEEDED and s.id.epoch == epochs.get(s.id.trial)
    )
    for trial, step in ended:
        final = plan.final_result([r for r in results if (r.step.trial, r.step.step) == (trial, step)])
        found.setdefault(trial, []).append(math.nan if final is None else final.objective)
    return found
