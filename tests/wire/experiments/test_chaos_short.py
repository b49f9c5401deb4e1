"""The short form of ``benchmarks/chaos``: a search under faults on the wire and in jobs, with everything that
acts thrown away at any moment. Without Airflow; the audit reads the sandbox's own books."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from benchmarks.chaos.audit import audit
from benchmarks.chaos.collect import collect
from benchmarks.chaos.evidence import Evidence
from benchmarks.chaos.plan import JOB, WIRE, make_plan
from benchmarks.chaos.work import WEIGHTS
from include.errors import RetryableError
from include.experiments.trial_watcher import TrialWatcher
from include.store import Trial
from tests.support.sandboxed import control

from .conftest import DAG, RUN, Installation, World, wait_until

TRIALS = 4
UNHURRIED = ("job_hang",)
"""What ends only by a limit of minutes."""


@dataclass
class Tasks:
    """What tries, clears and triggerers do to one trial after the other, with crashes in between."""

    installation: Installation
    dice: random.Random
    tries: dict[int, int] = field(default_factory=dict)
    """``max_tries`` by task: another one after a clear."""
    watchers: dict[int, TrialWatcher] = field(default_factory=dict)
    acted_on: set[tuple[str, str, str, int]] = field(default_factory=set)

    def turn(self, index: int) -> Trial | None:
        """One round of one task; None when it could not be done now."""
        try:
            if index not in self.watchers or self.dice.random() < 0.1:  # whoever watched has died
                trial = self.installation.start(index, max_tries=self.tries.get(index, 3))
                self.watchers[index] = self.installation.watcher(trial)
            return self.watchers[index].poll()
        except RetryableError:
            return None

    def clear(self, index: int) -> None:
        self.tries[index] = self.tries.get(index, 3) + 4
        self.watchers.pop(index, None)
        self.acted_on.add((DAG, RUN, "trial", index))

    def cancel(self, index: int) -> None:
        self.acted_on.add((DAG, RUN, "trial", index))

        def done() -> bool:
            try:
                self.watchers[index].cancel("a user ended the task")
            except RetryableError:
                return False
            return True

        wait_until(done, "the trial is cancelled")


def evidence_of(installation: Installation, tasks: Tasks) -> Evidence:
    sandbox = SimpleNamespace(books=installation.world.books, buckets=installation.world.sandbox.buckets)
    return collect(
        SimpleNamespace(sandbox=sandbox, store=installation.store),  # type: ignore[arg-type]
        model="movielens",
        weights=WEIGHTS,
        days_wanted=[],
        origin="",
        acted_on=tasks.acted_on,
        runs={},
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_a_search_under_faults_runs_each_job_once_and_tells_the_truth(world: World, seed: int) -> None:
    installation = world.install()
    installation.configure(max_trial_retries=2)
    installation.open(trials=TRIALS, seed=seed)
    tasks = Tasks(installation, random.Random(seed))
    plan = make_plan(seed, wire=40, events={})
    faults = [dict(a.options) for a in plan if a.kind in (WIRE, JOB) and a.options["kind"] not in UNHURRIED]
    for fault in faults:
        fault["seconds"] = min(fault.get("seconds", 0.0), 0.2)
    ended: set[int] = set()

    def all_ended() -> bool:
        for index in range(TRIALS):
            if faults:
                world.fault(**faults.pop(0))
            trial = tasks.turn(index)
            if trial is not None and trial.state.is_terminal:
                ended.add(index)
            if trial is not None and index == 1 and index not in tasks.tries:
                tasks.clear(index)
                ended.discard(index)
            if trial is not None and index == 2 and not trial.state.is_terminal:
                tasks.cancel(index)
        return len(ended) == TRIALS

    wait_until(all_ended, "all trials end", every=0.05)

    # How many hit something depends on how fast the machine is.
    assert sum(control(world.endpoints, "faults")["injected"].values()) >= 3
    control(world.endpoints, "faults", method="DELETE")
    installation.close()
    found = [str(v) for each in audit(evidence_of(installation, tasks)).values() for v in each]
    assert found == []
