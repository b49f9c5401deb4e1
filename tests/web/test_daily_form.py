"""Airflow's own form of the daily DAG, filled in by a person in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

DAG = "daily_finetune_movielens"

pytestmark = [pytest.mark.airflow]


@pytest.fixture(scope="module")
def daily(site) -> Iterator[Any]:
    """The site, once Airflow has read the DAG."""
    site.airflow.start("dag-processor")
    site.airflow.wait_for_dag(DAG)
    site.airflow.stop("dag-processor")
    return site


@pytest.fixture
def form(daily, visit) -> Callable[[], Locator]:
    page = visit().page

    def opened() -> Locator:
        page.goto(f"{daily.airflow.url}/dags/{DAG}")
        page.get_by_role("button", name="Trigger").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text("Single Run", exact=True)).to_be_visible()
        return dialog

    return opened


def runs(daily) -> list[dict[str, Any]]:
    return daily.airflow.api("GET", f"/dags/{DAG}/dagRuns?order_by=logical_date")["dag_runs"]


def pick(dialog: Locator, index: int, day: str, time: str) -> None:
    """Write a moment into Airflow's date picker; empty texts clear it."""
    dialog.get_by_test_id("datetime-input").nth(index).click()
    page = dialog.page
    if not day:
        page.get_by_role("button", name="Clear start date").click()
    else:
        page.get_by_placeholder("YYYY/MM/DD").last.fill(day)
        page.get_by_placeholder("HH:mm").last.fill(time)
        page.get_by_placeholder("HH:mm").last.press("Enter")
    dialog.get_by_role("heading").first.click()


def test_a_person_names_the_day_to_train(daily, form):
    dialog = form()
    pick(dialog, 0, "", "")
    dialog.locator("[name=element_bizdate]").fill("1997-11-20")
    dialog.get_by_role("button", name="Trigger").click()

    (run,) = daily.airflow.wait(lambda: runs(daily), 60, "the run is there")

    assert (run["logical_date"], run["conf"]["bizdate"]) == (None, "1997-11-20")


def test_a_person_runs_a_range_of_days(daily, form):
    dialog = form()
    dialog.get_by_text("Run this Dag for a range of dates").click()
    pick(dialog, 0, "1997/11/19", "00:00")
    pick(dialog, 1, "1997/11/21", "23:59")
    expect(dialog.get_by_text("3 runs will be triggered")).to_be_visible()
    dialog.get_by_role("button", name="Backfill").click()

    def filled() -> list[dict[str, Any]]:
        found = [run for run in runs(daily) if run["run_type"] == "backfill"]
        return found if len(found) == 3 else []

    found = daily.airflow.wait(filled, 60, "three runs are there")
    begins = [datetime.fromisoformat(run["data_interval_start"]) for run in found]
    assert [begin.day for begin in begins] == [19, 20, 21]
