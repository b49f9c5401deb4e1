"""Promotion by hand as a DAG run: what the form takes, whom it waits for, and what serves afterwards."""

from __future__ import annotations

import json
from collections import defaultdict
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from easyrec import runtime, turn
from easyrec.assets import promoted
from easyrec.operators.promotion import ChangeServingOperator
from include.daily import promotion as engine
from include.daily.lease import LIVE_FOR
from include.store import DayState, RunKey
from tests.support.daily import BAD, MODEL, june
from tests.unit.daily.conftest import days  # noqa: F401 - a fixture


@pytest.fixture
def served(days, monkeypatch):  # noqa: F811
    """Two days serve, the third was refused."""
    days.promote(1, 2)
    days.train(3, BAD)
    monkeypatch.setattr(runtime, "services", lambda _settings: days.services)
    for name in ("open_store", "own_store"):
        monkeypatch.setattr(runtime, name, lambda: days.services.store)
    monkeypatch.setattr(turn, "is_over", lambda _run: False)
    for one in (1, 2, 3):
        days.services.store.release_lease("movielens", run=RunKey("daily", f"run-{one}"))
    return days


class Form:
    def __init__(self, served, **fields) -> None:
        self.operator = ChangeServingOperator(task_id="change", model="movielens", model_folder=str(MODEL))
        self.outlets = defaultdict(SimpleNamespace)
        self.context = {
            "ti": SimpleNamespace(dag_id="promotion_movielens", run_id="by-hand"),
            "dag_run": SimpleNamespace(run_id="by-hand", run_type="manual", triggering_user_name="mei"),
            "params": {"reason": "the data was fine", **fields},
            "outlet_events": self.outlets,
        }

    def send(self):
        return type(self.operator).execute.__wrapped__(self.operator, self.context)


def pointer(served) -> dict:
    return json.loads(served.services.objects.read(served.plan.promotions_prefix + engine.CURRENT))


def test_a_refused_day_serves_when_a_person_says_so(served):
    form = Form(served, bizdate="2022-06-03")

    said = form.send()

    assert (said["promotion"], said["kind"], said["bizdate"]) == (3, "promote", "2022-06-03")
    assert (pointer(served)["number"], pointer(served)["by"]) == (3, "mei (by-hand)")
    assert form.outlets[promoted("movielens")].extra == said


def test_an_earlier_promotion_serves_again_and_the_days_after_it_are_rolled_back(served):
    Form(served, roll_back_to=1).send()

    assert (pointer(served)["kind"], pointer(served)["bizdate"]) == ("rollback", "2022-06-01")
    states = {d.bizdate: d.state for d in served.services.store.days("movielens")}
    assert states[june(2)] is DayState.ROLLED_BACK


def test_a_rollback_that_died_before_its_pointer_was_written_is_finished_by_the_retry(served, monkeypatch):
    form = Form(served, roll_back_to=1)
    with monkeypatch.context() as dying:
        dying.setattr(engine, "publish", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            form.send()

    assert form.send()["kind"] == "rollback"
    assert pointer(served)["bizdate"] == "2022-06-01"
    assert len(served.services.store.promotions("movielens")) == 3


def test_it_waits_while_a_day_trains_and_leaves_no_lease_behind(served):
    store = served.services.store
    training = RunKey("daily_finetune_movielens", "scheduled")
    store.try_lease("movielens", run=training, bizdate=june(4), live_for=LIVE_FOR)
    form = Form(served, roll_back_to=1)

    with pytest.raises(TaskDeferred):
        form.send()
    assert pointer(served)["number"] == 2

    store.release_lease("movielens", run=training)
    form.send()
    assert store.leases("movielens") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "either bizdate"),
        ({"bizdate": "2022-06-03", "roll_back_to": 1}, "either bizdate"),
        ({"bizdate": "2022-06-03", "reason": " "}, "say why"),
        ({"bizdate": "yesterday"}, "yesterday"),
        ({"bizdate": "2022-07-01"}, "no trained model"),
        ({"roll_back_to": 9}, "no promotion 9"),
        ({"roll_back_to": 2}, "serves already"),
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(served, fields, said):
    with pytest.raises(AirflowFailException, match=said):
        Form(served, **fields).send()

    assert pointer(served)["number"] == 2
    assert served.services.store.leases("movielens") == []
