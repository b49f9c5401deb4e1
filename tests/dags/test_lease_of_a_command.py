"""Runs of a model's DAG wait for a person's command, which Airflow knows nothing of."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from unittest import mock

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from easyrec import runtime, turn
from include.daily import by_hand
from include.store import ExperimentStore, RunKey

RUN = RunKey("daily_finetune_movielens", "june2")
PERSON = by_hand.run_key("ada@host:1")


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """When ada's command took the lease; a test moves it."""
    at = [datetime.now(timezone.utc)]
    with ExperimentStore.open(f"sqlite:///{tmp_path / 'store.db'}", clock=lambda: at[0]) as store:
        monkeypatch.setattr(runtime, "open_store", lambda: store)
        monkeypatch.setattr(  # it would say that there is no such run, which is true
            RuntimeTaskInstance,
            "get_dr_count",
            mock.create_autospec(RuntimeTaskInstance.get_dr_count, return_value=0),
        )
        yield at


def take(model="movielens"):
    live = timedelta(minutes=1)
    assert runtime.open_store().try_lease(model, run=PERSON, bizdate=date(2022, 6, 1), live_for=live).held


def test_a_run_waits_while_the_command_is_at_work(begun):
    take()

    assert "ada@host:1 changes what serves" in turn.claim("movielens", RUN, date(2022, 6, 2)).words

    runtime.open_store().release_lease("movielens", run=PERSON)
    assert turn.claim("movielens", RUN, date(2022, 6, 2)) is None


def test_a_command_that_was_killed_blocks_nobody_for_long(begun):
    begun[0] -= timedelta(hours=1)
    take()
    begun[0] += timedelta(hours=1)

    assert turn.claim("movielens", RUN, date(2022, 6, 2)) is None
