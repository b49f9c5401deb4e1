"""Begin search: one DAG for each model folder that has a ``begin`` folder."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from easyrec.callbacks import on_failure, on_run_failure
from easyrec.discovery import begin_models
from easyrec.docs import BEGIN_SEARCH
from easyrec.operators.begin_search import CloseExperimentOperator, OpenExperimentOperator
from easyrec.operators.trial import TrialOperator
from easyrec.search_form import search_form
from include.notices import Kind

for model in begin_models():
    trials_default = (model.plan and model.plan.search.max_trials) or None
    tell = on_failure(model.name, model.notify, Kind.SEARCH_FAILED)
    with DAG(
        dag_id=f"begin_search_{model.name}",
        schedule=None,
        max_active_runs=16,
        max_active_tasks=1024,
        tags=["easyrec", "begin", model.name],
        doc_md=model.problem or BEGIN_SEARCH,
        on_failure_callback=on_run_failure(model.name, model.notify, Kind.SEARCH_FAILED),
        params=search_form(trials_default),
    ) as dag:
        opened = OpenExperimentOperator(
            task_id="open_experiment",
            model_folder=str(model.path),
            on_failure_callback=tell,
            retries=3,
            retry_delay=timedelta(seconds=30),
        )
        trials = TrialOperator.partial(
            task_id="trial",
            pool=model.pool,
            map_index_template="{{ trial_label }}",
            retries=3,
            retry_delay=timedelta(seconds=15),
        ).expand(assignment=opened.output)
        close = CloseExperimentOperator(
            task_id="close_experiment",
            model=model.name,
            experiment="{{ ti.xcom_pull(task_ids='open_experiment', key='experiment') }}",
            trigger_rule="all_done",
            on_failure_callback=tell,
            retries=3,
            retry_delay=timedelta(seconds=30),
        )
        trials >> close
    globals()[dag.dag_id] = dag
