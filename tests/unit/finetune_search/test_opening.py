"""What opening a finetune search finds before a yuan is spent, and where its first day starts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from include.daily.plan import FinetunePlan
from include.errors import ConfigError, ProblemsError
from include.search.space import parse
from include.store import RunKey
from tests.support.daily import Days
from tests.unit.finetune_search.conftest import MODEL, ORIGIN, RATE


def test_every_partition_of_every_day_must_be_there(chains):
    with pytest.raises(ProblemsError) as error:
        chains.open(start="1998-01-18", end="1998-01-20")
    text = str(error.value)
    assert "dt=19980120" in text
    assert "dt=19980121" in text
    assert "dt=19980119" not in text
    assert chains.store.experiments() == []


def test_a_search_over_shapes_is_refused(chains):
    bad = {"feature_configs[:].embedding_dim": {"_type": "choice", "_value": [4, 8]}}
    chains.plan = replace(chains.plan, space=parse(json.dumps(bad), "space"))
    with pytest.raises(ProblemsError, match="embedding_dim"):
        chains.open()
    assert chains.store.experiments() == []


def test_a_saved_config_that_is_no_text_is_refused_though_no_rate_is_read_from_it(chains):
    finetune = chains.plan.finetune.model_copy(
        update={"learning_rate": "unchanged", "pipeline_config": "ini"}
    )
    chains.plan = replace(
        chains.plan, settings=chains.plan.settings.model_copy(update={"finetune": finetune})
    )
    chains.objects.write(f"{ORIGIN}/pipeline.config", b"model_config {\xff}")
    with pytest.raises(ProblemsError, match=rf"{ORIGIN}/pipeline\.config: not UTF-8 text"):
        chains.open()
    assert chains.store.experiments() == []


def test_a_misspelt_key_is_refused(chains):
    bad = {"train_config.num_stepz": {"_type": "choice", "_value": [4, 8]}}
    chains.plan = replace(chains.plan, space=parse(json.dumps(bad), "space"))
    with pytest.raises(ProblemsError, match="num_stepz"):
        chains.open()


def test_a_searched_rate_wins_over_the_one_handed_over_and_it_is_said(chains):
    opened = chains.open(trials=1)
    assert any(RATE in note and "wins over" in note for note in opened.notes)
    chains.start()
    assert "initial_learning_rate: 0.001" in chains.config()


def test_the_days_of_an_experiment_stay(chains):
    chains.open(start="1998-01-15", end="1998-01-16", trials=1)
    assert chains.kept.days == (date(1998, 1, 15), date(1998, 1, 16))
    chains.open("other", extend=chains.experiment, trials=1)
    assert chains.kept.step_count == 2
    with pytest.raises(ConfigError, match="keeps its days"):
        chains.open("third", extend=chains.experiment, trials=1, start="1998-01-16", end="1998-01-17")


def test_the_first_day_starts_from_the_model_promoted_for_the_day_before(chains):
    days = Days(chains.services, FinetunePlan.load(MODEL))
    days.set(start_from=ORIGIN)
    begun = days.engine.begin(date(1998, 1, 14), run=RunKey("daily", "14"), task_max_tries=3, by="test")
    with pytest.raises(ProblemsError, match=r"the checkpoint to start from: 1998-01-15 waits for 1998-01-14"):
        chains.open("before", trials=1)
    days.engine.promote(days.judge(begun).id, by="test")

    chains.open("after", trials=1)
    assert chains.kept.checkpoint == f"{begun.model_dir}/model.ckpt-10"
    chain = chains.store.current_chain("movielens")
    chains.start()
    for _ in range(3):
        chains.day()
    assert chains.store.current_chain("movielens") == chain
    assert chains.store.serving("movielens").checkpoint == f"{begun.model_dir}/model.ckpt-10"


def promoted(days, day):
    begun = days.engine.begin(date(1998, 1, day), run=RunKey("daily", str(day)), task_max_tries=3, by="test")
    days.engine.promote(days.judge(begun).id, by="test")
    return begun


def on_gap(chains, what):
    settings = chains.plan.settings
    finetune = settings.finetune.model_copy(update={"on_gap": what})
    chains.plan = replace(chains.plan, settings=settings.model_copy(update={"finetune": finetune}))


@pytest.fixture
def days(chains):
    days = Days(chains.services, FinetunePlan.load(MODEL))
    days.set(start_from=ORIGIN)
    return days


def test_days_that_the_daily_run_would_not_pass_over_are_not_passed_over(chains, days):
    begun = promoted(days, 14)

    with pytest.raises(ProblemsError, match=r"before 1998-01-16 are not trained: 1998-01-15"):
        chains.open(start="1998-01-16", end="1998-01-17", trials=1)
    assert chains.store.experiments() == []

    on_gap(chains, "last_good")
    opened = chains.open(start="1998-01-16", end="1998-01-17", trials=1)
    assert chains.kept.checkpoint == f"{begun.model_dir}/model.ckpt-10"
    assert any("not trained: 1998-01-15" in note for note in opened.notes)


def test_a_day_that_the_gate_refused_is_passed_over_as_the_daily_run_does_it(chains, days):
    begun = promoted(days, 13)
    days.set(start_from=ORIGIN, gate={"min": {"auc_is_like": 0.9}})
    refused = days.engine.begin(date(1998, 1, 14), run=RunKey("daily", "14"), task_max_tries=3, by="test")
    days.judge(refused)

    chains.open(trials=1)

    assert chains.kept.checkpoint == f"{begun.model_dir}/model.ckpt-10"


def test_days_before_the_chains_first_one_start_where_a_new_chain_would(chains, days):
    promoted(days, 17)

    chains.open(start="1998-01-15", end="1998-01-16", trials=1)

    assert chains.kept.checkpoint == f"{ORIGIN}/model.ckpt-10"


def test_a_start_that_cannot_be_read_is_told_together_with_all_else_that_is_wrong(chains):
    chains.objects.delete(f"{ORIGIN}/model.ckpt-10.index")
    with pytest.raises(ProblemsError) as error:
        chains.open(start="1998-01-18", end="1998-01-20")

    assert "dt=19980120" in str(error.value)
    assert f"{ORIGIN}" in str(error.value)
    assert chains.store.experiments() == []


@pytest.mark.parametrize("cleared", [True, False])
def test_further_trials_are_refused_when_the_first_checkpoint_is_gone(chains, cleared):
    chains.open(trials=1)
    chains.objects.delete(f"{ORIGIN}/model.ckpt-10.index")
    run, request = ("run", {}) if cleared else ("more", {"extend": chains.experiment})

    with pytest.raises(ProblemsError, match=r"the checkpoint to start from: .*first"):
        chains.open(run, trials=1, **request)

    assert chains.store.experiment(chains.experiment).max_trials == 1


def test_the_rate_is_handed_over_also_from_a_chain_that_recorded_none(chains):
    chains.open("before", trials=1)
    from_origin = chains.kept.rates
    days = Days(chains.services, FinetunePlan.load(MODEL))
    days.set(start_from=ORIGIN, learning_rate="unchanged")
    begun = days.engine.begin(date(1998, 1, 14), run=RunKey("daily", "14"), task_max_tries=3, by="test")
    days.engine.promote(days.judge(begun).id, by="test")
    assert chains.store.current_chain("movielens").origin.learning_rates == ()

    opened = chains.open("after", trials=1)

    assert chains.kept.rates == from_origin != ()
    assert (
        f"1998-01-15, the first day of every trial, continues from {begun.model_dir}/model.ckpt-10"
        in opened.notes
    )
