"""Which Airflow uses a store, a move to another one, and a copy that becomes a store of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.errors import RetryableError, StateError
from include.experiments.installation import refuse_foreign
from include.names import StepId
from include.search.trial import TrialState
from include.store import ExperimentState, ExperimentStore, StepState, TaskKey
from tests.support.stores import Clock, new_experiment


class Airflow:
    """One that remembers marks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: set[str] = set()
        self.down = False

    def has(self, mark: str) -> bool:
        if self.down:
            raise RetryableError("no answer")
        return mark in self.marks

    def add(self, mark: str) -> None:
        self.marks.add(mark)


@pytest.fixture
def store(new_url: str) -> Iterator[ExperimentStore]:
    with ExperimentStore.open(new_url, clock=Clock()) as opened:
        yield opened


@pytest.fixture
def ours() -> Airflow:
    return Airflow("https://airflow.example.com")


@pytest.fixture
def theirs() -> Airflow:
    return Airflow("https://test.example.com")


def test_the_first_airflow_has_the_store_and_every_other_is_refused_with_what_to_do(
    store: ExperimentStore, ours: Airflow, theirs: Airflow
) -> None:
    refuse_foreign(store, ours)
    refuse_foreign(store, ours)

    with pytest.raises(
        StateError, match=r"belongs to another Airflow \(https://airflow\.example\.com"
    ) as caught:
        refuse_foreign(store, theirs)

    assert "store separate" in caught.value.hint
    assert "store rebind" in caught.value.hint
    assert not theirs.marks
    assert [event.kind for event in store.events(None)] == ["store_bound"]


def test_a_crash_between_mark_and_binding_leaves_the_store_to_whoever_asks_again(
    store: ExperimentStore, ours: Airflow, theirs: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "bind", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            refuse_foreign(store, ours)

    refuse_foreign(store, ours)

    with pytest.raises(StateError):
        refuse_foreign(store, theirs)


def test_of_two_airflows_that_come_at_once_one_gets_the_store(
    store: ExperimentStore, ours: Airflow, theirs: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(mark: str) -> None:
        refuse_foreign(store, theirs)  # before ours has noted that the store is its own
        Airflow.add(ours, mark)

    monkeypatch.setattr(ours, "add", slow)

    with pytest.raises(StateError, match=r"test\.example\.com"):
        refuse_foreign(store, ours)

    refuse_foreign(store, theirs)
    with pytest.raises(StateError):
        refuse_foreign(store, ours)


def test_an_airflow_that_does_not_answer_is_no_other_airflow(store: ExperimentStore, ours: Airflow) -> None:
    refuse_foreign(store, ours)
    ours.down = True

    with pytest.raises(RetryableError):
        refuse_foreign(store, ours)


def test_an_airflow_may_change_to_another_store_and_back(
    store: ExperimentStore, ours: Airflow, tmp_path_factory: pytest.TempPathFactory
) -> None:
    refuse_foreign(store, ours)
    with ExperimentStore.open(f"sqlite:///{tmp_path_factory.mktemp('other')}/store.db") as other:
        refuse_foreign(other, ours)

    refuse_foreign(store, ours)


def test_a_rebound_store_is_the_next_airflows_and_no_longer_the_first_ones(
    store: ExperimentStore, ours: Airflow, theirs: Airflow
) -> None:
    refuse_foreign(store, ours)

    store.unbind(by="ada")
    refuse_foreign(store, theirs)

    with pytest.raises(StateError, match=r"test\.example\.com"):
        refuse_foreign(store, ours)
    assert store.binding().uuid == store.uuid


def test_a_store_of_an_older_version_keeps_its_uuid_and_gets_a_binding(new_url: str, ours: Airflow) -> None:
    import sqlalchemy as sa

    with ExperimentStore.open(new_url) as before:
        made = before.uuid
    engine = sa.create_engine(new_url)
    with engine.begin() as connection:
        for column in ("binding", "bound_at", "bound_to"):
            connection.exec_driver_sql(f"ALTER TABLE easyrec_store DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE easyrec_schema_version SET version_num = '0003'")
    engine.dispose()

    with ExperimentStore.open(new_url) as store:
        refuse_foreign(store, ours)
        assert (store.uuid, bool(store.binding().token)) == (made, True)


class TestSeparate:
    @pytest.fixture
    def copied(self, store: ExperimentStore, ours: Airflow) -> ExperimentStore:
        """A search whose trial trains, in a store that another Airflow uses."""
        refuse_foreign(store, ours)
        new = new_experiment("one-1", model="one", dag_id="begin_search_one", max_trials=2)
        store.create_experiment(new)
        task = TaskKey("begin_search_one", "manual__1", "trial", 0)
        store.record_ask("one-1", expected_asks=0, task=task, task_max_tries=1, parameters={}, seen=0)
        step = StepId("one-1", 0)
        store.intend_step(step, submission_key="key", model_dir="oss://b/m/", payload={})
        store.record_job(step, "job-1")
        store.move_trial("one-1", 0, epoch=0, to=TrialState.SUBMITTED)
        return store

    def test_the_copy_has_a_uuid_of_its_own_and_nothing_open(
        self, copied: ExperimentStore, new_url: str, theirs: Airflow
    ) -> None:
        made = copied.separate_copy(by="ada")

        with ExperimentStore.open(new_url) as again:
            refuse_foreign(again, theirs)
            assert again.uuid == made != copied.uuid
            assert again.unfinished_trials() == []
            assert again.open_steps() == []
            assert again.experiment("one-1").state is ExperimentState.FAILED
            assert copied.uuid in again.trial("one-1", 0).reason
            assert again.steps("one-1")[0].state is StepState.STOPPED

    def test_the_airflow_of_the_original_is_refused_by_the_copy(
        self, copied: ExperimentStore, ours: Airflow, theirs: Airflow
    ) -> None:
        copied.separate_copy(by="ada")
        refuse_foreign(copied, theirs)

        with pytest.raises(StateError):
            refuse_foreign(copied, ours)
