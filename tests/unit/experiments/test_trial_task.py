"""The trial's task around its trigger: what it hands on, and what it must not leave running."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from unittest import mock

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from easyrec import runtime
from easyrec.operators import trial as trial_operator
from easyrec.operators.trial import TrialOperator
from include.errors import AccessError, PermanentError, RetryableError, StaleEpochError
from include.experiments.job_starter import JobStarter
from include.search.trial import TrialState
from include.store import ExperimentState, StepState


@pytest.fixture
def task(lab, monkeypatch):
    lab.open(trials=3)
    monkeypatch.setattr(runtime, "services_of_trial", lambda _experiment, _trial: (lab.services, lab.plan))
    monkeypatch.setattr(runtime, "services_of", lambda _experiment: (lab.services, lab.plan))
    monkeypatch.setattr(runtime, "open_store", lambda: lab.store)
    monkeypatch.setattr(trial_operator, "show_label", lambda text: None)
    return Task(lab)


class Task:
    """One mapped task instance, run as Airflow runs it."""

    def __init__(self, lab) -> None:
        self.lab = lab
        self.operator = TrialOperator(task_id="trial", assignment=asdict(lab.opened.assignments[0]))
        self.ti = SimpleNamespace(
            dag_id="dag", run_id="run", task_id="trial", map_index=0, try_number=1, max_tries=3
        )
        self.state = "running"

    def execute(self, after=None) -> None:
        """From the start, or ``after`` what a wait found."""
        states = {"run": {"trial_0": self.state}}
        with mock.patch.object(RuntimeTaskInstance, "get_task_states", autospec=True, return_value=states):
            if after is None:
                TrialOperator.execute.__wrapped__(self.operator, {"ti": self.ti})
            else:
                self.operator.resumed({"ti": self.ti}, {"found": after})

    def start(self) -> None:
        with pytest.raises(TaskDeferred):
            self.execute()
        self.lab.jobs.run(self.lab.job().job_id)

    def resume(self, **event):
        payload = {"experiment": self.lab.experiment, "trial": 0, **event}
        return self.operator.resume({"ti": self.ti}, payload)

    @property
    def trial(self):
        return self.lab.store.trial(self.lab.experiment, 0)


def test_a_trigger_that_can_not_go_on_is_tried_again_with_the_same_job(task):
    task.start()

    with pytest.raises(AirflowException) as caught:
        task.resume(error="the key was revoked")

    assert not isinstance(caught.value, AirflowFailException)
    task.ti.try_number = 2
    task.start()
    assert len(task.lab.jobs.jobs) == 1


def test_at_the_last_try_the_job_is_stopped(task):
    """Nobody would look at it before the whole search ends."""
    task.start()
    task.ti.try_number = 4

    with pytest.raises(AirflowException, match="the assessor broke"):
        task.resume(error="the assessor broke")

    assert task.lab.job().stops == 1
    assert (task.trial.state, task.trial.reason) == (TrialState.FAILED, "the assessor broke")


def test_any_error_in_the_last_try_stops_the_job_of_the_tries_before(task):
    task.start()
    task.ti.try_number = 4

    with (
        mock.patch.object(JobStarter, "start", autospec=True, side_effect=KeyError("a bug")),
        pytest.raises(KeyError),
    ):
        task.execute()

    assert task.lab.job().stops == 1
    assert task.trial.state is TrialState.FAILED
    assert "a bug" in task.trial.reason


def early_stopped_but_running(task) -> None:
    """The verdict is recorded, the stop was refused."""
    lab = task.lab
    task.start()
    lab.evaluate(lab.job(), 10, auc_is_like=0.5, auc_is_love=0.5)
    lab.verdict.stop = True
    with (
        mock.patch.object(lab.jobs, "stop", autospec=True, side_effect=AccessError("no right to stop")),
        pytest.raises(AccessError),
    ):
        lab.watcher().poll()


def test_an_end_is_not_a_success_while_its_job_runs_on(task):
    early_stopped_but_running(task)

    with pytest.raises(AirflowException, match="no right to stop"):
        task.resume(error="no right to stop")

    task.ti.try_number = 2
    task.execute()
    assert task.lab.job().stops == 1
    assert task.trial.state is TrialState.EARLY_STOPPED


def test_an_end_whose_job_can_not_be_stopped_fails_the_task_and_keeps_the_verdict(task):
    early_stopped_but_running(task)
    task.ti.try_number = 2

    with (
        mock.patch.object(task.lab.jobs, "stop", autospec=True, side_effect=AccessError("no right to stop")),
        pytest.raises(AirflowFailException, match="no right to stop"),
    ):
        task.execute()

    assert task.trial.state is TrialState.EARLY_STOPPED
    assert task.lab.store.steps(task.lab.experiment)[0].state is not StepState.STOPPED


def test_a_poll_that_died_after_the_end_was_recorded_is_no_error(task):
    task.start()
    task.lab.finish()

    assert task.resume(error="something later")["state"] == "SUCCEEDED"


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
def test_a_user_who_ends_the_task_before_it_is_deferred_stops_the_job(task, state):
    """No trigger exists yet whose on_kill Airflow could call."""
    task.state = state

    with pytest.raises(AirflowFailException, match=state):
        task.execute()

    assert task.lab.job().stops == 1
    assert task.trial.state is TrialState.CANCELLED


@pytest.mark.parametrize("state", ["running", "restarting", "queued", None])
def test_a_task_that_has_not_ended_keeps_its_job(task, state):
    task.state = state

    task.start()

    assert task.lab.job().stops == 0


def test_a_try_that_woke_up_after_a_clear_leaves_the_new_epoch_alone(task):
    task.start()
    task.lab.start(0, max_tries=7)  # the cleared task's new try
    task.ti.max_tries = 7

    with (
        mock.patch.object(JobStarter, "start", autospec=True, side_effect=StaleEpochError("epoch 1, not 0")),
        pytest.raises(AirflowFailException),
    ):
        task.execute()

    assert task.lab.job(1).stops == 0
    assert task.trial.state is TrialState.SUBMITTED


def test_a_refused_job_fails_the_trial_for_good(task):
    with (
        mock.patch.object(task.lab.jobs, "submit", autospec=True, side_effect=PermanentError("quota")),
        pytest.raises(AirflowFailException, match="quota"),
    ):
        task.execute()

    assert (task.trial.state, task.trial.reason) == (TrialState.FAILED, "quota")


def test_trouble_that_may_pass_leaves_the_trial_for_the_next_try(task):
    with (
        mock.patch.object(task.lab.jobs, "submit", autospec=True, side_effect=RetryableError("503")),
        pytest.raises(AirflowException),
    ):
        task.execute()

    assert task.trial.state is TrialState.WAITING


def test_a_task_that_wants_to_ask_while_paused_waits_and_asks_when_resumed(task):
    store, experiment = task.lab.store, task.lab.experiment
    store.set_experiment_state(experiment, ExperimentState.PAUSED, "", "ada")
    with pytest.raises(TaskDeferred) as waiting:
        task.execute()
    trigger = waiting.value.trigger
    assert (waiting.value.method_name, trigger.look()) == ("resumed", None)
    assert task.lab.jobs.jobs == {}

    store.set_experiment_state(experiment, ExperimentState.RUNNING, "", "ada")

    assert trigger.look() == {"state": "RUNNING"}
    with pytest.raises(TaskDeferred) as started:
        task.execute(after=trigger.look())
    assert started.value.method_name == "resume"
    assert len(task.lab.jobs.jobs) == 1


def test_a_task_that_waited_paused_is_skipped_when_the_search_is_stopped(task):
    store, experiment = task.lab.store, task.lab.experiment
    store.set_experiment_state(experiment, ExperimentState.PAUSED, "", "ada")
    with pytest.raises(TaskDeferred):
        task.execute()
    store.set_experiment_state(experiment, ExperimentState.CANCELLED, "stopped by ada", "ada")

    with pytest.raises(AirflowSkipException, match="stopped by ada"):
        task.execute(after={"state": "CANCELLED"})

    assert task.lab.jobs.jobs == {}
