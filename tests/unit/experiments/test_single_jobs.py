"""A job outside of any search: what the tasks after it are told of what it made."""

from __future__ import annotations

from typing import Any

from include.experiments.job_plan import EVALUATE, JobPlan, JobSpec
from include.experiments.single_job import job_outcome, start_job
from include.experiments.trial_watcher import TrialWatcher
from include.store import TaskKey, Trial

TRAINED = "oss://sandbox-bucket/movielens/finetune/20220601_model"
TASK = TaskKey("daily_finetune_movielens", "june1", "evaluate", -1)


def evaluate(lab, *, tries: int = 3, **parameters: str) -> Trial:
    """An evaluation of a trained model, to its end."""
    spec = JobSpec(
        xflow_name="easy_rec_ext",
        xflow_project="algo_public",
        parameters={"cmd": "evaluate", "config": f"{TRAINED}/pipeline.config", **parameters},
        model_dir=TRAINED,
        settings=lab.plan.settings,
        command=EVALUATE,
    )
    trial = start_job(lab.services, spec, model="movielens", task=TASK, task_max_tries=tries, by="test")
    job = lab.job(-1)
    lab.jobs.run(job.job_id)
    lab.jobs.succeed(job.job_id)
    plan = JobPlan.of_trial(trial.parameters)
    watcher = TrialWatcher(
        lab.services, plan, experiment=trial.experiment_id, trial=trial.number, epoch=trial.epoch
    )
    return watcher.poll()


def result_of(lab, trial: Trial) -> Any:
    return job_outcome(lab.services, trial)["eval_result"]


def test_an_evaluation_writes_its_result_where_the_next_task_is_told_to_look(lab):
    trial = evaluate(lab)

    sent = lab.job().payload.parameters
    assert sent["model_dir"] == TRAINED
    assert result_of(lab, trial) == f"{TRAINED}/{sent['eval_result_path']}"


def test_a_cleared_evaluation_is_not_judged_by_the_result_of_the_one_before(lab):
    first = result_of(lab, evaluate(lab))

    assert result_of(lab, evaluate(lab, tries=4)) != first


def test_a_result_may_have_the_name_that_the_ini_gives_it(lab):
    assert result_of(lab, evaluate(lab, eval_result_path="mine.txt")) == f"{TRAINED}/mine.txt"
