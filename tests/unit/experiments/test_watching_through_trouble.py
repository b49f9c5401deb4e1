"""What a watcher may not lose, skip or count wrongly when something goes wrong in the middle of a poll."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest

from include import names
from include.errors import RetryableError, StoreUnavailableError
from include.search.trial import TrialState
from include.store import ExperimentState, ExperimentStore, StepState

GOOD = {"auc_is_like": 0.8, "auc_is_love": 0.8}
POOR = {"auc_is_like": 0.5, "auc_is_love": 0.5}


@pytest.fixture
def running(lab):
    lab.open(trials=5)
    lab.start(0)
    lab.jobs.run(lab.job().job_id)
    return lab


def failing_once(target, method, error):
    return mock.patch.object(target, method, autospec=True, side_effect=error)


def poll_in_trouble(watcher, target, method, error) -> None:
    with failing_once(target, method, error), pytest.raises(type(error)):
        watcher.poll()


def test_results_that_the_store_could_not_take_are_recorded_by_the_next_poll(running):
    watcher = running.watcher()
    running.evaluate(running.job(), 10, **POOR)
    watcher.poll()
    running.evaluate(running.job(), 20, **GOOD)
    running.jobs.succeed(running.job().job_id)
    poll_in_trouble(watcher, ExperimentStore, "record_results", StoreUnavailableError("locked"))

    trial = watcher.poll()

    assert trial.metric == pytest.approx(0.8)
    assert [r.global_step for r in running.store.results(running.experiment, 0)] == [10, 20]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_verdict_that_was_interrupted_is_given_by_the_next_poll(running, restarted):
    """The results are recorded by then, so nothing is new."""
    running.verdict.stop = True
    watcher = running.watcher()
    running.evaluate(running.job(), 10, **POOR)
    poll_in_trouble(watcher, ExperimentStore, "objective_histories", StoreUnavailableError("locked"))

    trial = (running.watcher() if restarted else watcher).poll()

    assert trial.state is TrialState.EARLY_STOPPED
    assert running.job().stops == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_a_look_at_the_saved_config_that_was_interrupted_is_taken_at_the_next_poll(running, restarted):
    watcher = running.watcher()
    watcher.poll()
    saved = names.saved_pipeline_config(running.job().payload.parameters["model_dir"])
    running.objects.write(saved, running.plan.pipeline_config.encode())
    running.evaluate(running.job(), 10, **GOOD)
    poll_in_trouble(watcher, running.objects, "read", RetryableError("503"))

    trial = (running.watcher() if restarted else watcher).poll()

    assert trial.state is TrialState.FAILED
    assert "other parameters" in trial.reason


def test_a_saved_config_that_shows_up_late_is_looked_at_before_the_trial_succeeds(running):
    watcher = running.watcher()
    running.evaluate(running.job(), 10, **GOOD)
    watcher.poll()
    saved = names.saved_pipeline_config(running.job().payload.parameters["model_dir"])
    running.objects.write(saved, running.plan.pipeline_config.encode())
    running.jobs.succeed(running.job().job_id)

    assert "other parameters" in watcher.poll().reason


def test_a_wrong_metric_ends_the_search_also_when_the_job_can_not_be_stopped_at_once(running):
    running.evaluate(running.job(), 10, auc_is_liked=0.7)
    watcher = running.watcher()
    watcher.poll()
    poll_in_trouble(watcher, running.jobs, "stop", RetryableError("503"))

    watcher.poll()

    assert running.job().stops == 1
    assert running.store.experiment(running.experiment).state is ExperimentState.FAILED


class TestDeadlines:
    def test_time_in_the_queue_is_no_training_time(self, lab):
        hours = lab.plan.settings.max_training_hours
        lab.open(trials=1)
        lab.plan = replace(lab.plan, search=replace(lab.plan.search, max_trial_duration=timedelta(hours=1)))
        lab.start(0)
        watcher = lab.watcher()
        watcher.poll()
        lab.clock.time += timedelta(hours=hours + 1)
        lab.jobs.run(lab.job().job_id)

        assert watcher.poll().state is TrialState.RUNNING
        assert lab.job().stops == 0

    def test_hold_while_metrics_can_not_be_read(self, running):
        watcher = running.watcher()
        watcher.poll()
        running.clock.time += timedelta(hours=running.plan.settings.max_training_hours, seconds=1)

        with failing_once(running.objects, "list", RetryableError("503")):
            trial = watcher.poll()

        assert trial.state is TrialState.FAILED
        assert "max_training_hours" in trial.reason
        assert running.job().stops == 1

    def test_are_no_matter_for_a_job_that_has_ended(self, running):
        """The service ended hours ago, but its metrics can be read only now."""
        watcher = running.watcher()
        watcher.poll()
        running.evaluate(running.job(), 10, **GOOD)
        running.jobs.succeed(running.job().job_id)
        running.clock.time += timedelta(hours=running.plan.settings.max_training_hours, seconds=1)
        poll_in_trouble(watcher, running.objects, "list", RetryableError("503"))

        assert watcher.poll().state is TrialState.SUCCEEDED

    def test_trouble_with_metrics_is_still_told_before_the_deadline(self, running):
        poll_in_trouble(running.watcher(), running.objects, "list", RetryableError("503"))

    def test_a_job_that_the_service_ended_for_its_time_is_not_replaced(self, running):
        """``-DmaxTrainingTimeInHour`` and our own deadline are the same number: whoever is first must not
        make the trial cost twice as much."""
        watcher = running.watcher()
        watcher.poll()
        running.clock.time += timedelta(hours=running.plan.settings.max_training_hours, seconds=-20)
        running.jobs.fail(running.job().job_id, "the job ran out of time")

        trial = watcher.poll()

        assert trial.state is TrialState.FAILED
        assert "maxTrainingTimeInHour" in trial.reason
        assert "ran out of time" in trial.reason
        assert len(running.jobs.jobs) == 1

    def test_a_job_that_failed_soon_is_replaced(self, running):
        watcher = running.watcher()
        watcher.poll()
        running.clock.time += timedelta(hours=running.plan.settings.max_training_hours / 2)
        running.jobs.fail(running.job().job_id)

        watcher.poll()

        assert len(running.jobs.jobs) == 2


class TestDivergence:
    """A model whose last evaluation is NaN is no model, however good it once was."""

    def diverge(self, running):
        running.evaluate(running.job(), 10, **GOOD)
        running.evaluate(running.job(), 20, auc_is_like=float("nan"), auc_is_love=0.5)
        running.jobs.succeed(running.job().job_id)
        return running.watcher().poll()

    def test_at_the_end_fails_the_trial_and_teaches_the_tuner(self, running):
        trial = self.diverge(running)

        assert trial.state is TrialState.FAILED
        assert "step 20" in trial.reason
        assert math.isnan(running.store.history(running.experiment).ended[0].value)

    def test_does_not_matter_where_the_best_evaluation_counts(self, running):
        best = running.plan.settings.model_copy(update={"final_metric": "best"})
        running.plan = replace(running.plan, settings=best)

        trial = self.diverge(running)

        assert (trial.state, trial.metric) == (TrialState.SUCCEEDED, pytest.approx(0.8))

    def test_that_passes_is_forgiven(self, running):
        running.evaluate(running.job(), 5, auc_is_like=float("nan"), auc_is_love=0.5)
        running.evaluate(running.job(), 10, **GOOD)
        running.jobs.succeed(running.job().job_id)

        assert running.watcher().poll().state is TrialState.SUCCEEDED


def test_a_step_that_a_user_stopped_stays_stopped_when_the_watcher_sees_its_end(running):
    watcher = running.watcher()
    running.watcher().cancel("a user")

    assert watcher.poll().state is TrialState.CANCELLED
    assert [s.state for s in running.store.steps(running.experiment)] == [StepState.STOPPED]
