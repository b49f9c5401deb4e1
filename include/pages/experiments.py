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
from include.store import SEARCHES, Experiment, ExperimentStore, Trial

Readable = Callable[[str], bool]
"""Whether the person may read this DAG."""
_MOST_HAPPENINGS = 200
PoolSlots = Callable[[str], int | None]
"""Slots of an Airflow pool by its name, -1 for no limit; None when there is none."""


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


def overview(
    store: ExperimentStore, experiment_id: str, now: datetime, pool_slots: PoolSlots
) -> dict[str, Any]:
    """State, limits, progress, best and baseline, what was used and saved, where its objects lie.

    ``limits``: ``slots`` are the pool's, which count; ``planned_slots`` are ``config.yml``'s. ``example``:
    parameters to begin with when a person writes their own, of the best trial if there is one.
    """
    experiment = store.experiment(experiment_id)
    plan = plan_of(experiment.snapshot)
    trials = store.trials(experiment.id)
    found = report_of_store(store, experiment.id, now, trials=trials, plan=plan)
    pool = plan.settings.pool_of(plan.model)
    runs = {(experiment.dag_id, experiment.run_id), *((t.task.dag_id, t.task.run_id) for t in trials)}
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
            "runs": sorted(runs),
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
                "slots": pool_slots(pool),
                "planned_slots": plan.search.concurrency,
            },
            "progress": {"asked": experiment.asks, "counts": counts},
            "best": _short(found.best),
            "baseline": _short(found.baseline),
            "training_seconds": found.training_seconds,
            "saved_seconds": found.saved_seconds,
            "best_model_dir": found.best_model_dir,
            "best_config": found.best_config,
            "prefix": found.prefix,
            "example": _example(found.best, found.trials),
        }
    )


def _example(best: TrialRow | None, trials: Sequence[TrialRow]) -> Mapping[str, Any]:
    return next((row.parameters for row in (best, *trials) if row and row.parameters), {})


def happenings(store: ExperimentStore, experiment_id: str) -> list[dict[str, Any]]:
    """Who did what to the experiment and when, newest first; of its trials only what was stopped."""
    return [
        json_ready({"at": e.at, "by": e.by, "kind": e.kind, "trial": e.trial, "data": e.data})
        for e in store.happenings(experiment_id, _MOST_HAPPENINGS)
    ]


def files(store: ExperimentStore, experiment_id: str) -> dict[str, Any]:
    """The user's files as they were when the experiment was opened, and the pipeline config."""
    snapshot = store.experiment(experiment_id).snapshot
    texts: Mapping[str, str] = snapshot["texts"]
    return {"files": {**texts, "pipeline.config": snapshot["pipeline_config"]}}


def trial_table(store: ExperimentStore, experiment_id: str, now: datetime) -> dict[str, Any]:
    """All trials by column: names once, values as lists, so that 1,000 trials stay small.

    ``parameters`` (in the order of the search space) and ``metrics`` name the columns of the same-named lists
    in each row; the first ``weighted`` metrics are the objective's. ``latest``: the newest value of a trial that
    goes on.
    """
    experiment = store.experiment(experiment_id)
    plan = plan_of(experiment.snapshot)
    read, steps = store.trials(experiment_id), store.steps(experiment_id)
    latest = {t.number: _latest(store, t) for t in read if not t.state.is_terminal}
    found = report_of_store(store, experiment_id, now, trials=read, steps=steps, plan=plan)
    trials = {t.number: t for t in read}
    with_job = {step.id.trial for step in steps if step.job_id}
    given = {k for row in found.trials for k in row.parameters}
    space = [k for k in plan.space if k in given]
    parameters = [*space, *sorted(given.difference(space))]
    seen = {k for row in found.trials for k in row.metrics}
    weighted = [k for k in found.weights if k in seen]
    metrics = [*weighted, *sorted(seen.difference(weighted))]
    rows = [
        {
            **_table_row(row, trials[row.number], parameters, metrics, now),
            "latest": latest.get(row.number),
            "job": row.number in with_job,
        }
        for row in found.trials
    ]
    table = {
        "maximize": experiment.optimize_mode == "maximize",
        "parameters": parameters,
        "metrics": metrics,
        "weighted": len(weighted),
        "rows": rows,
    }
    return json_ready(table)  # type: ignore[no-any-return]


def _table_row(
    row: TrialRow, trial: Trial, parameters: Sequence[str], metrics: Sequence[str], now: datetime
) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        "source": row.source,
        "reason": row.reason,
        "metric": row.metric,
        "began_at": trial.started_at or trial.submitted_at,
        "seconds": seconds_of(trial, now),
        "training_seconds": row.training_seconds,
        "evaluations": row.evaluations,
        "parameters": [row.parameters.get(k) for k in parameters],
        "metrics": [row.metrics.get(k) for k in metrics],
    }


def seconds_of(trial: Trial, now: datetime) -> float | None:
    """How long the trial took, or has taken until now; None before its job was submitted."""
    began = trial.started_at or trial.submitted_at
    return ((trial.ended_at or now) - began).total_seconds() if began else None


def _latest(store: ExperimentStore, trial: Trial) -> float | None:
    """The objective's newest value of a trial that goes on: its metric comes with its end."""
    results = store.results(trial.experiment_id, trial.number)
    return results[-1].objective if results else None


def _short(row: TrialRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"number": row.number, "metric": row.metric, "metrics": row.metrics, "parameters": row.parameters}
