"""Days begin in order, say what they wait for, and never keep the one they wait for from beginning."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from unittest import mock

import pytest
from airflow.sdk.exceptions import AirflowFailException, DagRunTriggerException, TaskDeferred
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from easyrec import runtime
from easyrec.callbacks import GaveWay, on_failure
from easyrec.operators.daily import TrainDayOperator
from easyrec.operators.reconcile import RunsThatGaveWayOperator, StartAgainOperator
from easyrec.operators.resolve_checkpoint import ResolveCheckpointOperator
from easyrec.triggers import turn as triggers
from easyrec.triggers import waiting
from include.daily.plan import FinetunePlan
from include.notices import Kind
from include.store import RunKey
from tests.support.daily import MODEL, june
from tests.unit.daily.conftest import days  # noqa: F401 - a fixture

DAG = "daily_finetune_movielens"
RESOLVE = "resolve_checkpoint"


class Airflow:
    """What Airflow says of the runs of the DAG: their states, and those of their ``resolve_checkpoint``."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.resolved: dict[str, str | None] = {}

    def set(self, day: int, run: str, resolved: str | None = None) -> None:
        self.runs[f"june{day}"], self.resolved[f"june{day}"] = run, resolved

    def count(self, *, dag_id, run_ids, states, **_) -> int:
        assert dag_id == DAG
        return sum(self.runs.get(run) in states for run in run_ids)

    def states(self, *, dag_id, run_ids, task_ids, **_) -> dict:
        assert (dag_id, task_ids) == (DAG, [RESOLVE])
        return {run: {RESOLVE: self.resolved[run]} for run in run_ids if run in self.resolved}


@pytest.fixture
def airflow(monkeypatch) -> Airflow:
    airflow = Airflow()
    for name, says in (("get_dr_count", airflow.count), ("get_task_states", airflow.states)):
        method = mock.create_autospec(getattr(RuntimeTaskInstance, name), side_effect=says)
        monkeypatch.setattr(RuntimeTaskInstance, name, method)
    return airflow


@pytest.fixture
def resolve(days, monkeypatch):  # noqa: F811
    """Runs ``resolve_checkpoint`` of a day, whose run comes after the one of ``before``."""
    monkeypatch.setattr(runtime, "services", lambda _settings: days.services)
    for name in ("open_store", "own_store"):
        monkeypatch.setattr(runtime, name, lambda: days.store)
    monkeypatch.setattr(FinetunePlan, "load", classmethod(lambda _cls, _path: days.plan))

    def run(day: int, *, before: int | None = None, before_type="backfill", event=None):
        earlier = None if before is None else dag_run(before, before_type)
        ti = SimpleNamespace(
            dag_id=DAG, run_id=f"june{day}", max_tries=3, get_previous_dagrun=lambda: earlier
        )
        context = {"ti": ti, "dag_run": dag_run(day), "params": {}, "triggering_asset_events": {}}
        operator = ResolveCheckpointOperator(task_id=RESOLVE, model_folder=str(MODEL))
        if event is not None:
            return operator.go_on(context, event)
        return ResolveCheckpointOperator.execute(operator, context)

    return run


def dag_run(day: int, run_type: str = "backfill") -> SimpleNamespace:
    begin = datetime(2022, 6, day, 2, tzinfo=timezone.utc)
    return SimpleNamespace(
        dag_id=DAG,
        run_id=f"june{day}",
        run_type=run_type,
        data_interval_start=begin,
        data_interval_end=begin + timedelta(days=1),
        run_after=begin + timedelta(days=1),
        triggering_user_name=None,
        conf={},
    )


def deferred(resolve, *args, **kwargs) -> triggers.TurnTrigger:
    with pytest.raises(TaskDeferred) as caught:
        resolve(*args, **kwargs)
    kind, arguments = caught.value.trigger.serialize()
    return getattr(triggers, kind.rpartition(".")[2])(**arguments)  # as the triggerer makes it


class TestDaysBeginInOrder:
    def test_a_day_waits_until_the_run_before_has_decided(self, airflow, resolve):
        airflow.set(1, "running")
        trigger = deferred(resolve, 2, before=1)

        assert trigger.look() is None
        assert trigger.missing == "run june1, which comes first"
        airflow.set(1, "running", "success")
        assert trigger.look() == {}

    def test_then_it_waits_for_the_lease_without_a_task_in_between(self, airflow, resolve, days):  # noqa: F811
        airflow.set(1, "running")
        trigger = deferred(resolve, 2, before=1)
        trigger.look()
        seldom = trigger.pause_seconds
        resolve(1)  # and has the lease now
        airflow.set(1, "running", "success")

        assert trigger.look() is None
        assert "run june1 trains 2022-06-01" in trigger.missing
        assert trigger.pause_seconds < seldom
        days.store.release_lease("movielens", run=RunKey(DAG, "june1"))
        assert trigger.look() == {}
        assert [lease.run for lease in days.store.leases("movielens") if lease.held] == [RunKey(DAG, "june2")]

    @pytest.mark.parametrize(
        ("run", "resolved"), [("running", "success"), ("running", "skipped"), ("success", None)]
    )
    def test_it_does_not_wait_for_one_that_has(self, airflow, resolve, run, resolved):
        airflow.set(1, run, resolved)

        assert resolve(2, before=1)["bizdate"] == "2022-06-02"

    def test_a_run_that_failed_before_its_day_began_stops_the_next_ones(self, airflow, resolve):
        airflow.set(1, "failed", "upstream_failed")
        trigger = deferred(resolve, 2, before=1)

        assert trigger.look() is None
        assert "run june1, which failed before its day began: clear its failed task" in trigger.missing
        airflow.runs.clear()  # a person deleted it
        airflow.resolved.clear()
        assert trigger.look() == {}

    def test_a_persons_run_that_failed_stops_nobody(self, airflow, resolve):
        airflow.set(1, "failed", "failed")

        assert resolve(2, before=1, before_type="manual")["bizdate"] == "2022-06-02"

    def test_days_that_failed_are_passed_over_when_the_model_says_so(self, airflow, resolve, days):  # noqa: F811
        days.set(on_gap="last_good")
        airflow.set(1, "failed", "upstream_failed")

        assert resolve(2, before=1)["bizdate"] == "2022-06-02"

    def test_a_run_of_a_later_day_is_not_before_it(self, airflow, resolve):
        airflow.set(5, "running")

        assert resolve(2, before=5)["bizdate"] == "2022-06-02"


