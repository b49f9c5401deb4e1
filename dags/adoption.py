"""Adoption by hand: for each model that has both, a finetune search's parameters for its daily finetune."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from easyrec.discovery import adoption_dag, finetune_models, finetune_search_models
from easyrec.docs import ADOPTION
from easyrec.operators.adoption import EXPERIMENT, NONE, REASON, TRIAL, AdoptOperator

searched = {model.name for model in finetune_search_models()}
for model in finetune_models():
    if model.name not in searched:
        continue
    with DAG(
        dag_id=adoption_dag(model.name),
        schedule=None,
        max_active_runs=1,
        tags=["easyrec", "finetune", model.name],
        doc_md=model.problem or ADOPTION,
        params={
            EXPERIMENT: Param(None, type=["null", "string"], title="A finetune search's id"),
            TRIAL: Param(
                None, type=["null", "integer"], minimum=0, title="Number of a trial; empty: the best one"
            ),
            NONE: Param(False, type="boolean", title="Or train days as before all adoptions"),
            REASON: Param(None, type=["null", "string"], title="Why"),
        },
    ) as dag:
        AdoptOperator(
            task_id="adopt", model_folder=str(model.path), retries=3, retry_delay=timedelta(seconds=30)
        )
    globals()[dag.dag_id] = dag
