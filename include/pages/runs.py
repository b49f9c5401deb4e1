"""From an Airflow DAG run to what it made."""

from __future__ import annotations

from typing import Any

from include.store import SEARCHES, ExperimentStore, RunKey


def things_of_run(store: ExperimentStore, dag_id: str, run_id: str) -> dict[str, Any]:
    """Ids of the searches that a DAG run opened or extended, and the model of the day that it trained."""
    run = RunKey(dag_id, run_id)
    worked_on = {t.experiment_id for t in store.trials_of_run(run)}
    searches = [
        e.id
        for e in store.experiments(kinds=SEARCHES)
        if e.id in worked_on or (e.dag_id, e.run_id) == (dag_id, run_id)
    ]
    day = store.day_of_run(run)
    return {
        "experiments": searches,
        "model": day.model if day else None,
        "bizdate": day and day.bizdate.isoformat(),
    }
