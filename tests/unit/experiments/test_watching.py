"""From a running job to a trial's end: results, early stops, deadlines, interrupted records."""

from __future__ import annotations

import math
from datetime import timedelta
from unittest import mock

import pytest

from include import names
from include.errors import ConfigError, NoMoreTrials, RetryableError, StateError
from include.search.trial import TrialState
from include.store import ExperimentState, ExperimentStore, StepState

METRICS = {"auc_is_like": 0.8, "auc_is_love": 0.6}
OBJECTIVE = 0.75 * 0.8 + 0.25 * 0.6


@pytest.fixture
def running(lab):
    """A lab whose trial 0 trains."""
    lab.open(trials=5)
    lab.start(0)
    lab.jobs.run(lab.job().job_id)
    return lab


def test_a_waiting_job_is_told_from_a_running_one(lab):
    lab.open(trials=1)
    lab.start(0)
    watcher = lab.watcher()

    assert watcher.poll().state is TrialState.SUBMITTED
    lab.jobs.run(lab.job().job_id)
    assert watcher.poll().state is TrialState.RUNNING


def test_results_are_recorded_once_however_often_they_are_polled(running):
    watcher = running.watcher()
    running.evaluate(running.job(), 10, **METRICS)
    watcher.poll()
    watcher.poll()
    running.watcher().poll()  # a restarted triggerer reads from the start

    results = running.store.results(running.experiment, 0)

    assert [(r.global_step, r.objective) for r in results] == [(10, pytest.approx(OBJECTIVE))]


def test_a_finished_job_gives_the_last_objective(running):
    running.evaluate(running.job(), 10, auc_is_like=0.9, auc_is_love=0.9)
    running.evaluate(running.job(), 20, **METRICS)
    running.jobs.succeed(running.job().job_id)

    trial = running.watcher().poll()

    assert trial.state is TrialState.SUCCEEDED
    assert trial.metric == pytest.approx(OBJECTIVE)
    assert trial.metrics["auc_is_like"] == pytest.approx(0.8)


def test_a_poor_trial_is_stopped_within_one_poll_and_is_no_failure(running):
    running.verdict.stop, running.verdict.reason = True, "0.69 is worse than the median 0.70"
    running.evaluate(running.job(), 10, **METRICS)

    trial = running.watcher().poll()

    assert trial.state is TrialState.EARLY_STOPPED
    assert trial.reason == "0.69 is worse than the median 0.70"
    assert trial.metric == pytest.approx(OBJECTIVE)
    assert running.job().stops == 1
    assert running.store.steps(running.experiment)[0].state is StepState.STOPPED


def test_a_stop_that_could_not_be_sent_is_sent_at_the_next_poll(running):
    running.verdict.stop = True
    running.evaluate(running.job(), 10, **METRICS)
    with (
        mock.patch.object(running.jobs, "stop", autospec=True, side_effect=RetryableError("503")),
        pytest.raises(RetryableError),
    ):
        running.watcher().poll()

    running.watcher().poll()

    assert running.job().stops == 1


