"""Finetune search: one DAG for each model folder that has a ``finetune_search`` folder."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from easyrec.callbacks import on_failure, on_run_failure
from easyrec.discovery import finetune_search_models
from easyrec.docs import FINETUNE_SEARCH
from easyrec.operators.begin_search import CloseExperimentOperator
from easyrec.operators.finetune_search import OpenFinetuneSearchOperator
from easyrec.operators.trial import TrialOperator
from easyrec.search_form import search_form
from include.notices import Kind

for model in finetune_search_models():
    trials_default = (model.plan and model.plan.search.max_trials) or None
    tell = on_failure(model.name, model.notify, Kind.SEARCH_FAILED)
    with DAG(
        dag_id=f"finetune_search_{model.name}",
        schedule=None,
        max_active_runs=16,
        max_active_tasks=1024,
        default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
        tags=["easyrec", "finetune", model.name],
        doc_md=model.problem or FINETUNE_SEARCH,
        on_failure_callback=on_run_failure(model.name, model.notify, Kind.SEARCH_FAILED),
        params={
            "start_time": Param(None, type=["null", "string"], title="First day, like 2022-05-30"),
            "end_time": Param(None, type=["null", "string"], title="Last day, inclusive"),
            **search_form(trials_default),
        },
    ) as dag:
        opened = OpenFinetuneSearchOperator(
            task_id="open_experiment",
            model_folder=str(model.path),
            on_failure_callback=tell,
        )
        trials = TrialOperator.partial(
            task_id="trial",
            pool=model.pool,
            map_index_template="{{ trial_label }}",
        ).expand(assignment=opened.output)
        close = CloseExperimentOperator(
            task_id="close_experiment",
            model=model.name,
            begins_chains=False,
            experiment="{{ ti.xcom_pull(task_ids='open_experiment', key='experiment') }}",
            trigger_rule="all_done",
            on_failure_callback=tell,
        )
        trials >> close
    globals()[dag.dag_id] = dag
