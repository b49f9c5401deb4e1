"""Every few minutes: what nobody owns is stopped, what ended unseen is closed, who gave way starts again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from easyrec.docs import RECONCILE
from easyrec.operators.reconcile import (
    GRACE_MINUTES,
    STOP_UNKNOWN,
    ReconcileOperator,
    RunsThatGaveWayOperator,
    StartAgainOperator,
)

with DAG(
    dag_id="easyrec_reconcile",
    schedule=timedelta(minutes=5),
    start_date=datetime(2020, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # else jobs that nobody watches would cost money until somebody looks
    dagrun_timeout=timedelta(minutes=30),
    tags=["easyrec"],
    doc_md=RECONCILE,
    params={
        GRACE_MINUTES: Param(2, type="number", minimum=0, title="Leave what changed in the last minutes"),
        STOP_UNKNOWN: Param(
            False,
            type="boolean",
            title="Also stop jobs that the store doesn't know",
            description="After the store was restored from a backup. Never while a copy of it is in use elsewhere.",
        ),
    },
) as dag:
    ReconcileOperator(task_id="reconcile", retries=1, retry_delay=timedelta(seconds=30))
    gave_way = RunsThatGaveWayOperator(
        task_id="runs_that_gave_way", retries=2, retry_delay=timedelta(seconds=10)
    )
    StartAgainOperator.partial(task_id="start_again", retries=2, retry_delay=timedelta(seconds=10)).expand(
        run=gave_way.output
    )