class TestGivingWay:
    @pytest.fixture
    def blocked(self, airflow, resolve, days, monkeypatch):  # noqa: F811
        """Day 1 failed, was cleared, and stays queued: day 2 waits for it."""
        days.fail(1)
        airflow.set(1, "failed", "success")
        airflow.set(2, "running")
        trigger = deferred(resolve, 2, before=1)
        assert isinstance(trigger, triggers.DayBeforeTrigger)
        assert trigger.look() is None
        airflow.set(1, "queued", "success")
        now = [100.0]
        monkeypatch.setattr(triggers.time, "monotonic", lambda: now[0])
        return SimpleNamespace(trigger=trigger, now=now)

    def test_a_run_that_was_just_cleared_gets_time_to_begin(self, blocked, airflow):
        assert blocked.trigger.look() is None
        blocked.now[0] += 29
        assert blocked.trigger.look() is None
        airflow.set(1, "running", "success")
        blocked.now[0] += 29
        assert blocked.trigger.look() is None

    def test_the_day_that_waits_ends_so_that_it_can_begin(self, blocked, resolve, days):  # noqa: F811
        blocked.trigger.look()
        blocked.now[0] += 31
        found = blocked.trigger.look()
        assert found == {"give_way_to": "june1"}

        with pytest.raises(GaveWay, match="june1, which stays queued"):
            resolve(2, before=1, event={"found": found})

        given = days.store.given_places()
        assert [(g.run, g.bizdate, g.to) for g in given] == [
            (RunKey(DAG, "june2"), june(2), RunKey(DAG, "june1"))
        ]
        assert days.store.leases("movielens") == []

    def test_it_stays_when_the_other_one_began_meanwhile(self, blocked, resolve, airflow, days):  # noqa: F811
        airflow.set(1, "running", "success")

        deferred(resolve, 2, before=1, event={"found": {"give_way_to": "june1"}})

        assert days.store.given_places() == []

    def test_nobody_is_told_of_it(self):
        told = on_failure("movielens", None, Kind.DAY_FAILED)
        with mock.patch("easyrec.callbacks.notify") as notify:
            told({"exception": GaveWay("…"), "ti": mock.Mock()})
            assert not notify.called
            with mock.patch("easyrec.callbacks.failure_notice"):
                told({"exception": AirflowFailException("…"), "ti": mock.Mock()})
            assert notify.called

    def test_a_task_after_the_first_never_does(self, blocked):
        arguments = {**blocked.trigger.arguments(), "gives_way": TrainDayOperator.gives_way}
        other = triggers.DayBeforeTrigger(**arguments, poll_seconds=1)
        other.look()
        blocked.now[0] += 31

        assert other.look() is None


class TestStartingAgain:
    @pytest.fixture(autouse=True)
    def gave_way(self, airflow, resolve, days):  # noqa: F811
        days.fail(1)
        for day in (3, 2):
            run = RunKey(DAG, f"june{day}")
            days.store.give_place("movielens", run=run, bizdate=june(day), to=RunKey(DAG, "june1"))
            airflow.set(day, "failed", "failed")
        airflow.set(1, "running", "success")

    def runs(self) -> list[str]:
        return [run["run_id"] for run in RunsThatGaveWayOperator(task_id="runs").execute({})]

    def test_the_runs_that_gave_way_are_started_once_the_other_one_has_begun(self, airflow):
        assert self.runs() == ["june2", "june3"]
        airflow.set(1, "failed", "success")
        assert self.runs() == ["june2", "june3"]

    def test_not_before(self, airflow):
        airflow.set(1, "queued", "success")

        assert self.runs() == []

    def test_not_while_it_still_ends(self, airflow):
        airflow.set(2, "running", "failed")

        assert self.runs() == ["june3"]

    def test_a_run_is_started_again_once(self, airflow):
        run = {"model": "movielens", "dag_id": DAG, "run_id": "june2"}

        with pytest.raises(DagRunTriggerException) as caught:
            StartAgainOperator(task_id="start_again", run=run).execute({})

        assert (caught.value.dag_run_id, caught.value.reset_dag_run) == ("june2", True)
        assert self.runs() == ["june3"]
        airflow.set(2, "queued")
        StartAgainOperator(task_id="start_again", run=run).execute({})

    def test_one_that_a_person_cleared_is_left_alone(self, airflow, resolve):
        airflow.set(2, "running")
        deferred(resolve, 2, before=1)
        airflow.set(2, "failed", "failed")

        assert self.runs() == ["june3"]


def test_a_trigger_fires_when_nothing_is_in_the_way(airflow, resolve, monkeypatch):
    monkeypatch.setattr(waiting, "SETTLE_SECONDS", 0.0)
    airflow.set(1, "running")
    trigger = deferred(resolve, 2, before=1)
    airflow.set(1, "success", "success")

    async def first():
        async for event in trigger.run():
            return event.payload
        return None

    assert asyncio.run(first()) == {"found": {}}
