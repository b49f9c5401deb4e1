"""What the page is told, from a store alone."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from include.errors import NotFoundError
from include.experiments.chain_plan import plan_of
from include.pages import changes, days, experiments, figures, runs, study, trials
from include.store import ExperimentStore, Result
from tests.support.searches import add_days, add_finetune_search, add_search

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
I18N = Path(__file__).parents[3] / "plugins" / "easyrec" / "web" / "static" / "i18n"


@pytest.fixture
def search(store: ExperimentStore) -> str:
    return add_search(store).id


def test_the_list_shows_only_what_a_person_may_read(store, search):
    add_search(store, "other-aaaa0009", dag_id="begin_search_other")
    seen = experiments.experiment_list(store, lambda dag_id: dag_id == "begin_search_movielens")
    (row,) = seen["experiments"]
    assert (row["id"], row["trials"], row["counts"]["FAILED"]) == (search, 8, 2)
    finished = [t.metric for t in store.trials(search) if t.state.value == "SUCCEEDED"]
    assert row["best"] == max(finished)


def test_every_change_changes_the_version(store, search):
    seen = [changes.version(store, search)]
    store.set_limits(search, max_trials=20, by="ann")
    seen.append(changes.version(store, search))
    step = store.steps(search, 0)[0].id
    store.record_results(step, [Result(900, 0.7, {}, 1.0)])
    seen.append(changes.version(store, search))
    assert len(set(seen)) == 3
    assert changes.version(store, search) == seen[-1]
    with pytest.raises(NotFoundError):
        changes.version(store, "no-such")


def test_all_answers_are_plain_json(store, search):
    add_days(store)
    answers = [
        experiments.overview(store, search, NOW),
        experiments.trial_table(store, search, NOW),
        trials.trial_page(store, search, 3),
        days.calendar(store, "movielens", NOW),
        runs.things_of_run(store, "daily_finetune_movielens", "june1"),
    ]
    for answer in answers:
        json.dumps(answer, allow_nan=False)


def test_the_calendar_has_a_square_for_a_day_that_was_never_trained(store):
    add_days(store)
    seen = days.calendar(store, "movielens", NOW)
    states = [entry["day"] and entry["day"]["state"] for entry in seen["days"]]
    assert states == ["PROMOTED", "PROMOTED", None, "GATE_FAILED", "FAILED"]
    assert seen["serves"]["bizdate"] == "2022-06-02"


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

    seen = trials.trial_page(store, chain, 0)
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


def test_a_table_reads_the_trials_and_jobs_of_a_search_once(store, search, monkeypatch):
    reads = []
    for name in ("trials", "steps"):
        whole = getattr(store, name)
        monkeypatch.setattr(
            store, name, lambda *given, _name=name, _whole=whole: reads.append(_name) or _whole(*given)
        )
    assert len(experiments.trial_table(store, search, NOW)["rows"]) == 8
    assert sorted(reads) == ["steps", "trials"]


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


def test_both_languages_have_the_same_texts_with_the_same_blanks():
    english, chinese = (json.loads((I18N / f"{n}.json").read_text(encoding="utf-8")) for n in ("en", "zh"))
    assert english.keys() == chinese.keys()
    blanks = {
        key: sorted(part.split("}")[0] for part in text.split("{")[1:]) for key, text in english.items()
    }
    assert {
        key: sorted(p.split("}")[0] for p in text.split("{")[1:]) for key, text in chinese.items()
    } == blanks


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
