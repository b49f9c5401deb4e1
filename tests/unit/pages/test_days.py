"""The calendar of a model's days, from a store alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone

import pytest

from include.finetune.settings import FinetuneSettings
from include.pages import days
from tests.support.searches import add_days

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


def test_the_calendar_has_a_square_for_a_day_that_was_never_trained(store):
    add_days(store)
    seen = days.calendar(store, "movielens", NOW)
    states = [entry["day"] and entry["day"]["state"] for entry in seen["days"]]
    assert states == ["PROMOTED", "PROMOTED", None, "GATE_FAILED", "FAILED"]
    assert seen["serves"]["bizdate"] == "2022-06-02"


def test_the_calendar_names_what_the_days_are_trained_with_until_it_is_taken_back(store):
    add_days(store)
    given = {"by": "ann", "reason": "better by 0.01"}
    assert days.calendar(store, "movielens", NOW)["adopted"] is None
    store.adopt("movielens", {"a.b": 2}, experiment="movielens-aaaa0009", trial=3, **given)
    seen = days.calendar(store, "movielens", NOW)["adopted"]
    assert (seen["experiment"], seen["trial"], seen["by"]) == ("movielens-aaaa0009", 3, "ann")
    assert seen["reason"] == "better by 0.01"
    assert seen["edits"] == {"a.b": 2}
    store.adopt("movielens", {}, experiment=None, trial=None, **given)
    assert days.calendar(store, "movielens", NOW)["adopted"] is None


def test_dates_that_are_due_after_the_last_day_are_shown_and_counted(store):
    add_days(store)
    seen = days.calendar(store, "movielens", NOW, due=date(2022, 6, 8))
    assert [(e["bizdate"], e["due"]) for e in seen["days"][-4:]] == [
        ("2022-06-05", False), ("2022-06-06", True), ("2022-06-07", True), ("2022-06-08", True),
    ]  # fmt: skip
    assert seen["overdue"] == {"since": "2022-06-05", "count": 3}


def test_a_chain_that_ended_years_ago_has_a_months_squares_and_the_rest_in_words(store):
    add_days(store)
    seen = days.calendar(store, "movielens", NOW, due=date(2026, 5, 30))
    assert sum(e["due"] for e in seen["days"]) == 31
    assert seen["overdue"]["count"] == (date(2026, 5, 30) - date(2022, 6, 5)).days


def test_nothing_is_due_before_the_last_day_nor_of_an_earlier_chain(store):
    add_days(store)
    assert days.calendar(store, "movielens", NOW, due=date(2022, 6, 4))["overdue"] is None
    (old,) = store.chains("movielens")
    store.open_chain("movielens", origin=replace(old.origin, checkpoint="oss://b/model.ckpt-2"), by="ann")
    seen = days.calendar(store, "movielens", NOW, old.id, due=date(2022, 6, 8))
    assert (seen["overdue"], len(seen["days"])) == (None, 5)


@pytest.mark.parametrize(
    ("settings", "due"),
    [
        ({"timezone": "Asia/Shanghai", "evaluation": "same_day"}, date(2026, 6, 1)),
        ({"timezone": "UTC", "evaluation": "same_day"}, date(2026, 5, 31)),
        # It is judged by the next day, which must be over, too.
        ({"timezone": "UTC", "evaluation": "next_day"}, date(2026, 5, 30)),
        ({"timezone": "UTC", "evaluation": "same_day", "last_bizdate": date(2026, 5, 7)}, date(2026, 5, 7)),
    ],
)
def test_a_day_is_due_once_its_data_is_complete_in_the_models_zone(settings, due):
    assert days.last_due(FinetuneSettings(**settings), datetime(2026, 6, 1, 17, tzinfo=timezone.utc)) == due
