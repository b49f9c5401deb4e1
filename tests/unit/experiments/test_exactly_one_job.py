"""Exactly one job per step, whatever dies or gets lost around its submit (design section 5)."""

from __future__ import annotations

from unittest import mock

import pytest

from include import names
from include.errors import PermanentError, RetryableError
from include.names import StepId
from include.search.trial import TrialState
from include.store import ExperimentStore, StepState


def test_a_task_that_starts_again_keeps_its_trial_and_its_job(lab):
    lab.open(trials=3)

    first, again = lab.start(0), lab.start(0)

    assert (again.number, again.parameters) == (first.number, first.parameters)
    assert len(lab.jobs.jobs) == 1


def test_two_tasks_never_share_a_trial(lab):
    lab.open(trials=3)

    trials = [lab.start(index) for index in range(3)]

    assert [t.number for t in trials] == [0, 1, 2]
    assert len({str(t.parameters) for t in trials}) == 3


def test_a_crash_between_submit_and_record_is_adopted_not_repeated(lab):
    lab.open(trials=1)
    with (
        mock.patch.object(ExperimentStore, "record_job", autospec=True, side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        lab.start(0)
    assert lab.store.steps(lab.experiment)[0].job_id is None

    trial = lab.start(0)

    assert trial.state is TrialState.SUBMITTED
    assert len(lab.jobs.jobs) == 1
    assert lab.store.steps(lab.experiment)[0].job_id == lab.job().job_id


def test_a_crash_before_the_submit_submits_once(lab):
    lab.open(trials=1)
    with (
        mock.patch.object(lab.jobs, "submit", autospec=True, side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        lab.start(0)

    lab.start(0)

    assert len(lab.jobs.jobs) == 1


def test_a_lost_answer_is_resolved_by_look_up(lab):
    lab.open(trials=1)
    lab.jobs.lose_answer()

    with mock.patch.object(lab.jobs, "submit", autospec=True, side_effect=lab.jobs.submit) as submit:
        lab.start(0)

    assert submit.call_count == 1
    assert len(lab.jobs.jobs) == 1


def test_a_request_that_never_arrived_is_looked_up_for_a_minute_then_sent_again_with_the_same_key(lab):
    lab.open(trials=1)
    lab.jobs.lose_request()
    began = lab.clock()

    with mock.patch.object(lab.jobs, "submit", autospec=True, side_effect=lab.jobs.submit) as submit:
        lab.start(0)

    assert 50 <= (lab.clock() - began).total_seconds() <= 60
    keys = {call.kwargs["submission_key"] for call in submit.call_args_list}
    assert submit.call_count == 2
    assert len(keys) == 1
    assert len(lab.jobs.jobs) == 1


def test_a_service_that_never_answers_is_a_retryable_error_and_nothing_is_forgotten(lab):
    lab.open(trials=1)
    lab.jobs.lose_request(100)

    with pytest.raises(RetryableError, match="no answer"):
        lab.start(0)

    assert lab.store.trials(lab.experiment)[0].state is TrialState.WAITING
    lab.jobs.lose_request(-lab.jobs._requests_to_lose)
    lab.start(0)
    assert len(lab.jobs.jobs) == 1


def test_the_submission_key_is_recorded_before_the_submit(lab):
    lab.open(trials=1)
    seen = []

    def submit(payload, *, submission_key, store_uuid):
        seen.append(lab.store.step_by_key(submission_key))
        return "job-1"

    with mock.patch.object(lab.jobs, "submit", autospec=True, side_effect=submit):
        lab.start(0)

    assert seen[0].state is StepState.INTENDED


def test_a_model_dir_that_holds_anything_is_refused_before_the_submit(lab):
    lab.open(trials=1)
    model_dir = names.trial_model_dir(lab.plan.base_dir, StepId(lab.experiment, 0))
    lab.objects.write(model_dir + "/model.ckpt-100.index", b"")

    with pytest.raises(PermanentError, match="not empty"):
        lab.start(0)

    assert not lab.jobs.jobs


def test_a_model_dir_of_another_installation_is_refused(lab):
    lab.open(trials=1)
    model_dir = names.trial_model_dir(lab.plan.base_dir, StepId(lab.experiment, 0))
    lab.objects.write(names.owner_marker(model_dir), b'{"store": "other", "submission_key": "k"}')

    with pytest.raises(PermanentError, match="belongs to another job"):
        lab.start(0)

    assert not lab.jobs.jobs


def test_a_clear_stops_the_old_job_and_starts_one_in_a_fresh_model_dir(lab):
    lab.open(trials=1)
    lab.start(0, max_tries=3)
    lab.jobs.run(lab.job().job_id)

    trial = lab.start(0, max_tries=4)

    old, new = lab.job(0), lab.job(1)
    assert old.stops == 1
    assert new.payload.parameters["model_dir"] != old.payload.parameters["model_dir"]
    assert trial.epoch == 1
    assert trial.parameters == lab.store.trial(lab.experiment, 0).parameters
    assert len(lab.jobs.jobs) == 2


def test_another_number_of_retries_in_the_dag_is_no_clear_while_max_tries_stays(lab):
    """Airflow keeps a task instance's max_tries when a deploy changes ``retries``."""
    lab.open(trials=1)
    lab.start(0, max_tries=3)

    trial = lab.start(0, max_tries=3)

    assert trial.epoch == 0
    assert len(lab.jobs.jobs) == 1


def test_a_clear_also_stops_a_job_whose_id_was_never_recorded(lab):
    lab.open(trials=1)
    with (
        mock.patch.object(ExperimentStore, "record_job", autospec=True, side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        lab.start(0, max_tries=3)

    lab.start(0, max_tries=4)

    assert lab.job(0).stops == 1
    assert len(lab.jobs.jobs) == 2


def test_a_failed_job_is_replaced_in_a_fresh_model_dir_as_often_as_allowed(lab):
    lab.open(trials=1)
    lab.start(0)
    watcher = lab.watcher()
    for number in range(2):
        lab.jobs.run(lab.job(number).job_id)
        watcher.poll()
        lab.jobs.fail(lab.job(number).job_id, "ODPS-0010000: out of resources")
        trial = watcher.poll()

    assert trial.state is TrialState.FAILED
    assert "out of resources" in trial.reason
    assert len({j.payload.parameters["model_dir"] for j in lab.jobs.jobs.values()}) == 2
    assert len(lab.jobs.jobs) == 2


def test_two_installations_never_use_one_key_or_token():
    uuids = ("2d5f3e3e-0f0f-4d1f-9a7e-000000000001", "2d5f3e3e-0f0f-4d1f-9a7e-000000000002")
    step = StepId("movielens-1", 0)

    keys = {names.submission_key(u, step) for u in uuids}
    experiments = {names.experiment_id("movielens", u, "dag", "run") for u in uuids}

    assert len(keys) == 2
    assert len(experiments) == 2
    assert names.parse_settings_token(names.settings_token(uuids[0], "key")) == (uuids[0], "key")
