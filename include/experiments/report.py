"""What a search found, as data, JSON and one HTML page (reference R13: downloadable summary)."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from include import names
from include.experiments.plan import Plan
from include.experiments.step_results import values_of_ended
from include.experiments.trial_starter import BASELINE
from include.search.trial import TrialState
from include.store import Experiment, RecordedResult, Step, StepState, Trial


@dataclass(frozen=True)
class TrialRow:
    number: int
    source: str
    state: TrialState
    reason: str
    metric: float | None
    metrics: Mapping[str, float]
    evaluations: int
    parameters: Mapping[str, Any]
    training_seconds: float
    """Seconds that all jobs of the trial trained, replaced ones included."""
    days: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    """Metric by day, of a chain of days; None for one without a finite metric."""


@dataclass(frozen=True)
class Report:
    experiment: str
    model: str
    state: str
    created_at: datetime
    ended_at: datetime | None
    optimize_mode: str
    weights: Mapping[str, float]
    seed: int
    prefix: str
    """OSS prefix of the report's own objects."""
    trials: tuple[TrialRow, ...]
    best: TrialRow | None
    baseline: TrialRow | None
    training_seconds: float
    saved_seconds: float
    """Estimate: early-stopped trials would have trained as long as the median successful one."""
    best_model_dir: str
    best_config: str

    def count(self, state: TrialState) -> int:
        return sum(t.state is state for t in self.trials)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; numbers that JSON doesn't know become None."""
        data: dict[str, Any] = json_ready(dataclasses.asdict(self))
        return data


def summarize(
    experiment: Experiment,
    trials: Sequence[Trial],
    steps: Sequence[Step],
    evaluations: Mapping[int, int],
    results: Sequence[RecordedResult],
    plan: Plan,
    now: datetime,
) -> Report:
    """Pure: the same records give the same report.

    ``evaluations``: how many each trial has. ``results``: only looked at where days are judged one by one.
    """
    days = days_of_trials(plan, results, steps)
    seconds: dict[int, float] = {}
    for step in steps:
        if step.started_at is not None:
            trained = ((step.ended_at or now) - step.started_at).total_seconds()
            seconds[step.id.trial] = seconds.get(step.id.trial, 0.0) + max(0.0, trained)
    rows = tuple(
        _row(t, evaluations.get(t.number, 0), seconds.get(t.number, 0.0), days.get((t.number, t.epoch), {}))
        for t in trials
    )
    best = _best(rows, experiment.optimize_mode)
    typical = [r.training_seconds for r in rows if r.state is TrialState.SUCCEEDED]
    median = statistics.median(typical) if typical else 0.0
    stopped = [r for r in rows if r.state is TrialState.EARLY_STOPPED]
    prefix = names.experiment_prefix(plan.base_dir, experiment.id)
    epochs = {t.number: t.epoch for t in trials}
    model_dirs = {
        s.id.trial: s.model_dir
        for s in steps
        if s.state is StepState.SUCCEEDED and s.id.epoch == epochs[s.id.trial]
    }
    return Report(
        experiment=experiment.id,
        model=experiment.model,
        state=experiment.state.value,
        created_at=experiment.created_at,
        ended_at=max((t.ended_at for t in trials if t.ended_at), default=None),
        optimize_mode=experiment.optimize_mode,
        weights=dict(plan.job.weights),
        seed=experiment.seed,
        prefix=prefix,
        trials=rows,
        best=best,
        baseline=next((r for r in rows if r.source == BASELINE), None),
        training_seconds=sum(r.training_seconds for r in rows),
        saved_seconds=sum(max(0.0, median - r.training_seconds) for r in stopped),
        best_model_dir=model_dirs[best.number] if best else "",
        best_config=prefix + "best_pipeline.config" if best else "",
    )


def to_html(report: Report) -> str:
    """One self-contained page, no script, readable from a browser that opened the OSS object."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = (Path(__file__).parent / "report.html.j2").read_text(encoding="utf-8")
    keys = sorted({k for t in report.trials for k in t.parameters})
    return environment.from_string(template).render(report=report, keys=keys, TrialState=TrialState)


def days_of_trials(
    plan: Plan, results: Sequence[RecordedResult], steps: Sequence[Step]
) -> dict[tuple[int, int], dict[str, float | None]]:
    """By trial and epoch, what each day that ended well came to; empty where a trial is one job."""
    found: dict[tuple[int, int], dict[str, float | None]] = {}
    if not plan.judges_whole_steps:
        return found
    for step, value in values_of_ended(plan, results, steps):
        found.setdefault((step.trial, step.epoch), {})[plan.step_name(step.step)] = value
    return found


def _row(trial: Trial, evaluations: int, seconds: float, days: Mapping[str, float | None]) -> TrialRow:
    return TrialRow(
        number=trial.number,
        source=trial.source,
        state=trial.state,
        reason=trial.reason,
        metric=trial.metric,
        metrics=dict(trial.metrics or {}),
        evaluations=evaluations,
        parameters=dict(trial.parameters),
        training_seconds=seconds,
        days=dict(days),
    )


def _best(rows: Sequence[TrialRow], optimize_mode: str) -> TrialRow | None:
    """Best among trials that ran to their end; early-stopped ones are not a finished model."""
    finished = [r for r in rows if r.state is TrialState.SUCCEEDED and r.metric is not None]
    if not finished:
        return None
    sign = 1 if optimize_mode == "maximize" else -1
    return max(finished, key=lambda r: (sign * (r.metric or 0.0), -r.number))


def json_ready(value: Any) -> Any:
    """``value`` as JSON can carry it: numbers that JSON does not know become None."""
    if isinstance(value, Mapping):
        return {str(k): json_ready(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(v) for v in value]
    if isinstance(value, TrialState):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
