"""A stop that meets a submit: whichever comes first, no job is left without an owner (design section 5)."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import pytest

from include import names
from include.errors import PermanentError, RetryableError, StateError
from include.experiments.closing import close_experiment
from include.experiments.trial_job import TrialJob
from include.names import StepId
from include.ports import JobState
from include.search.trial import TrialState
from include.store import ExperimentStore, StepState


def running_jobs(lab) -> list[str]:
    return [j.job_id for j in lab.jobs.jobs.values() if not j.status.state.is_terminal]


def during_the_submit(lab, action, *, on_call: int = 1):
    """``action`` happens while the service answers a submit."""
    submit, calls = lab.jobs.submit, []

    def interrupted(payload, *, submission_key, store_uuid):
        calls.append(submission_key)
        if len(calls) == on_call:
            action()
        return submit(payload, submission_key=submission_key, store_uuid=store_uuid)

    return mock.patch.object(lab.jobs, "submit", autospec=True, side_effect=interrupted)


def close(lab):
    return close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")


def test_a_job_whose_submit_returns_after_the_search_was_closed_is_stopped(lab):
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0)

    with during_the_submit(lab, lambda: close(lab)), pytest.raises(StateError, match="stopped while"):
        lab.start(1)

    assert len(lab.jobs.jobs) == 2
    assert running_jobs(lab) == []


@pytest.fixture
def failing(lab):
    """A trial whose first job has failed: the next poll replaces it."""
    lab.open(trials=2)
    lab.start(0)
    lab.jobs.run(lab.job().job_id)
    lab.watcher().poll()
    lab.jobs.fail(lab.job().job_id)
    return lab


def test_a_user_who_ends_the_task_while_its_job_is_replaced_leaves_no_job(failing):
    """on_kill runs beside a poll: cancelling a coroutine does not end the thread it waits for."""
    lab = failing

    with during_the_submit(lab, lambda: lab.watcher().cancel("a user")), pytest.raises(StateError):
        lab.watcher().poll()

    assert running_jobs(lab) == []
    assert lab.store.trial(lab.experiment, 0).state is TrialState.CANCELLED


def test_no_replacement_is_submitted_for_a_trial_that_a_user_has_just_ended(failing):
    lab = failing
    render, watcher = lab.plan.render_trial, lab.watcher()

    def ended_meanwhile(*arguments, **named):
        lab.watcher().cancel("a user")
        return render(*arguments, **named)

    with (
        mock.patch.object(type(lab.plan), "render_trial", side_effect=ended_meanwhile),
        pytest.raises(StateError),
    ):
        watcher.poll()

    assert len(lab.jobs.jobs) == 1


def test_a_clear_while_the_old_epochs_job_is_replaced_leaves_only_the_new_epochs_job(failing):
    lab = failing

    with during_the_submit(lab, lambda: lab.start(0, max_tries=4)), pytest.raises(PermanentError):
        lab.watcher(epoch=0).poll()

    [left] = running_jobs(lab)
    assert left == lab.store.latest_step(lab.experiment, 0, epoch=1).job_id


def test_a_clear_that_meets_a_replacement_about_to_be_made_wins(failing):
    """The old trigger replaces the failed job just before the new epoch begins."""
    lab = failing
    begin = ExperimentStore.begin_epoch
    with (
        mock.patch.object(TrialJob, "ensure", autospec=True, side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        lab.watcher(epoch=0).poll()

    def replaced_first(store, *arguments, **options):
        lab.watcher(epoch=0).poll()
        return begin(store, *arguments, **options)

    with mock.patch.object(ExperimentStore, "begin_epoch", autospec=True, side_effect=replaced_first):
        lab.start(0, max_tries=4)

    [left] = running_jobs(lab)
    assert left == lab.store.latest_step(lab.experiment, 0, epoch=1).job_id


def test_a_clear_that_died_before_it_stopped_the_old_job_is_finished_by_the_retry(lab):
    lab.open(trials=1)
    lab.start(0, max_tries=3)
    with (
        mock.patch.object(lab.jobs, "stop", autospec=True, side_effect=RetryableError("503")),
        pytest.raises(RetryableError),
    ):
        lab.start(0, max_tries=4)

    lab.start(0, max_tries=4)

    assert lab.job(0).stops == 1
    assert running_jobs(lab) == [lab.job(1).job_id]


@pytest.mark.parametrize("retries", [1, 3])
def test_a_watcher_that_was_frozen_does_not_revive_a_trial_that_has_ended_since(failing, retries):
    """A triggerer stands still in the middle of a replacement, another takes over, then the first goes on."""
    lab = failing
    more = lab.plan.settings.model_copy(update={"max_trial_retries": retries})
    lab.plan = replace(lab.plan, settings=more)
    frozen, move = lab.watcher(), ExperimentStore.move_trial

    def frozen_here(store, *arguments, **options):
        with mock.patch.object(ExperimentStore, "move_trial", move):
            lab.watcher().poll()
            lab.jobs.run(lab.job(1).job_id)
            lab.evaluate(lab.job(1), 10, auc_is_like=0.5, auc_is_love=0.5)
            lab.jobs.succeed(lab.job(1).job_id)
            assert lab.watcher().poll().state is TrialState.SUCCEEDED
        return move(store, *arguments, **options)

    with (
        mock.patch.object(ExperimentStore, "move_trial", autospec=True, side_effect=frozen_here),
        pytest.raises(StateError, match="SUCCEEDED"),
    ):
        frozen.poll()

    assert len(lab.jobs.jobs) == 2
    assert lab.store.trial(lab.experiment, 0).state is TrialState.SUCCEEDED


def test_a_second_job_of_one_key_is_stopped(lab):
    """Two tries at once, and a service that ignores Guids: one of the two jobs is one too many."""
    lab.open(trials=1)

    def other_try_first():
        lab.start(0)
        lab.job(0).submission_key = "ignored by this service"

    with during_the_submit(lab, other_try_first), pytest.raises(StateError, match="can't have"):
        lab.start(0)

    assert len(lab.jobs.jobs) == 2
    assert running_jobs(lab) == [lab.store.latest_step(lab.experiment, 0, epoch=0).job_id]


def test_a_job_recorded_while_its_key_was_looked_up_is_stopped_too(lab):
    """The listing lags: look-up finds nothing although the job's id was recorded meanwhile."""
    lab.open(trials=1)
    with (
        mock.patch.object(ExperimentStore, "record_job", autospec=True, side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        lab.start(0)

    def recorded_meanwhile(**_):
        lab.store.record_job(StepId(lab.experiment, 0), lab.job().job_id)

    with mock.patch.object(lab.jobs, "find", autospec=True, side_effect=recorded_meanwhile):
        lab.watcher().cancel("a user")

    assert running_jobs(lab) == []


def test_the_end_of_a_trial_whose_stop_failed_is_not_reported_before_its_job_is_stopped(lab):
    lab.open(trials=1)
    lab.start(0)
    lab.jobs.run(lab.job().job_id)
    lab.evaluate(lab.job(), 10, auc_is_like=0.5, auc_is_love=0.5)
    lab.verdict.stop = True
    with (
        mock.patch.object(lab.jobs, "stop", autospec=True, side_effect=PermanentError("no right to stop")),
        pytest.raises(PermanentError),
    ):
        lab.watcher().poll()

    trial = lab.start(0)  # the task's next try

    assert trial.state is TrialState.EARLY_STOPPED
    assert lab.job().stops == 1


def test_a_trigger_killed_between_record_and_state_does_not_lose_the_trial(failing):
    """The replacement's job is recorded, the trial still WAITING: it must not end as 'can't go to …'."""
    lab = failing
    move = ExperimentStore.move_trial

    def killed(store, *arguments, **options):
        if options["to"] is TrialState.SUBMITTED:
            raise MemoryError
        return move(store, *arguments, **options)

    with (
        mock.patch.object(ExperimentStore, "move_trial", autospec=True, side_effect=killed),
        pytest.raises(MemoryError),
    ):
        lab.watcher().poll()
    lab.jobs.run(lab.job(1).job_id)
    lab.evaluate(lab.job(1), 10, auc_is_like=0.5, auc_is_love=0.5)
    watcher = lab.watcher()
    watcher.poll()
    lab.jobs.succeed(lab.job(1).job_id)
    watcher.poll()

    assert watcher.poll().state is TrialState.SUCCEEDED
    assert len(lab.jobs.jobs) == 2


def test_a_retry_watches_its_job_also_when_the_software_would_render_it_otherwise_now(lab):
    """A deploy while trials run: the job that runs is the one that was recorded."""
    lab.open(trials=1)
    lab.start(0)
    newer = lab.plan.settings.model_copy(update={"max_training_hours": 7.0})
    lab.plan = lab.plan.__class__(**{**vars(lab.plan), "settings": newer})

    trial = lab.start(0)

    assert trial.state is TrialState.SUBMITTED
    assert len(lab.jobs.jobs) == 1
    assert lab.job().status.state is JobState.WAITING


class TestModelDir:
    @pytest.fixture
    def model_dir(self, lab):
        lab.open(trials=1)
        return names.trial_model_dir(lab.plan.base_dir, StepId(lab.experiment, 0))

    def test_is_looked_into_again_when_the_first_look_failed(self, lab, model_dir):
        lab.objects.write(model_dir + "/model.ckpt-100.index", b"")
        with (
            mock.patch.object(lab.objects, "list", autospec=True, side_effect=RetryableError("503")),
            pytest.raises(RetryableError),
        ):
            lab.start(0)

        with pytest.raises(PermanentError, match="not empty"):
            lab.start(0)

        assert not lab.jobs.jobs

    def test_with_a_marker_that_is_not_ours_to_read_is_refused_with_its_text(self, lab, model_dir):
        lab.objects.write(names.owner_marker(model_dir), b"mine! - Ada")

        with pytest.raises(PermanentError, match="mine! - Ada"):
            lab.start(0)

        assert not lab.jobs.jobs


def test_a_step_is_not_intended_for_a_trial_that_has_ended(lab):
    lab.open(trials=1)
    lab.start(0)
    lab.watcher().cancel("a user")

    with pytest.raises(StateError, match="CANCELLED"):
        lab.store.intend_step(
            StepId(lab.experiment, 0, attempt=1), submission_key="k", model_dir="oss://b/m", payload={}
        )

    assert [s.state for s in lab.store.steps(lab.experiment)] == [StepState.STOPPED]
