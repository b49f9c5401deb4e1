"""Runs that a person starts by control: Airflow's UI shows who did it, and by what."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from airflow.utils.types import DagRunTriggeredByType

from easyrec.web import access, control_routes
from include import cli
from include.experiments import control
from include.store import ExperimentState, ExperimentStore
from tests.support.searches import add_search


@pytest.fixture
def started(monkeypatch):
    """What Airflow was told about each run; it knows every DAG and has no run yet."""
    runs = []
    session = SimpleNamespace(
        get=lambda _kind, dag_id: SimpleNamespace(dag_id=dag_id, is_paused=False), scalar=lambda _query: None
    )
    monkeypatch.setattr("airflow.utils.session.create_session", lambda: contextlib.nullcontext(session))
    monkeypatch.setattr(
        "airflow.api.common.trigger_dag.trigger_dag", lambda dag_id, **given: runs.append(given)
    )
    return runs


def test_a_run_says_whether_the_page_or_the_command_line_started_it(started, tmp_path):
    address = f"sqlite:///{tmp_path}/store.db"
    with ExperimentStore.open(address) as store:
        search = add_search(store, state=ExperimentState.FINISHED).id
        store.record_pool("movielens_trials", 4)
        control.extend(
            control_routes.acting(store, access.workflow(), SimpleNamespace(name="ann")), search, 1
        )
    assert cli.main(["extend", search, "1", "--store", address, "--by", "bob"]) == 0
    said = [(run["triggered_by"], run["triggering_user_name"]) for run in started]
    assert said == [(DagRunTriggeredByType.UI, "ann"), (DagRunTriggeredByType.CLI, "bob")]