def test_an_end_whose_record_was_interrupted_is_concluded_by_the_next_watcher(running):
    running.evaluate(running.job(), 10, **METRICS)
    running.jobs.succeed(running.job().job_id)
    running.watcher()
    with (
        mock.patch.object(ExperimentStore, "move_trial", autospec=True, side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        running.watcher().poll()

    assert running.watcher().poll().state in (TrialState.RUNNING, TrialState.SUCCEEDED)
    assert running.watcher().poll().state is TrialState.SUCCEEDED


def test_a_metric_of_exactly_zero_counts(running):
    running.evaluate(running.job(), 10, auc_is_like=0.0, auc_is_love=0.0)
    running.jobs.succeed(running.job().job_id)

    trial = running.watcher().poll()

    assert (trial.state, trial.metric) == (TrialState.SUCCEEDED, 0.0)


def test_only_nan_is_a_failed_trial_with_its_reason(running):
    running.evaluate(running.job(), 10, auc_is_like=float("nan"), auc_is_love=0.5)
    running.jobs.succeed(running.job().job_id)

    trial = running.watcher().poll()

    assert trial.state is TrialState.FAILED
    assert "NaN" in trial.reason
    assert math.isnan(running.store.history(running.experiment).ended[0].value)  # the tuner is told


def test_a_job_that_ends_without_an_evaluation_fails_only_after_a_grace_for_late_files(running):
    running.jobs.succeed(running.job().job_id)
    watcher = running.watcher()
    assert watcher.poll().state is TrialState.RUNNING
    running.evaluate(running.job(), 10, **METRICS)

    assert watcher.poll().state is TrialState.SUCCEEDED


def test_the_evaluation_of_the_newest_checkpoint_is_waited_for(running):
    model_dir = running.job().payload.parameters["model_dir"]
    for ending in (".index", ".data-00000-of-00001"):
        running.objects.write(f"{model_dir}/model.ckpt-20{ending}", b"x")
    running.evaluate(running.job(), 10, auc_is_like=0.5, auc_is_love=0.5)
    running.jobs.succeed(running.job().job_id)
    watcher = running.watcher()
    assert watcher.poll().state is TrialState.RUNNING
    running.evaluate(running.job(), 20, auc_is_like=0.9, auc_is_love=0.9)

    trial = watcher.poll()

    assert (trial.state, trial.metric) == (TrialState.SUCCEEDED, pytest.approx(0.9))


def test_an_evaluation_that_is_being_written_at_the_end_is_waited_for(running):
    running.evaluate(running.job(), 10, auc_is_like=0.5, auc_is_love=0.5)
    whole = f"{running.job().payload.parameters['model_dir']}/eval_val/events.out.tfevents.1.host"
    before = running.objects.read(whole)
    running.evaluate(running.job(), 20, auc_is_like=0.9, auc_is_love=0.9)
    after = running.objects.read(whole)
    running.objects.write(whole, after[:-5])
    running.jobs.succeed(running.job().job_id)
    watcher = running.watcher()
    assert len(before) < len(after) - 5
    assert watcher.poll().state is TrialState.RUNNING
    running.objects.write(whole, after)

    assert watcher.poll().metric == pytest.approx(0.9)


def test_an_evaluation_that_never_comes_is_not_waited_for_for_ever(running):
    model_dir = running.job().payload.parameters["model_dir"]
    for ending in (".index", ".data-00000-of-00001"):
        running.objects.write(f"{model_dir}/model.ckpt-20{ending}", b"x")
    running.evaluate(running.job(), 10, **METRICS)
    running.jobs.succeed(running.job().job_id)
    watcher = running.watcher()

    assert [watcher.poll().state for _ in range(5)][-1] is TrialState.SUCCEEDED


def test_a_job_without_any_evaluation_fails_and_names_the_tags(running):
    running.jobs.succeed(running.job().job_id)
    watcher = running.watcher()

    trials = [watcher.poll() for _ in range(5)]

    assert trials[-1].state is TrialState.FAILED
    assert "auc_is_like" in trials[-1].reason


def test_a_misspelt_tag_stops_the_job_and_the_search_and_lists_what_is_there(running):
    running.evaluate(running.job(), 10, auc_is_liked=0.7, auc_is_love=0.6)
    watcher = running.watcher()
    watcher.poll()
    running.evaluate(running.job(), 20, auc_is_liked=0.7, auc_is_love=0.6)

    trial = watcher.poll()

    assert trial.state is TrialState.FAILED
    assert "auc_is_liked" in trial.reason
    assert running.job().stops == 1
    assert running.store.experiment(running.experiment).state is ExperimentState.FAILED
    with pytest.raises((NoMoreTrials, StateError)):
        running.start(1)
    assert len(running.jobs.jobs) == 1


def test_a_config_that_easyrec_ran_otherwise_fails_the_trial(running):
    running.evaluate(running.job(), 10, **METRICS)
    saved = names.saved_pipeline_config(running.job().payload.parameters["model_dir"])
    running.objects.write(saved, running.plan.pipeline_config.encode())

    trial = running.watcher().poll()

    assert trial.state is TrialState.FAILED
    assert "num_steps" in trial.reason
    assert running.job().stops == 1


def test_a_config_that_easyrec_ran_as_meant_is_fine(running):
    running.evaluate(running.job(), 10, **METRICS)
    parameters = running.store.trial(running.experiment, 0).parameters
    saved = names.saved_pipeline_config(running.job().payload.parameters["model_dir"])
    running.objects.write(saved, running.plan.patched_config(parameters).encode())

    assert running.watcher().poll().state is TrialState.RUNNING


def test_a_saved_config_that_is_no_text_is_said_with_its_place(running):
    running.evaluate(running.job(), 10, **METRICS)
    saved = names.saved_pipeline_config(running.job().payload.parameters["model_dir"])
    running.objects.write(saved, b"train_config {\xff}")

    with pytest.raises(ConfigError, match=r"pipeline\.config: not UTF-8 text"):
        running.watcher().poll()


def test_a_job_that_trains_too_long_is_stopped(running):
    watcher = running.watcher()
    watcher.poll()
    running.clock.time += timedelta(hours=running.plan.settings.max_training_hours, seconds=1)

    trial = watcher.poll()

    assert trial.state is TrialState.FAILED
    assert "max_training_hours" in trial.reason
    assert running.job().stops == 1


def test_a_job_that_waits_too_long_is_stopped(lab):
    lab.open(trials=1)
    lab.start(0)
    lab.clock.time += timedelta(hours=lab.plan.settings.max_waiting_hours, seconds=1)

    trial = lab.watcher().poll()

    assert trial.state is TrialState.FAILED
    assert "max_waiting_hours" in trial.reason
    assert lab.job().stops == 1


def test_a_job_stopped_in_the_console_is_a_cancelled_trial_and_not_replaced(running):
    running.jobs.cancel(running.job().job_id)

    trial = running.watcher().poll()

    assert trial.state is TrialState.CANCELLED
    assert "outside" in trial.reason
    assert len(running.jobs.jobs) == 1


def test_a_user_who_ends_the_task_stops_the_job(running):
    trial = running.watcher().cancel("a user ended the task")

    assert (trial.state, trial.reason) == (TrialState.CANCELLED, "a user ended the task")
    assert running.job().stops == 1


def test_a_late_kill_of_an_older_epoch_leaves_the_new_job_alone(running):
    old = running.watcher(epoch=0)
    running.start(0, max_tries=4)
    running.jobs.run(running.job(1).job_id)

    old.cancel("late on_kill")

    assert running.job(1).stops == 0
    assert running.watcher(epoch=1).poll().state is TrialState.RUNNING
