"""Jobs and records that no Airflow task owns are ended; everything else is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest

from include.errors import RetryableError
from include.experiments.closing import report_of_store
from include.experiments.plan import Plan
from include.experiments.reconcile import GRACE, Owner, Project, Reconciler
from include.notices import Kind
from include.ports import JobState
from include.search.trial import TrialState
from include.store import ExperimentState, StepState, TaskKey

RUNS, CLEARED = (Owner.AT_WORK, "is deferred"), (Owner.UNKNOWN, "is None")
FAILED, GONE = (Owner.GONE, "is failed"), (Owner.GONE, "no longer exists")


class Airflow:
    """What Airflow says, as the test tells it."""

    def __init__(self) -> None:
        self.owners: dict[int, tuple[Owner, str]] = {}
        self.over = False

    def owner(self, task: TaskKey) -> tuple[Owner, str]:
        return self.owners.get(task.map_index, RUNS)

    def is_over(self, run):
        return self.over


@pytest.fixture
def airflow():
    return Airflow()


@pytest.fixture
def told():
    return []


@pytest.fixture
def reconcile(lab, airflow, told):
    services = replace(lab.services, tell=told.append)

    def services_of(experiment, _trial):
        return services, Plan.from_snapshot(lab.store.experiment(experiment).snapshot)

    project = Project("sandbox", lab.jobs, told.append)
    return lambda **options: Reconciler(
        lab.store, airflow, services_of, [project], now=lab.clock, **options
    ).run()


@pytest.fixture
def trains(lab):
    """A trial whose job trains, for longer than the grace."""
    lab.open(trials=3)
    lab.start(0)
    lab.jobs.run(lab.job().job_id)
    lab.watcher().poll()
    lab.clock.sleep(GRACE.total_seconds())
    return lab


def trial(lab, number=0):
    return lab.store.trial(lab.experiment, number)


@pytest.mark.parametrize("said", [FAILED, GONE])
def test_a_job_whose_task_ended_without_a_triggerer_is_stopped_and_people_are_told(
    trains, airflow, reconcile, told, said
):
    airflow.owners[0] = said

    report = reconcile()

    assert trains.job().status.state is JobState.CANCELLED
    assert trial(trains).state is TrialState.CANCELLED
    assert said[1] in trial(trains).reason
    assert trains.store.steps(trains.experiment)[0].state is StepState.STOPPED
    assert [f.about for f in report.stopped] == [f"job job-1, trial 0 of {trains.experiment}"]
    assert "job-1" in told[0].text
    assert report.error() is None


def test_a_second_round_finds_nothing(trains, airflow, reconcile, told):
    airflow.owners[0] = FAILED
    reconcile()

    assert reconcile().findings == []
    assert (trains.job().stops, len(told)) == (1, 1)


@pytest.mark.parametrize("said", [RUNS, CLEARED])
def test_a_job_that_somebody_owns_or_may_own_goes_on(trains, airflow, reconcile, said):
    airflow.owners[0] = said

    assert reconcile().findings == []
    assert trains.job().stops == 0
    assert trial(trains).state is TrialState.RUNNING


def test_the_job_of_a_trial_that_a_person_stopped_does_not_wait_for_its_task(trains, airflow, reconcile):
    """The task waits for its next try, or for a slot: no trigger follows the trial."""
    trains.store.move_trial(
        trains.experiment, 0, epoch=0, to=TrialState.CANCELLED, reason="stopped by ada", by="ada"
    )
    assert reconcile().findings == []  # its trigger has ten seconds, and more
    trains.clock.sleep(GRACE.total_seconds())

    reconcile()

    assert trains.job().stops == 1
    assert trial(trains).reason == "stopped by ada"


def test_what_changed_a_moment_ago_waits_for_the_next_round(lab, airflow, reconcile):
    lab.open(trials=1)
    lab.start(0)
    airflow.owners[0] = FAILED
    lab.clock.sleep((GRACE - timedelta(seconds=1)).total_seconds())

    assert reconcile().findings == []
    lab.clock.sleep(1)
    assert len(reconcile().stopped) == 1


@pytest.mark.parametrize("had_ended", [False, True])
def test_a_task_cleared_after_its_state_was_read_keeps_its_new_job(
    trains, airflow, reconcile, monkeypatch, had_ended
):
    if had_ended:  # but its job could not be stopped then
        trains.store.move_trial(trains.experiment, 0, epoch=0, to=TrialState.CANCELLED, reason="ended")
        trains.clock.sleep(GRACE.total_seconds())

    def cleared(task):
        trains.start(0, max_tries=4)
        return FAILED

    monkeypatch.setattr(airflow, "owner", cleared)

    reconcile()

    assert trains.job(1).stops == 0
    assert trial(trains).state is TrialState.SUBMITTED
    assert trial(trains).epoch == 1


def test_a_job_that_succeeded_unseen_counts_with_its_results(trains, airflow, reconcile, told):
    trains.evaluate(trains.job(), 10, auc_is_like=0.7, auc_is_love=0.7)
    trains.jobs.succeed("job-1")
    airflow.owners[0] = FAILED

    report = reconcile()

    assert trial(trains).state is TrialState.SUCCEEDED
    assert trial(trains).metric == pytest.approx(0.7)
    assert trains.store.steps(trains.experiment)[0].state is StepState.SUCCEEDED
    assert (report.stopped, told) == ([], [])


def test_a_job_that_failed_unseen_is_not_replaced(trains, airflow, reconcile):
    trains.jobs.fail("job-1", "ODPS-0130131: no table")
    airflow.owners[0] = FAILED

    reconcile()

    assert trial(trains).state is TrialState.FAILED
    assert "no table" in trial(trains).reason
    assert len(trains.jobs.jobs) == 1


def test_a_replacement_that_was_never_submitted_is_not_submitted_now(trains, airflow, reconcile):
    """The worker died between the failure's record and the new job."""
    step = trains.store.steps(trains.experiment)[0]
    trains.jobs.fail("job-1")
    trains.store.end_step(step.id, StepState.FAILED, "no table")
    trains.store.move_trial(trains.experiment, 0, epoch=0, to=TrialState.WAITING, reason="no table")
    airflow.owners[0] = FAILED

    reconcile()

    assert trial(trains).state is TrialState.FAILED
    assert len(trains.jobs.jobs) == 1


