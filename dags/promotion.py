"""Promotion by hand: for each model with a ``finetune`` folder, a DAG that promotes a day or rolls back."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from easyrec.daily import run_failure_callback
from easyrec.dates import FIELD
from easyrec.discovery import finetune_models
from easyrec.docs import PROMOTION
from easyrec.operators.promotion import REASON, ROLL_BACK_TO, ChangeServingOperator

for model in finetune_models():
    with DAG(
        dag_id=f"promotion_{model.name}",
        schedule=None,
        max_active_runs=4,  # one at a time changes what serves: the lease of the chain sees to it
        tags=["easyrec", "finetune", model.name],
        doc_md=model.problem or PROMOTION,
        params={
            FIELD: Param(None, type=["null", "string"], title="Let the model of this day serve"),
            ROLL_BACK_TO: Param(
                None, type=["null", "integer"], minimum=1, title="Or serve this promotion again"
            ),
            REASON: Param(None, type=["null", "string"], title="Why"),
        },
        on_failure_callback=run_failure_callback(model),
    ) as dag:
        ChangeServingOperator(
            task_id="change_what_serves",
            model=model.name,
            model_folder=str(model.path),
            retries=3,
            retry_delay=timedelta(seconds=30),
        )
    globals()[dag.dag_id] = dag
