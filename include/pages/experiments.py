"""The list of experiments, and the overview of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from include.experiments.chain_plan import plan_of
from include.experiments.closing import report_of_store
from include.experiments.report import TrialRow, json_ready
from include.search.trial import TrialState
from include.store import SEARCHES, Experiment, ExperimentStore, Step, Trial

Readable = Callable[[str], bool]
"""Whether the person may read this DAG."""


def experiment_list(store: ExperimentStore, may_read: Readable, model: str | None = None) -> dict[str, Any]:
    """Searches of all models or of one, newest first, as far as the person may read their DAGs."""
    rows = [e for e in store.experiments(model, kinds=SEARCHES) if may_read(e.dag_id)]
    tallies = store.trial_tallies([e.id for e in rows])
    return {"experiments": [_list_row(e, tallies.get(e.id, ())) for e in rows]}


def _list_row(
    experiment: Experiment, tally: Sequence[tuple[str, int, float | None, float | None]]
) -> dict[str, Any]:
    counts = {state: count for state, count, _, _ in tally}
    # Best among trials that ran to their end, as in the report.
    ended = next((row for row in tally if row[0] == TrialState.SUCCEEDED.value), None)
    best = None if ended is None else ended[3 if experiment.optimize_mode == "maximize" else 2]
    return {
        "id": experiment.id,
        "model": experiment.model,
        "kind": experiment.kind,
        "state": experiment.state.value,
        "reason": experiment.reason,
        "dag_id": experiment.dag_id,
        "run_id": experiment.run_id,
        "created_at": experiment.created_at.isoformat(),
        "created_by": experiment.created_by,
        "ended_at": experiment.ended_at and experiment.ended_at.isoformat(),
        "max_trials": experiment.max_trials,
        "trials": sum(counts.values()),
        "counts": counts,
        "optimize_mode": experiment.optimize_mode,
        "best": json_ready(best),
    }


def overview(store: ExperimentStore, experiment_id: str, now: datetime) -> dict[str, Any]:
    """State, limits, progress, best and baseline, what was used and saved, where its objects lie."""
    experiment = store.experiment(experiment_id)
    plan = plan_of(experiment.snapshot)
    trials = store.trials(experiment.id)
    found = report_of_store(store, experiment.id, now, trials=trials)
    pool = plan.settings.pool_of(plan.model)
    counts = Counter(row.state.value for row in found.trials)
    return json_ready(  # type: ignore[no-any-return]
        {
            "id": experiment.id,
            "model": experiment.model,
            "kind": experiment.kind,
            "state": experiment.state.value,
            "reason": experiment.reason,
            "dag_id": experiment.dag_id,
            "run_id": experiment.run_id,
            "runs": sorted({(t.task.dag_id, t.task.run_id) for t in trials}),
            "created_at": experiment.created_at,
            "created_by": experiment.created_by,
            "ended_at": experiment.ended_at,
            "now": now,
            "seed": experiment.seed,
            "optimize_mode": experiment.optimize_mode,
            "weights": found.weights,
            "tuner": plan.search.tuner.name,
            "assessor": plan.search.assessor.name if plan.search.assessor else None,
            "limits": {
                "max_trials": experiment.max_trials,
                "deadline": experiment.deadline,
                "pool": pool,
                "slots": store.pools().get(pool),
            },
            "progress": {"asked": experiment.asks, "counts": counts},
            "best": _short(found.best),
            "baseline": _short(found.baseline),
            "training_seconds": found.training_seconds,
            "saved_seconds": found.saved_seconds,
            "best_model_dir": found.best_model_dir,
            "best_config": found.best_config,
            "prefix": found.prefix,
        }
    )


def files(store: ExperimentStore, experiment_id: str) -> dict[str, Any]:
    """The user's files as they were when the experiment was opened, and the pipeline config."""
    snapshot = store.experiment(experiment_id).snapshot
    texts: Mapping[str, str] = snapshot["texts"]
    return {"files": {**texts, "pipeline.config": snapshot["pipeline_config"]}}


def trial_table(store: ExperimentStore, experiment_id: str, now: datetime) -> dict[str, Any]:
    """All trials by column: names once, values as lists, so that 1,000 trials stay small.

    ``parameters`` and ``metrics`` name the columns of the same-named lists in each row; the first
    ``weighted`` metrics are the objective's.
    """
    read, steps = store.trials(experiment_id), store.steps(experiment_id)
    found = report_of_store(store, experiment_id, now, trials=read, steps=steps)
    trials, jobs = {t.number: t for t in read}, _last_jobs(steps)
    parameters = sorted({k for row in found.trials for k in row.parameters})
    seen = {k for row in found.trials for k in row.metrics}
    weighted = [k for k in found.weights if k in seen]
    metrics = [*weighted, *sorted(seen.difference(weighted))]
    rows = [
        _table_row(row, trials[row.number], jobs.get(row.number), parameters, metrics) for row in found.trials
    ]
    table = {"parameters": parameters, "metrics": metrics, "weighted": len(weighted), "rows": rows}
    return json_ready(table)  # type: ignore[no-any-return]


def _table_row(
    row: TrialRow, trial: Trial, job: Step | None, parameters: Sequence[str], metrics: Sequence[str]
) -> dict[str, Any]:
    began, ended = trial.started_at or trial.submitted_at, trial.ended_at
    return {
        "number": row.number,
        "state": row.state,
        "source": row.source,
        "reason": row.reason,
        "metric": row.metric,
        "began_at": began,
        "seconds": (ended - began).total_seconds() if began and ended else None,
        "training_seconds": row.training_seconds,
        "worker_seconds": job.worker_seconds if job else None,
        "job": bool(job and job.job_id),
        "evaluations": row.evaluations,
        "parameters": [row.parameters.get(k) for k in parameters],
        "metrics": [row.metrics.get(k) for k in metrics],
    }


def _last_jobs(steps: Sequence[Step]) -> dict[int, Step]:
    return {step.id.trial: step for step in steps}


def _short(row: TrialRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"number": row.number, "metric": row.metric, "metrics": row.metrics, "parameters": row.parameters}
