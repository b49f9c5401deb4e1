"""Daily finetune: one DAG for each model folder that has a ``finetune`` folder."""

from __future__ import annotations

from airflow.sdk import DAG

from easyrec.daily import DayTasks, catches_up, end_date, form, run_failure_callback, schedule, start_date
from easyrec.discovery import finetune_models
from easyrec.docs import DAILY_FINETUNE

for model in finetune_models():
    with DAG(
        dag_id=f"daily_finetune_{model.name}",
        schedule=schedule(model),
        start_date=start_date(model),
        end_date=end_date(model),
        catchup=catches_up(model),
        is_paused_upon_creation=True,  # every day costs a job: a person turns the schedule on
        max_active_runs=16,  # one trains at a time: the lease of the chain sees to it
        tags=["easyrec", "finetune", model.name],
        doc_md=model.problem or DAILY_FINETUNE,
        params=form(model),
        on_failure_callback=run_failure_callback(model),
    ) as dag:
        make = DayTasks(model)
        wait = make.wait()
        if model.plan is not None:
            resolve = make.resolve()
            day = resolve.output
            patch = make.patch(day)
            train = make.train(day, patch.output)
            evaluate = make.evaluate(day, patch.output, train.output) if make.evaluates else None
            metrics = make.metrics(train.output, evaluate.output if evaluate else None)
            gate = make.gate(day, train.output, metrics.output)
            export = make.export(day, patch.output, train.output) if make.exports else None
            promote = make.promote(gate.output, export.output if export else None)
            retrain_later, finish = make.retrain_later(), make.finish()

            wait >> resolve >> patch >> train >> metrics >> gate >> promote >> retrain_later >> finish
            if evaluate:
                train >> make.wait("wait_evaluation", "evaluate") >> evaluate
            if export:
                gate >> export >> promote
            [wait, resolve, patch, train, metrics, gate, promote] >> finish
    globals()[dag.dag_id] = dag
