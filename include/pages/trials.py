"""One trial: its curves, its parameters and what they change in the pipeline config, its jobs, its story."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from include.errors import ConfigError, NotFoundError
from include.experiments.chain_plan import plan_of
from include.experiments.plan import Plan
from include.experiments.report import days_of_trials, json_ready
from include.pages.experiments import seconds_of
from include.store import SEARCHES, Event, ExperimentStore, RecordedResult, Step, Trial


def trial_page(store: ExperimentStore, experiment_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Everything about a trial of a search, or about a single job (``diff`` None). Raises NotFoundError.

    ``seconds``: how long it took, or has taken until now.
    """
    experiment = store.experiment(experiment_id)
    trial = store.trial(experiment_id, number)
    steps = store.steps(experiment_id, number)
    results = store.results(experiment_id, number)
    plan = plan_of(experiment.snapshot) if experiment.kind in SEARCHES else None
    said: dict[str, Any] = json_ready(
        {
            "experiment": experiment_id,
            "optimize_mode": experiment.optimize_mode,
            "number": trial.number,
            "state": trial.state,
            "reason": trial.reason,
            "source": trial.source,
            "epoch": trial.epoch,
            "seen": trial.seen,
            "metric": trial.metric,
            "metrics": trial.metrics,
            "parameters": trial.parameters,
            "asked_at": trial.asked_at,
            "submitted_at": trial.submitted_at,
            "started_at": trial.started_at,
            "ended_at": trial.ended_at,
            "seconds": seconds_of(trial, now),
            "task": {
                "dag_id": trial.task.dag_id,
                "run_id": trial.task.run_id,
                "task_id": trial.task.task_id,
                "map_index": trial.task.map_index,
            },
            "jobs": [_job(step) for step in steps],
            "curves": curves(plan, results),
            "diff": config_diff(plan, trial) if plan else None,
            "is_search": plan is not None,
            "days": days_of_trials(plan, results, steps).get((number, trial.epoch), {}) if plan else {},
            "events": [_event(e) for e in store.events(experiment_id, trial=number)],
            "tensorboard": tensorboard(steps),
        }
    )
    return said


def curves(plan: Plan | None, results: Sequence[RecordedResult]) -> list[dict[str, Any]]:
    """Every metric over the global step, ``objective`` first; in a chain one entry a day, with its ``name``.

    Each day counts its steps from 0, so days are curves of their own.
    """
    by_step: dict[int, list[RecordedResult]] = {}
    for result in results:
        by_step.setdefault(result.step.step, []).append(result)
    chain = plan is not None and plan.judges_whole_steps
    return [
        {"name": plan.step_name(step) if plan and chain else "", **_curve(found)}
        for step, found in sorted(by_step.items())
    ]


def _curve(results: Sequence[RecordedResult]) -> dict[str, Any]:
    tags = sorted({tag for r in results for tag in r.metrics})
    values = {
        "objective": [r.objective for r in results],
        **{tag: [r.metrics.get(tag) for r in results] for tag in tags},
    }
    return {"steps": [r.global_step for r in results], "values": values}


def config_diff(plan: Plan, trial: Trial) -> dict[str, Any]:
    """Unified diff of the pipeline config with and without the trial's parameters; ``error`` if impossible."""
    try:
        patched = plan.patched_config(trial.parameters)
    except ConfigError as error:
        return {"lines": [], "error": str(error)}
    lines = difflib.unified_diff(
        plan.pipeline_config.splitlines(),
        patched.splitlines(),
        "pipeline.config",
        f"trial {trial.number}",
        lineterm="",
        n=2,
    )
    return {"lines": list(lines), "error": ""}


def newest_job(store: ExperimentStore, experiment_id: str, number: int) -> Step:
    """The trial's newest job that was submitted. Raises NotFoundError that says why there is none."""
    trial = store.trial(experiment_id, number)
    submitted = [s for s in store.steps(experiment_id, number) if s.job_id is not None]
    if not submitted:
        why = f": {trial.reason}" if trial.reason else ""
        raise NotFoundError(
            f"trial {number} of {experiment_id} has no job ({trial.state.value}{why})",
            hint="there is a log once its job was submitted",
        )
    return submitted[-1]


def tensorboard(steps: Sequence[Step]) -> str:
    """Commands that show the newest job's curves in TensorBoard; empty without a job."""
    if not steps:
        return ""
    model_dir = steps[-1].model_dir
    name = model_dir.rstrip("/").rsplit("/", 1)[-1]
    return f"ossutil cp -r {model_dir}/ ./{name}/ --include '*tfevents*' && tensorboard --logdir ./{name}"


def _job(step: Step) -> dict[str, Any]:
    return {
        "step": step.id.step,
        "epoch": step.id.epoch,
        "attempt": step.id.attempt,
        "job_id": step.job_id,
        "state": step.state.value,
        "reason": step.reason,
        "model_dir": step.model_dir,
        "submitted_at": step.submitted_at,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "payload": step.payload,
    }


def _event(event: Event) -> dict[str, Any]:
    return {"at": event.at, "by": event.by, "kind": event.kind, "data": event.data}
