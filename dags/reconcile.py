"""Every few minutes: what nobody owns is stopped, and what ended unseen is closed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from easyrec.docs import RECONCILE
from easyrec.operators.reconcile import ReconcileOperator

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
) as dag:
    ReconcileOperator(task_id="reconcile")
