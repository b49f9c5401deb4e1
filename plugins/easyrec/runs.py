"""How a task starts a DAG run when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import DagRunTriggerException


def start_of(
    dag_id: str, run_id: str, *, conf: Mapping[str, Any] | None = None, again: bool = False
) -> DagRunTriggerException:
    """What a task raises to start a run; one that is there already is left as it is, or with ``again`` cleared.

    Not a ``TriggerDagRunOperator``: its import alone takes longer than a DAG file may.
    """
    return DagRunTriggerException(
        trigger_dag_id=dag_id,
        dag_run_id=run_id,
        conf=None if conf is None else dict(conf),
        logical_date=None,
        reset_dag_run=again,
        skip_when_already_exists=not again,
        wait_for_completion=False,
        allowed_states=[],
        failed_states=[],
        poke_interval=0,
        deferrable=False,
    )
