"""Several people change limits at the same moment: each gets the number asked for, once, on every database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from include.experiments.control import Control
from include.experiments.limits import change_limits
from include.store import ExperimentStore, experiments, requests
from include.store.experiments import work_of
from tests.support.fakes import MemoryWorkflow
from tests.support.stores import new_experiment

# Two searches of one model, and one of another.
SEARCHES = {"one-1": "one", "one-2": "one", "two-1": "two"}


@pytest.fixture
def searches(store: ExperimentStore) -> ExperimentStore:
    """Each with two tasks at work, and none of its trials begun."""
    for name, model in SEARCHES.items():
        new = new_experiment(name, model=model, dag_id=f"begin_search_{model}", max_trials=2)
        store.create_experiment(new)
        store.open_run(name, run_id="manual__1", deadline=None, by="ada")
    return store


def raise_at_once(url: str, wanted: list[tuple[str, int]]) -> MemoryWorkflow:
    """Each wish by a person of its own, with a store of its own."""
    gate, workflow = threading.Barrier(len(wanted)), MemoryWorkflow()

    def person(wish: tuple[str, int]) -> None:
        with ExperimentStore.open(url) as own:
            gate.wait()
            change_limits(Control(own, workflow, by="ann"), wish[0], trials=wish[1])

    with ThreadPoolExecutor(len(wanted)) as threads:
        list(threads.map(person, wanted))
    return workflow


def in_all(store: ExperimentStore, workflow: MemoryWorkflow, name: str) -> int:
    """Trials that the search comes to with what its tasks at work and the runs asked for bring."""
    limit = store.experiment(name).max_trials
    assert limit is not None
    return limit + sum(conf["trials"] for conf in workflow.confs.values() if conf["experiment"] == name)


def test_people_who_raise_to_the_same_number_at_once_get_that_number(
    searches: ExperimentStore, url: str
) -> None:
    workflow = raise_at_once(url, [("one-1", 7)] * 4)

    assert [conf["trials"] for conf in workflow.confs.values()] == [5]
    assert in_all(searches, workflow, "one-1") == 7


def test_the_highest_of_several_numbers_wins(searches: ExperimentStore, url: str) -> None:
    workflow = raise_at_once(url, [("one-1", number) for number in (4, 5, 6)])

    assert in_all(searches, workflow, "one-1") == 6


def test_searches_of_one_model_and_of_several_do_not_touch_each_other(
    searches: ExperimentStore, url: str
) -> None:
    workflow = raise_at_once(url, [(name, 3 + at) for at, name in enumerate(SEARCHES)] * 2)

    assert [in_all(searches, workflow, name) for name in SEARCHES] == [3, 4, 5]
    assert {run: conf["experiment"] for run, conf in workflow.confs.items()} == {
        f"raise_{name}_1": name for name in SEARCHES
    }
    assert {dag for dag, _ in workflow.states} == {"begin_search_one", "begin_search_two"}


def test_a_requested_run_that_opens_while_somebody_raises_the_maximum_keeps_its_share(
    searches: ExperimentStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens right after the work in progress was counted, if anything lets it."""
    run = searches.request_run("one-1", kind="extend", conf={"trials": 3}, by="bob")
    threads: list[threading.Thread] = []

    def opens() -> None:
        with ExperimentStore.open(url) as own:
            own.open_run("one-1", run_id=run.run_id, more=3, deadline=None, by="bob")

    def counted(*arguments: Any) -> Any:
        found = work_of(*arguments)
        if not threads:
            threads.append(threading.Thread(target=opens))
            threads[0].start()
            threads[0].join(timeout=1)
        return found

    for module in (experiments, requests):
        monkeypatch.setattr(module, "work_of", counted)
    workflow = MemoryWorkflow()
    workflow.states[run.dag_id, run.run_id] = "running"
    with ExperimentStore.open(url) as own:
        change_limits(Control(own, workflow, by="ann"), "one-1", trials=7)
    threads[0].join()

    assert in_all(searches, workflow, "one-1") == 7
