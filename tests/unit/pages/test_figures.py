"""Plots of a search, from a store alone."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from include.experiments.chain_plan import plan_of
from include.pages import figures, study, trials
from tests.support.searches import add_finetune_search, add_search

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


def test_a_study_keeps_values_outside_of_the_space_and_lists(store, search):
    experiment, found = store.experiment(search), store.trials(search)
    own = {**found[0].parameters, "model_config.embedding_regularization": 99.0, "mine": [1, 2]}
    odd = type(found[0])(**{**found[0].__dict__, "parameters": own})
    made = study.study_of(experiment, plan_of(experiment.snapshot), [odd, *found[1:]])
    assert len(made.trials) == 6  # those with a metric
    assert made.trials[0].params["embedding_regularization"] == 99.0
    assert made.trials[0].params["mine"] == "[1, 2]"


def test_short_names_stay_unique():
    keys = ["a.b.rate", "a.c.rate", "x.dim", "rate"]
    assert study.short_names(keys) == {
        "a.b.rate": "b.rate",
        "a.c.rate": "c.rate",
        "x.dim": "dim",
        "rate": "rate",
    }


@pytest.mark.parametrize(
    "name", ["best", "intermediate", "parallel", "importance", "slice", "contour", "timeline"]
)
def test_each_plot_is_drawn_or_says_what_is_missing(store, search, name):
    drawn = figures.figure(store, search, name, now=NOW)
    assert drawn["data"]
    empty = add_search(store, "movielens-aaaa0008", trials=0).id
    assert figures.figure(store, empty, name, now=NOW)["empty"]


def test_a_chains_line_goes_over_its_days_and_its_page_has_a_curve_for_each(store):
    chain = add_finetune_search(store).id
    drawn = figures.figure(store, chain, "intermediate", now=NOW)
    days = ["1998-01-15", "1998-01-16", "1998-01-17"]
    assert drawn["layout"]["xaxis"]["categoryarray"] == days
    by_state = {trace["name"]: trace for trace in drawn["data"]}
    assert by_state["SUCCEEDED"]["x"] == [*days, None, *days, None]  # trials 0 and 2
    assert by_state["EARLY_STOPPED"]["x"] == [*days[:2], None]

    seen = trials.trial_page(store, chain, 0, NOW)
    assert [curve["name"] for curve in seen["curves"]] == days
    assert all(curve["steps"] == [100, 200, 300, 400, 500] for curve in seen["curves"])
    last = [round(curve["values"]["objective"][-1], 6) for curve in seen["curves"]]
    assert by_state["SUCCEEDED"]["y"][:3] == last
    empty = add_finetune_search(store, "movielens-bbbb0002", trials=0).id
    assert figures.figure(store, empty, "intermediate", now=NOW)["empty"] == "days"


def test_only_chosen_chains_are_compared_and_a_day_without_a_metric_is_a_gap(store):
    chain = add_finetune_search(store).id
    drawn = figures.figure(store, chain, "intermediate", trials=[0, 2], now=NOW)
    assert [(trace["name"], len(trace["x"])) for trace in drawn["data"]] == [("#0", 4), ("#2", 4)]
    silent = add_finetune_search(store, "movielens-bbbb0002", trials=1, evaluations=0).id
    (trace,) = figures.figure(store, silent, "intermediate", now=NOW)["data"]
    assert (len(trace["x"]), trace["y"]) == (4, [None] * 4)


def test_a_thousand_bars_have_no_number_each(store):
    few, many = (
        figures.figure(store, add_search(store, f"movielens-aaaa00{n}", trials=n).id, "timeline", now=NOW)
        for n in (10, 400)
    )
    assert {trace["textposition"] for trace in few["data"]} == {"auto"}
    assert {trace["textposition"] for trace in many["data"]} == {"none"}


def test_parallel_coordinates_say_what_each_axis_measures_and_whose_each_line_is(store, search):
    drawn = figures.figure(store, search, "parallel", now=NOW)
    axes = {axis["name"]: axis for axis in drawn["axes"]}
    found = {t.number: t for t in store.trials(search) if t.metric is not None}
    metrics = [t.metric for t in found.values()]
    rates = [t.parameters["model_config.embedding_regularization"] for t in found.values()]
    assert axes["objective"] == {"name": "objective", "low": min(metrics), "high": max(metrics), "log": False}
    assert axes["embedding_regularization"]["low"] == min(rates)
    assert axes["embedding_regularization"]["log"] is True
    sizes = {t.parameters["data_config.batch_size"] for t in found.values()}
    assert axes["batch_size"]["options"] == sorted(sizes)

    heights = {}
    for trace in drawn["data"]:
        for line, number in enumerate(trace["meta"]):
            heights[number] = trace["y"][line * (len(axes) + 1)]
        assert len(trace["y"]) == len(trace["meta"]) * (len(axes) + 1)
    assert sorted(heights, key=lambda n: heights[n]) == sorted(found, key=lambda n: found[n].metric)


def test_jobs_that_ran_at_once_lie_in_different_slots(store, search):
    drawn = figures.figure(store, search, "timeline", now=NOW)
    slots = {
        text: row for trace in drawn["data"] for text, row in zip(trace["text"], trace["y"], strict=True)
    }
    assert len({slots[f"#{n}"] for n in range(4)}) == 4
    assert set(slots.values()) == {1, 2, 3, 4}


@pytest.mark.parametrize(("name", "most"), [("contour", 3), ("slice", 8)])
def test_no_more_parameters_are_drawn_than_a_server_and_a_browser_can_bear(store, name, most):
    search = add_search(store).id
    every = figures.figure(store, search, name, now=NOW)["parameters"]
    drawn = figures.figure(store, search, name, parameters=[*every, *every], now=NOW)
    assert drawn["left_out"] == len(every) - most
    panels = {trace["xaxis"] for trace in drawn["data"]}
    assert len(panels) <= most * most


def test_choices_are_in_the_order_of_their_numbers_lists_too(store):
    drawn = figures.figure(store, add_search(store, trials=40).id, "parallel", now=NOW)
    axes = {axis["name"]: axis for axis in drawn["axes"]}
    assert axes["hidden_units"]["options"] == ["[32]", "[64, 32]", "[128, 64]"]


def test_few_trials_share_few_colours(store):
    drawn = figures.figure(store, add_search(store).id, "parallel", now=NOW)
    assert [len(trace["meta"]) for trace in drawn["data"]] == [3, 3]
