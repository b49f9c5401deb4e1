"""Tasks of the daily DAG around the engine: what starts a chain, and which day a run is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset, AssetOrTimeSchedule, CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from easyrec import daily, runtime
from easyrec.assets import begin_best
from easyrec.discovery import ModelFolder
from easyrec.operators.daily import PromoteOperator
from easyrec.operators.resolve_checkpoint import ResolveCheckpointOperator
from include.daily.day import DailyFinetune, DayInputs
from include.daily.plan import FinetunePlan
from tests.support.daily import MODEL
from tests.unit.daily.conftest import days  # noqa: F401 - a fixture


@pytest.fixture
def resolve(days, monkeypatch):  # noqa: F811
    """Runs the task as an asset event, the form or the schedule would; the chain begins with a search."""
    days.set(start_from="begin", learning_rate="handover")
    monkeypatch.setattr(runtime, "services", lambda _settings: days.services)
    for name in ("open_store", "own_store"):
        monkeypatch.setattr(runtime, name, lambda: days.store)
    monkeypatch.setattr(FinetunePlan, "load", classmethod(lambda _cls, _path: days.plan))

    def run(*, events=None, interval_start=None, operator=None, **params):
        moment = datetime(2022, 6, 3, 2, tzinfo=timezone.utc)
        dag_run = SimpleNamespace(
            run_id="june",
            run_type="manual",
            data_interval_start=interval_start,
            data_interval_end=interval_start and interval_start + timedelta(days=1),
            run_after=moment,
            triggering_user_name=None,
            conf={},
        )
        operator = operator or ResolveCheckpointOperator(
            task_id="resolve_checkpoint", model_folder=str(MODEL)
        )
        context = {
            "ti": SimpleNamespace(
                dag_id="daily_finetune_movielens",
                run_id="june",
                max_tries=3,
                get_previous_dagrun=lambda: None,
            ),
            "dag_run": dag_run,
            "params": params,
            "triggering_asset_events": events or {},
            "outlet_events": defaultdict(SimpleNamespace),
        }
        return type(operator).execute.__wrapped__(operator, context)

    return run


def event(experiment: str) -> dict[Asset, list]:
    return {begin_best("movielens"): [SimpleNamespace(extra={"experiment": experiment})]}


def test_an_event_of_a_search_begins_a_chain_from_that_search_and_trains_the_last_complete_day(days, resolve):  # noqa: F811
    named, newer = days.search("first"), days.search("second")

    inputs = resolve(events=event(named))

    origin = days.store.current_chain("movielens").origin
    assert (origin.experiment, newer != named) == (named, True)
    assert inputs["bizdate"] == "2022-06-02"
    assert inputs["checkpoint"] == origin.checkpoint


def test_the_form_wins_over_the_runs_own_day(days, resolve):  # noqa: F811
    days.search("first")

    inputs = resolve(interval_start=datetime(2022, 6, 2, 2, tzinfo=timezone.utc), bizdate="20220601")

    assert inputs["bizdate"] == "2022-06-01"


def test_a_day_that_is_done_is_skipped_with_all_that_follows(days, resolve):  # noqa: F811
    days.search("first")
    days.promote(1)

    with pytest.raises(AirflowSkipException, match="retrain"):
        resolve(bizdate="20220601")


def test_a_promoted_day_removes_old_models_and_trouble_with_them_does_not_fail_it(
    days,  # noqa: F811
    resolve,
    monkeypatch,
    capsys,
):
    days.search("first")
    day = days.judge(DayInputs(**resolve(bizdate="20220602")))
    asked = []

    def away(engine: DailyFinetune) -> None:
        asked.append(days.store.leases("movielens")[0].held)
        raise RuntimeError("OSS is away")

    monkeypatch.setattr(DailyFinetune, "remove_old_models", away)
    operator = PromoteOperator(
        task_id="promote", model="movielens", model_folder=str(MODEL), gate={"day": day.id}
    )
    done = resolve(operator=operator, bizdate="20220602")

    assert done["promotion"] == 1
    assert asked == [True]
    assert "old model_dirs stay for today (finetune.keep_days): OSS is away" in capsys.readouterr().out
    assert days.store.leases("movielens") == []


def test_a_model_without_a_search_ends_with_what_to_do(resolve):
    with pytest.raises(AirflowFailException, match="begin_search_movielens"):
        resolve(bizdate="20220601")


def test_only_a_model_that_wants_it_starts_on_searches(days):  # noqa: F811
    folder = ModelFolder("movielens", MODEL, days.plan)
    assert type(daily.schedule(folder)) is CronDataIntervalTimetable

    days.set(start_on_begin=True)

    assert type(daily.schedule(replace(folder, plan=days.plan))) is AssetOrTimeSchedule


def test_the_form_says_to_empty_the_logical_date_where_a_run_of_today_would_do_nothing(days):  # noqa: F811
    folder = ModelFolder("movielens", MODEL, days.plan)
    assert "nothing runs for one after 1998-04-21" in daily.form(folder)["bizdate"].description

    days.set(last_bizdate=None)

    assert "logical date above" not in daily.form(replace(folder, plan=days.plan))["bizdate"].description
