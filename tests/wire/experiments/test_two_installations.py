"""Two installations with the same model, DAG and run on one project: neither touches the other's jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import pytest

from include import names
from include.errors import JobFailedError, PermanentError
from include.experiments.reconcile import GRACE, Owner, Project, Reconciler
from include.experiments.services import utc_now
from include.ports import JobPayload
from include.search.trial import TrialState
from include.store import ExperimentStore, RunKey, TaskKey

from .conftest import Installation, World


@pytest.fixture
def pair(world: World) -> tuple[Installation, Installation]:
    ours, theirs = world.install(), world.install()
    for installation in (ours, theirs):
        installation.open(trials=2, seed=1)
    return ours, theirs


def ids(installation: Installation) -> set[str]:
    return {job["id"] for job in installation.jobs()}


def running(installation: Installation) -> set[str]:
    return {job["id"] for job in installation.jobs() if job["status"] == "Running"}


def test_both_search_and_each_has_its_own_jobs_and_model_dirs(
    world: World, pair: tuple[Installation, Installation]
) -> None:
    ours, theirs = pair
    first, second = ours.start(0), theirs.start(0)
    ended = [*theirs.finish(second), *ours.finish(first)]
    third, fourth = ours.start(1), theirs.start(1)
    ended += [*ours.finish(third), *theirs.finish(fourth)]
    reports = [ours.close(), theirs.close()]

    assert {t.state for t in ended} == {TrialState.SUCCEEDED}
    assert reports[0].prefix != reports[1].prefix
    assert ids(ours) == {step.job_id for step in ours.steps()}
    assert ids(theirs) == {step.job_id for step in theirs.steps()}
    assert not ids(ours) & ids(theirs)
    assert len(ids(ours) | ids(theirs)) == len(world.every_job()) == 4
    trained = world.books()["trained"]
    assert [trained[job["parameters"]["model_dir"]] for job in world.every_job()] == [1] * 4
    assert world.stopped() == set()


def close(installation: Installation) -> None:
    with pytest.raises(JobFailedError, match="no trial succeeded"):
        installation.close()


def cancel(installation: Installation) -> None:
    for trial in installation.store.trials(installation.experiment):
        installation.watcher(trial).cancel("a user ended the task")


def clear(installation: Installation) -> None:
    for index in range(2):
        installation.start(index, max_tries=4)


@pytest.mark.parametrize("end", [close, cancel, clear])
def test_ending_ours_stops_each_of_our_jobs_and_none_of_theirs(
    world: World, pair: tuple[Installation, Installation], end: Callable[[Installation], None]
) -> None:
    """The second job of each is one whose id was never recorded: only its token tells whose it is."""
    world.set(capacity=0)
    for installation in pair:
        installation.start(0)
        with (
            mock.patch.object(ExperimentStore, "record_job", autospec=True, side_effect=MemoryError),
            pytest.raises(MemoryError),
        ):
            installation.start(1)
    ours, theirs = pair
    before, old, other = world.stopped(), ids(ours), ids(theirs)
    assert (len(old), len(other)) == (2, 2)

    end(ours)

    assert world.stopped() - before == old
    assert running(ours) == ids(ours) - old
    assert running(theirs) == other


def test_a_model_dir_that_both_would_use_is_refused_to_the_second(world: World) -> None:
    ours, theirs = world.install(), world.install()
    with mock.patch.object(names, "experiment_id", autospec=True, return_value="movielens-samesame"):
        ours.open(trials=1)
        theirs.open(trials=1)
    world.set(capacity=0)
    ours.start()

    with pytest.raises(PermanentError, match="model_dir belongs to another job") as caught:
        theirs.start()

    assert "movielens-samesame_0" in str(caught.value)
    assert ours.store.uuid in str(caught.value)
    assert theirs.jobs() == []
    assert len(running(ours)) == 1


class NobodyOwnsAnything:
    """An Airflow that has lost all its runs."""

    def owner(self, _task: TaskKey) -> tuple[Owner, str]:
        return Owner.GONE, "no longer exists"

    def is_over(self, _run: RunKey) -> bool:
        return True


def test_reconcile_of_ours_stops_each_of_our_unowned_jobs_and_none_of_theirs(
    world: World, pair: tuple[Installation, Installation]
) -> None:
    """Two of each: one that the store knows, and one that it doesn't, as after a restored backup."""
    world.set(capacity=0)
    for installation in pair:
        installation.start(0)
        step = installation.steps()[0]
        installation.services.jobs.submit(
            JobPayload(**step.payload),
            submission_key=f"of a lost record of {installation.store.uuid}",
            store_uuid=installation.store.uuid,
        )
    ours, theirs = pair
    old, other = ids(ours), ids(theirs)
    assert (len(running(ours)), len(running(theirs))) == (2, 2)

    report = Reconciler(
        ours.store,
        NobodyOwnsAnything(),
        lambda _experiment, _trial: (ours.services, ours.plan),
        [Project("sandbox", ours.services.jobs)],
        now=lambda: utc_now() + GRACE * 2,
        stop_unknown=True,
    ).run()

    assert report.error() is None
    assert {finding.about.split(",")[0].removeprefix("job ") for finding in report.stopped} == old
    assert running(ours) == set()
    assert running(theirs) == other


def test_reconcile_of_a_separated_copy_touches_no_job_of_the_original(world: World) -> None:
    """As of a database dump that was made while the original's job ran, and of a job that is newer."""
    world.set(capacity=0)
    ours = world.install()
    ours.open(trials=2)
    ours.start(0)
    copied = ours.home / "copy.db"
    with sqlite3.connect(ours.home / "store.db") as original, sqlite3.connect(copied) as target:
        original.backup(target)
    ours.start(1)

    with ExperimentStore.open(f"sqlite:///{copied}") as copy:
        copy.separate_copy(by="ada")
    with ExperimentStore.open(f"sqlite:///{copied}") as copy:
        report = Reconciler(
            copy,
            NobodyOwnsAnything(),
            lambda _experiment, _trial: (replace(ours.services, store=copy), ours.plan),
            [Project("sandbox", ours.services.jobs)],
            now=lambda: utc_now() + GRACE * 2,
            stop_unknown=True,
        ).run()

    assert report.as_dict() == {"stopped": [], "closed": [], "left": [], "errors": []}
    assert len(running(ours)) == 2
