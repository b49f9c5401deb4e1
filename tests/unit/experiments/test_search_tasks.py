"""First and last task of a search: whose connections count, and what is stopped when nothing was opened."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from easyrec import runtime
from easyrec.operators.begin_search import CloseExperimentOperator, OpenExperimentOperator
from include.experiments.plan import Plan


@pytest.fixture
def used(lab, monkeypatch):
    """Connections of MaxCompute that clients were made for."""
    used: list[str] = []
    monkeypatch.setattr(runtime, "own_store", lambda: lab.store)
    monkeypatch.setattr(
        runtime,
        "services",
        lambda settings, store=None: used.append(settings.maxcompute_conn_id) or lab.services,
    )
    return used


def context(run_id: str, **params):
    return {
        "ti": SimpleNamespace(dag_id="dag", run_id=run_id, xcom_push=lambda **_: None),
        "dag_run": SimpleNamespace(run_id=run_id, run_type="manual", triggering_user_name="ada"),
        "params": params,
    }


def open_again(lab, monkeypatch, run_id: str, **params) -> None:
    """The folder's settings name another connection by now."""
    texts = {**lab.plan.texts, "model.yml": "maxcompute_conn_id: other\n"}
    folder = Plan.from_snapshot({**lab.plan.snapshot(), "texts": texts})
    monkeypatch.setattr(Plan, "load", lambda _folder: folder)
    operator = OpenExperimentOperator(task_id="open_experiment", model_folder="anywhere/movielens")
    OpenExperimentOperator.execute.__wrapped__(operator, context(run_id, trials=1, **params))


def test_an_extension_is_checked_with_the_connections_that_its_trials_will_use(lab, used, monkeypatch):
    opened = lab.open(trials=1)

    open_again(lab, monkeypatch, "run2", experiment=opened.experiment.id)

    assert used == ["maxcompute_default"]


def test_a_repeated_opening_is_too(lab, used, monkeypatch):
    lab.open(trials=1)

    open_again(lab, monkeypatch, "run")

    assert used == ["maxcompute_default"]


def test_a_new_search_uses_those_of_the_folder(lab, used, monkeypatch):
    open_again(lab, monkeypatch, "run")

    assert used == ["other"]


@pytest.mark.parametrize("none", ["", "None"])
def test_when_nothing_was_opened_closing_stops_what_an_earlier_try_of_the_run_left(lab, used, none):
    lab.open(trials=1)
    lab.start(0)
    operator = CloseExperimentOperator(task_id="close_experiment", model="movielens", experiment=none)

    with pytest.raises(AirflowFailException, match="open_experiment"):
        CloseExperimentOperator.execute.__wrapped__(operator, context("run"))

    assert lab.job().stops == 1
