"""What opening finds before anything is submitted, and what closing leaves behind."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from datetime import timedelta
from unittest import mock

import pytest

from include.errors import (
    AccessError,
    ConfigError,
    JobFailedError,
    NoMoreTrials,
    ProblemsError,
    RetryableError,
)
from include.experiments.closing import close_experiment
from include.experiments.plan import Plan
from include.experiments.settings import ModelSettings
from include.experiments.trial_starter import Assignment
from include.search import space as search_space
from include.search.trial import TrialState
from include.store import ExperimentState
from tests.support.fakes import MemoryJob, MemoryTables
from tests.unit.experiments.conftest import CONFIG_URL


def close(lab):
    return close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")


def problems_of(lab, **request) -> str:
    with pytest.raises(ProblemsError) as error:
        lab.open(**request)
    assert lab.store.experiments() == []
    assert not lab.jobs.jobs
    return str(error.value)


def test_opening_twice_in_one_run_is_one_experiment(lab):
    assert lab.open(trials=2).experiment.id == lab.open(trials=2).experiment.id
    assert len(lab.store.experiments()) == 1


def test_all_problems_are_found_at_once(lab):
    lab.services = replace(lab.services, tables=MemoryTables({("sandbox", "ratings_eval"): ()}))
    lab.objects.delete(lab.plan.job.parameters["config"])

    found = problems_of(lab)

    assert "no table ratings_train" in found
    assert lab.plan.job.parameters["config"] in found


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ('{"train_config.num_stepz": {"_type": "randint", "_value": [1, 9]}}', "num_steps"),
        ('{"data_config.batch_size": {"_type": "choice", "_value": [64, "many"]}}', "batch_size"),
        (
            '{"feature_configs[input_names[0]=nobody].embedding_dim": {"_type": "choice", "_value": [4]}}',
            "user_id",
        ),
    ],
)
def test_a_search_space_that_does_not_fit_the_real_config_is_found(lab, space, said):
    lab.plan = replace(lab.plan, space=search_space.parse(space, "search_space.json"))

    assert said in problems_of(lab)


def test_a_missing_pool_is_found_and_how_to_make_it_is_said(lab):
    lab.plan = replace(lab.plan, settings=ModelSettings(pool="elsewhere"))

    assert "airflow pools set elsewhere 4" in problems_of(lab)


def test_a_wrong_key_is_found(lab):
    lab.objects.fail_next(AccessError("SignatureDoesNotMatch"))

    assert "SignatureDoesNotMatch" in problems_of(lab)


def test_trouble_that_may_pass_is_retryable_and_leaves_nothing(lab):
    lab.objects.fail_next(RetryableError("503"))

    with pytest.raises(RetryableError):
        lab.open()

    assert lab.store.experiments() == []


def test_custom_parameters_come_first_and_are_checked(lab):
    good = {"data_config.batch_size": 32}
    assert "custom parameters 1" in problems_of(lab, custom_parameters=(good, {"nothing.like_this": 1}))

    opened = lab.open(trials=3, custom_parameters=(good,))

    assert [a.source for a in opened.assignments] == ["custom", "tuner", "tuner"]
    assert lab.start(0, assignment=opened.assignments[0]).parameters == good


def test_the_baseline_comes_on_top_and_the_tuner_never_sees_it(lab):
    opened = lab.open(trials=2, baseline=True)
    lab.start(0, assignment=opened.assignments[0])
    lab.finish(0)

    trial = lab.start(1, assignment=opened.assignments[1])

    assert len(opened.assignments) == 3
    assert trial.parameters["train_config.num_steps"] == 100  # the tuner's first suggestion
    assert "edit_config_json" not in lab.job(0).payload.parameters


def test_a_changed_folder_does_not_change_a_running_search(lab):
    opened = lab.open(trials=1)

    kept = Plan.from_snapshot(opened.experiment.snapshot)

    assert kept.texts == lab.plan.texts
    assert kept.pipeline_config == lab.plan.pipeline_config


def test_no_trial_is_asked_after_the_deadline(lab):
    lab.open(trials=5, max_duration=timedelta(hours=2))
    lab.clock.time += timedelta(hours=2, seconds=1)

    with pytest.raises(NoMoreTrials):
        lab.start(0)


def test_an_extension_adds_trials_to_an_ended_experiment_once(lab):
    first = lab.open(trials=1)
    lab.start(0)
    lab.finish(0)
    close(lab)

    for _ in range(2):  # a repeated open of the same run
        extended = lab.open(run_id="run2", trials=2, extend=first.experiment.id)

    assert extended.experiment.id == first.experiment.id
    assert extended.experiment.max_trials == 3
    assert extended.experiment.state is ExperimentState.RUNNING


def test_an_experiment_of_another_model_is_not_extended(lab):
    first = lab.open(trials=1)
    lab.plan = replace(lab.plan, model="other")

    with pytest.raises(ConfigError, match="belongs to model movielens"):
        lab.open(run_id="run2", trials=1, extend=first.experiment.id)


def test_closing_publishes_the_best_trial_and_its_config(lab):
    lab.open(trials=2)
    for index, value in enumerate((0.6, 0.8)):
        lab.start(index)
        lab.finish(index, value)

    report = close(lab)

    assert report.best.number == 1
    assert report.best_model_dir == lab.job(1).payload.parameters["model_dir"]
    published = json.loads(lab.objects.read(report.prefix + "report.json"))
    assert published["best"]["metric"] == pytest.approx(0.8)
    assert b"trial 1" in lab.objects.read(report.prefix + "report.html")
    assert b"num_steps: 101" in lab.objects.read(report.best_config)
    assert lab.store.experiment(lab.experiment).state is ExperimentState.FINISHED


def test_the_best_config_with_features_of_an_fg_json_is_the_one_that_easyrec_saved(lab):
    """Features that EasyRec loads from ``fg_json_path`` are not in the text, so nothing can be edited there."""
    without = re.sub(r"(?s)\nfeature_configs \{.*?\n\}", "", lab.objects.read(CONFIG_URL).decode())
    lab.objects.write(CONFIG_URL, f'{without}\nfg_json_path: "oss://sandbox-bucket/fg.json"\n'.encode())
    hidden = {"feature_configs[input_names[0]=user_id].embedding_dim": 8}
    opened = lab.open(trials=1, custom_parameters=(hidden,))
    lab.start(0, assignment=opened.assignments[0])
    lab.finish(0)

    report = close(lab)

    assert report.best_config == lab.job().payload.parameters["model_dir"] + "/pipeline.config"
    published = json.loads(lab.objects.read(report.prefix + "report.json"))
    assert published["best_config"] == report.best_config
    assert lab.store.experiment(lab.experiment).state is ExperimentState.FINISHED


def test_a_checkpoint_to_start_from_that_is_not_there_is_found(lab):
    url = "oss://sandbox-bucket/base/model.ckpt-100"
    job = lab.plan.job
    lab.plan = replace(lab.plan, job=replace(job, parameters={**job.parameters, "fine_tune_checkpoint": url}))
    assert url in problems_of(lab)

    for suffix in (".index", ".data-00000-of-00001"):
        lab.objects.write(url + suffix, b"")
    lab.open()


def test_an_early_stopped_trial_is_never_the_best(lab):
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0, 0.6)
    lab.start(1)
    lab.jobs.run(lab.job(1).job_id)
    lab.evaluate(lab.job(1), 10, auc_is_like=0.9, auc_is_love=0.9)
    lab.verdict.stop = True
    lab.watcher(1).poll()

    assert close(lab).best.number == 0


def test_closing_stops_what_was_left_running(lab):
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0)
    lab.start(1)
    lab.jobs.run(lab.job(1).job_id)

    close(lab)

    assert lab.job(1).stops == 1
    assert lab.store.trial(lab.experiment, 1).state is TrialState.CANCELLED


def test_a_job_that_succeeded_after_its_task_had_died_counts_with_its_results(lab):
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0, value=0.6)
    lab.start(1)
    job = lab.job(1)
    lab.jobs.run(job.job_id)
    lab.evaluate(job, 10, auc_is_like=0.9, auc_is_love=0.9)
    lab.jobs.succeed(job.job_id)  # nobody watches

    report = close(lab)

    assert (report.best.number, report.best.metric) == (1, pytest.approx(0.9))
    assert job.stops == 0


def test_a_trial_that_ends_while_others_are_closed_keeps_no_job_running(lab, monkeypatch):
    """Reconcile, or a trigger that was frozen, may end it after the list was read."""
    lab.open(trials=3)
    lab.start(0)
    lab.finish(0)
    lab.start(1)
    lab.start(2)
    stop = lab.jobs.stop

    def slow(job_id):
        if job_id == lab.job(1).job_id:
            lab.store.move_trial(lab.experiment, 2, epoch=0, to=TrialState.FAILED, reason="reconciled")
        stop(job_id)

    monkeypatch.setattr(lab.jobs, "stop", slow)

    close(lab)

    assert [lab.job(n).stops for n in (1, 2)] == [1, 1]
    assert lab.store.trial(lab.experiment, 2).reason == "reconciled"
    assert lab.store.experiment(lab.experiment).state is ExperimentState.FINISHED


def test_closing_stops_a_second_job_of_the_search_and_none_of_another(lab):
    lab.open(trials=1)
    lab.start(0)
    first, others = lab.job(), lab.jobs.jobs
    lab.finish(0)
    for job_id, key, uuid in (("twin", first.submission_key, lab.store.uuid), ("foreign", "key", "other")):
        others[job_id] = MemoryJob(job_id, first.payload, key, uuid, lab.clock())

    close(lab)

    assert (others["twin"].stops, others["foreign"].stops, first.stops) == (1, 0, 0)


@pytest.mark.parametrize("error", [RetryableError("503"), AccessError("no right to list instances")])
def test_a_list_of_jobs_that_can_not_be_had_does_not_fail_the_search(lab, monkeypatch, error):
    lab.open(trials=1)
    lab.start(0)
    lab.finish(0)
    monkeypatch.setattr(lab.jobs, "list_owned", mock.Mock(side_effect=error))

    assert close(lab).best.number == 0


def test_closing_leaves_the_trials_of_another_run_alone(lab):
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0)
    lab.start(1)

    close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="other", by="test")

    assert lab.job(1).stops == 0
    assert lab.store.experiment(lab.experiment).state is ExperimentState.RUNNING


def test_a_search_without_any_success_fails_and_says_why(lab):
    lab.open(trials=1)
    lab.start(0)
    watcher = lab.watcher()
    for number in range(2):
        lab.jobs.fail(lab.job(number).job_id, "ODPS-0130131: table not found")
        watcher.poll()

    with pytest.raises(JobFailedError, match="table not found"):
        close(lab)

    assert lab.store.experiment(lab.experiment).state is ExperimentState.FAILED


def test_a_failed_trial_among_others_does_not_fail_the_search(lab):
    lab.plan = replace(lab.plan, settings=ModelSettings(max_trial_retries=0))
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0)
    lab.start(1)
    lab.jobs.fail(lab.job(1).job_id)
    lab.watcher(1).poll()

    assert close(lab).count(TrialState.FAILED) == 1  # the model sets no limit of failed trials


def test_more_failed_trials_than_allowed_fail_the_search(lab):
    texts = {**lab.plan.texts, "model.yml": "max_failed_trials: 0\nmax_trial_retries: 0\n"}
    lab.plan = Plan.from_snapshot({**lab.plan.snapshot(), "texts": texts})
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0)
    lab.start(1)
    lab.jobs.fail(lab.job(1).job_id)
    lab.watcher(1).poll()

    with pytest.raises(JobFailedError, match="max_failed_trials"):
        close(lab)


def test_parameters_by_a_patched_config_point_the_job_at_a_copy(lab):
    lab.plan = replace(lab.plan, settings=ModelSettings(parameters_via="patched_config"))
    lab.open(trials=1)

    lab.start(0)

    parameters = lab.job().payload.parameters
    assert "edit_config_json" not in parameters
    assert not parameters["config"].startswith(parameters["model_dir"])
    patched = lab.objects.read(parameters["config"]).decode()
    original = lab.plan.pipeline_config
    changed = [(a, b) for a, b in zip(original.splitlines(), patched.splitlines(), strict=True) if a != b]
    assert [after for _, after in changed] == ["  num_steps: 100", "  batch_size: 64"]


def test_custom_and_tuned_assignments_survive_airflows_json(lab):
    opened = lab.open(trials=2, custom_parameters=({"data_config.batch_size": 32},))
    again = [Assignment(**json.loads(json.dumps(asdict(a)))) for a in opened.assignments]

    assert again == list(opened.assignments)
