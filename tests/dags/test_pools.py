"""Pools of models: what is made, what is left alone, and which pool is none for us."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa
from airflow.models.pool import Pool
from sqlalchemy.orm import Session

from easyrec import discovery, pools, runtime
from include.adapters.airflow_workflow import AirflowWorkflow
from include.store import ExperimentStore

POOL = "movielens_trials"


@pytest.fixture
def airflow_pools(monkeypatch):
    """Airflow's own table of pools."""
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    Pool.__table__.create(engine)

    @contextlib.contextmanager
    def create_session():
        with Session(engine) as session, session.begin():
            yield session

    monkeypatch.setattr("airflow.utils.session.create_session", create_session)
    return create_session


@pytest.fixture
def store(tmp_path, monkeypatch):
    with ExperimentStore.open(f"sqlite:///{tmp_path}/store.db") as store:
        monkeypatch.setattr(runtime, "open_store", lambda _get_connection: store)
        yield store


def add(airflow_pools, **values) -> None:
    with airflow_pools() as session:
        session.add(Pool(pool=POOL, description="a person's", **values))


def test_a_missing_pool_is_made_and_counts_deferred_tasks(airflow_pools, store):
    pools.make_missing_pools()

    concurrency = {m.name: m.plan.search.concurrency for m in discovery.begin_models()}["movielens"]
    with airflow_pools() as session:
        made = session.scalar(sa.select(Pool).where(Pool.pool == POOL))
        assert (made.slots, made.include_deferred) == (concurrency, True)
    assert store.pools()[POOL] == concurrency


def test_a_persons_slots_are_kept(airflow_pools, store):
    add(airflow_pools, slots=9, include_deferred=True)

    pools.make_missing_pools()

    assert store.pools()[POOL] == 9


def test_a_pool_that_does_not_count_deferred_tasks_is_not_accepted(airflow_pools, store, caplog):
    """Running trials are deferred: such a pool caps nothing, and every trial would start at once."""
    store.record_pool(POOL, 4)  # it was right before
    add(airflow_pools, slots=4, include_deferred=False)

    pools.make_missing_pools()

    assert POOL not in store.pools()  # what open_experiment checks
    assert "include-deferred" in caplog.text
    with airflow_pools() as session:
        assert session.scalar(sa.select(Pool.include_deferred)) is False  # a person's: left as it is


def test_a_person_who_sets_the_concurrency_makes_the_pool_count_deferred_tasks(airflow_pools):
    workflow = AirflowWorkflow()
    assert workflow.pool_slots(POOL) is None
    add(airflow_pools, slots=4, include_deferred=False)

    workflow.set_pool_slots(POOL, 2)

    with airflow_pools() as session:
        pool = session.scalar(sa.select(Pool).where(Pool.pool == POOL))
        assert (pool.slots, pool.include_deferred, pool.description) == (2, True, "a person's")
    assert workflow.pool_slots(POOL) == 2