def test_a_job_whose_id_was_never_recorded_is_found_and_stopped(lab, airflow, reconcile, monkeypatch):
    lab.open(trials=1)
    with monkeypatch.context() as patch:
        patch.setattr(type(lab.store), "record_job", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            lab.start(0)
    lab.clock.sleep(GRACE.total_seconds())
    airflow.owners[0] = FAILED

    reconcile()

    assert lab.job().status.state is JobState.CANCELLED
    assert lab.store.steps(lab.experiment)[0].job_id == "job-1"


def test_a_trial_without_any_job_is_closed(lab, airflow, reconcile, monkeypatch):
    lab.open(trials=1)
    lab.jobs.lose_request(9)
    with pytest.raises(RetryableError):
        lab.start(0)
    lab.clock.sleep(GRACE.total_seconds())
    airflow.owners[0] = FAILED

    report = reconcile()

    assert trial(lab).state is TrialState.CANCELLED
    assert lab.store.open_steps() == []
    assert report.stopped == []


def test_a_job_that_can_not_be_stopped_keeps_no_other_running(trains, airflow, reconcile, monkeypatch):
    trains.start(1)
    trains.clock.sleep(GRACE.total_seconds())
    airflow.owners |= {0: FAILED, 1: FAILED}
    stop = trains.jobs.stop

    def sometimes(job_id):
        if job_id == "job-1":
            raise RetryableError("the service is away")
        stop(job_id)

    with monkeypatch.context() as patch:
        patch.setattr(trains.jobs, "stop", sometimes)
        report = reconcile()

    assert isinstance(report.error(), RetryableError)
    assert trains.job(1).status.state is JobState.CANCELLED
    trains.clock.sleep(GRACE.total_seconds())
    assert reconcile().error() is None
    assert trains.job(0).status.state is JobState.CANCELLED


class TestJobsOfTheProject:
    def submit(self, lab, key, store):
        return lab.jobs.submit(lab.payload(), submission_key=key, store_uuid=store)

    def test_ours_that_the_store_does_not_know_runs_on_and_makes_the_round_red(self, lab, reconcile):
        """It may be a job of the store that this one is a copy of."""
        self.submit(lab, "unknown", lab.store.uuid)
        lab.clock.sleep(GRACE.total_seconds())

        report = reconcile()

        assert lab.job().stops == 0
        assert report.findings == []
        assert "job-1" in str(report.error())
        assert "stop_unknown" in str(report.error())

    def test_people_are_told_of_it_once(self, lab, reconcile, told):
        self.submit(lab, "unknown", lab.store.uuid)
        lab.clock.sleep(GRACE.total_seconds())

        reconcile()
        reconcile()
        assert [notice.kind for notice in told] == [Kind.UNKNOWN_JOBS]
        assert "job-1" in told[0].text
        assert "stop_unknown" in told[0].text
        self.submit(lab, "one more", lab.store.uuid)
        lab.clock.sleep(GRACE.total_seconds())
        reconcile()
        assert "job-2" in told[1].text
        assert "job-1" not in told[1].text

    def test_it_is_stopped_when_a_person_wants_that_and_people_are_told(self, lab, reconcile, told):
        self.submit(lab, "unknown", lab.store.uuid)
        lab.clock.sleep(GRACE.total_seconds())

        reconcile(stop_unknown=True)

        assert lab.job().status.state is JobState.CANCELLED
        assert "restored from a backup" in told[0].text

    def test_one_just_started_is_left(self, lab, reconcile):
        self.submit(lab, "unknown", lab.store.uuid)

        assert reconcile().findings == []
        assert lab.job().stops == 0

    def test_another_stores_is_never_touched(self, lab, reconcile):
        self.submit(lab, "unknown", "another-store")
        lab.clock.sleep(GRACE.total_seconds())

        assert reconcile().findings == []
        assert lab.job().stops == 0

    def test_one_whose_record_has_ended_is_stopped(self, trains, reconcile):
        step = trains.store.steps(trains.experiment)[0]
        trains.store.end_step(step.id, StepState.STOPPED, "a user ended it")
        assert reconcile().stopped == []  # who ended it may be stopping it right now
        trains.clock.sleep(GRACE.total_seconds())

        reconcile()

        assert trains.job().status.state is JobState.CANCELLED


class TestExperiments:
    def test_one_whose_run_ended_without_a_close_is_failed(self, trains, airflow, reconcile):
        airflow.owners[0], airflow.over = GONE, True

        reconcile()

        experiment = trains.store.experiment(trains.experiment)
        assert experiment.state is ExperimentState.FAILED
        assert "without close_experiment" in experiment.reason

    def test_its_report_is_published_with_what_has_succeeded(self, trains, airflow, reconcile):
        trains.finish()
        airflow.over = True
        trains.clock.sleep(GRACE.total_seconds())

        assert reconcile().error() is None

        prefix = report_of_store(trains.store, trains.experiment).prefix
        report = json.loads(trains.objects.read(prefix + "report.json"))
        assert report["state"] == "FAILED"
        assert report["best"]["number"] == 0
        assert trains.objects.info(prefix + "best_pipeline.config")

    def test_it_is_closed_also_when_its_report_can_not_be_written(self, trains, airflow, reconcile):
        trains.finish()
        airflow.over = True
        trains.clock.sleep(GRACE.total_seconds())
        trains.objects.write = mock.Mock(side_effect=RetryableError("OSS is away"))

        error = reconcile().error()

        assert "clear close_experiment to write it" in str(error)
        assert trains.store.experiment(trains.experiment).state is ExperimentState.FAILED

    def test_one_whose_run_goes_on_is_left(self, trains, airflow, reconcile):
        airflow.owners[0] = FAILED

        reconcile()

        assert trains.store.experiment(trains.experiment).state is ExperimentState.RUNNING
