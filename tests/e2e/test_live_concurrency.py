"""The pool's slots are the concurrency of a search, also while it runs (reference R2)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from include.search.trial import TrialState
from scripts.local_airflow import ROOT

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


@pytest.fixture
def waiting_jobs(world):
    """Jobs stay in the service's queue, and keep their slots, until the test says otherwise."""
    world.control("POST", "/settings", {"capacity": 0})
    yield
    world.control("POST", "/settings", {"capacity": 4})
    world.slots(4)


def live(jobs: list[dict[str, Any]], at: float) -> int:
    """Jobs of the service's books that had been submitted and had not ended."""
    return sum(j["started"] <= at and (j["ended"] is None or j["ended"] > at) for j in jobs)


def test_slots_changed_during_a_search_are_followed_and_never_exceeded(world, waiting_jobs):
    world.slots(1)
    search = world.search().start(trials=4, seed=1)
    world.wait(lambda: world.pool() == {"deferred": 1, "scheduled": 3}, "one trial waits, three want a slot")
    raised = world.slots(3)
    world.wait(lambda: world.pool() == {"deferred": 3, "scheduled": 1}, "three trials wait")
    lowered = world.slots(1)

    world.control("POST", "/settings", {"capacity": 4})

    assert search.wait_for_end() == "success"
    jobs = search.jobs()
    assert len(jobs) == 4
    assert {t.state for t in search.trials()} <= {TrialState.SUCCEEDED, TrialState.EARLY_STOPPED}
    first, *after_raise = sorted(j["started"] for j in jobs)
    assert first < raised < after_raise[0] < after_raise[1] < lowered < after_raise[2]
    assert [live(jobs, at) for at in (first, *after_raise)] == [1, 2, 3, 1]


def command(world, name: str, *options: str) -> None:
    """The command line on Airflow's machine, as a person uses it."""
    subprocess.run(
        [sys.executable, "-m", "include.cli", name, *options],
        env=world.airflow.environment,
        cwd=ROOT,
        check=True,
        timeout=60,
    )


def test_a_search_is_paused_stopped_in_part_raised_and_repeated_while_it_runs(world, waiting_jobs):
    world.slots(1)
    search = world.search().start(trials=2, seed=1)
    first = search.wait_for_trial(lambda t: t.state is TrialState.SUBMITTED, "has a job")
    world.wait(lambda: all(search.buttons(first).values()), "its task has buttons while its job goes on")
    assert search.buttons(first).keys() == {"EasyRec", "LogView"}

    command(world, "pause", search.experiment)
    command(world, "stop", search.experiment, "--trial", str(first.number))
    world.wait(lambda: search.jobs()[0]["ended"], "the job is stopped", seconds=10)
    world.wait(
        lambda: [t["state"] for t in search.tasks()] == ["failed", "deferred"],
        "the second task waits for the resume",
    )
    assert len(search.trials()) == 1

    command(world, "resume", search.experiment)
    world.wait(lambda: len(search.trials()) == 2, "the second asks", seconds=30)
    command(world, "limits", search.experiment, "--trials", "3", "--concurrency", "3")
    command(world, "retry", search.experiment, "--trial", str(first.number))
    world.control("POST", "/settings", {"capacity": 4})
    world.wait(lambda: len(search.trials()) == 4, "two extension runs ask")
    assert search.wait_for_end() == "success"
    world.wait(lambda: all(t.state.is_terminal for t in search.trials()), "all end")
    assert [dict(t.parameters) for t in search.trials()].count(dict(first.parameters)) == 2
