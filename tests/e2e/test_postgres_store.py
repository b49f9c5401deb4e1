"""A search whose experiments live in Postgres, by an Airflow connection that a person made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote_plus

import pytest

from include.search.trial import TrialState
from include.store import ExperimentState, ExperimentStore
from tests.support.postgres import running_postgres

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(300)]

PASSWORD = "p@ss/w:rd%20&?"
"""The server trusts its socket and takes any; on its way it must survive being part of an address."""


@pytest.fixture
def postgres_store(world) -> Iterator[ExperimentStore]:
    with running_postgres() as new_database:
        url = new_database()
        connection = {
            "connection_id": "easyrec_store",
            "conn_type": "postgres",
            "login": url.username,
            "password": PASSWORD,
            "schema": url.database,
            "extra": json.dumps({"host": url.query["host"]}),
        }
        world.airflow.api("POST", "/connections", connection)
        try:
            # A pool is written to the store when a component starts: what open's message says to do.
            world.airflow.stop("scheduler")
            world.airflow.start("scheduler")
            with ExperimentStore.open(url.render_as_string(hide_password=False)) as store:
                yield store
        finally:
            world.airflow.api("DELETE", "/connections/easyrec_store")


def test_a_search_keeps_its_experiment_in_postgres_and_only_there(world, postgres_store):
    world.wait(lambda: "movielens_trials" in postgres_store.pools(), "the pool is known to the new store")
    before = world.store.experiments()
    search = world.search(store=postgres_store).start(trials=2, seed=3)

    assert search.wait_for_end() == "success"

    trials, jobs = search.trials(), search.jobs()
    assert [t.number for t in trials] == [0, 1]
    assert {t.state for t in trials} <= {TrialState.SUCCEEDED, TrialState.EARLY_STOPPED}
    assert sorted(s.job_id for s in search.steps()) == sorted(j["id"] for j in jobs)
    assert postgres_store.results(search.experiment)
    assert postgres_store.experiment(search.experiment).state is ExperimentState.FINISHED
    assert world.store.experiments() == before
    logs = [p.read_text(errors="replace") for p in world.airflow.home.rglob("*.log")]
    assert len(logs) > 4
    assert not any(PASSWORD in log or quote_plus(PASSWORD) in log for log in logs)
