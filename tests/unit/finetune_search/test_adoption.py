"""A finetune search's best parameters train the model's coming days, once a person says so (R26)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from include.daily.adoption import adopt, adopt_none, parameters_to_adopt
from include.daily.config_files import ConfigFiles
from include.daily.patching import patch_config
from include.daily.plan import FinetunePlan
from include.errors import ConfigError, NotFoundError, ProblemsError
from include.experiments.verification import not_applied
from include.search.space import parse
from include.store import RunKey
from tests.support.daily import BAD, Days
from tests.unit.experiments.conftest import CONFIG_URL
from tests.unit.finetune_search.conftest import MODEL, ORIGIN, RATE

JAN = "1998-01-15", "1998-01-16"


@pytest.fixture
def days(chains) -> Days:
    days = Days(chains.services, FinetunePlan.load(MODEL))
    days.set(start_from=ORIGIN)
    return days


@pytest.fixture
def searched(chains) -> str:
    """Two whole chains: the second, with the greater rate, is the better one."""
    chains.open(start=JAN[0], end=JAN[1], trials=2)
    for index, value in enumerate((0.6, 0.7)):
        chains.start(index)
        for _ in JAN:
            chains.day(value, trial=index)
    return chains.experiment


def begin(days: Days, day: int):
    return days.engine.begin(date(1998, 1, day), run=RunKey("daily", str(day)), task_max_tries=3, by="test")


def patched(days: Days, inputs):
    """As the task ``patch_config`` does it, through JSON as XComs are."""
    given = json.loads(json.dumps(inputs.as_dict()))
    return patch_config(
        ConfigFiles(lambda: days.services.objects),
        source=given["config_source"],
        target=given["config_target"],
        edits=given["edits"],
        learning_rate=given["learning_rate"],
        overrides=given["overrides"],
        trained_config=given["trained_config"],
    )


def adopt_best(days: Days, experiment: str, number: int | None = None):
    trial = parameters_to_adopt(days.store, "movielens", experiment, number)
    return adopt(days.store, days.services.objects, days.plan, trial, by="ann", reason="better")


def test_days_that_begin_later_are_trained_with_the_best_parameters(days, searched):
    before = begin(days, 14)
    assert before.overrides == {}
    days.engine.promote(days.judge(before).id, by="test")
    adopted = adopt_best(days, searched)
    assert (adopted.trial, adopted.experiment, adopted.by) == (1, searched, "ann")

    config = patched(days, begin(days, 15))
    assert "initial_learning_rate: 0.002" in config.text
    assert config.edits[RATE] == pytest.approx(0.002)


def test_what_easyrec_saved_is_compared_with_the_adopted_rate_not_with_the_one_handed_over(days, searched):
    adopt_best(days, searched)
    config = patched(days, begin(days, 14))
    assert not_applied(config.text, config.edits) == []
    assert not_applied(config.text.replace("0.002", "0.003"), config.edits) != []


def test_before_any_promotion_it_is_tried_on_the_first_day(days, searched):
    """Not on the day after the one on which the chain was opened: a backfill trains days of long ago."""
    begin(days, 14)  # has no result yet
    days.set(pipeline_config="ini")
    dated = {**days.plan.job.parameters, "config": "oss://sandbox-bucket/{bizdate}.config"}
    days.plan = replace(days.plan, job=replace(days.plan.job, parameters=dated))
    days.services.objects.write(
        "oss://sandbox-bucket/19980114.config", days.services.objects.read(CONFIG_URL)
    )

    assert adopt_best(days, searched).number == 1


def test_the_same_again_changes_nothing_and_none_takes_it_back(days, searched):
    assert adopt_best(days, searched).number == adopt_best(days, searched).number == 1
    assert adopt_best(days, searched, number=0).number == 2
    assert adopt_none(days.store, days.plan, by="ann", reason="no").number == 3
    assert begin(days, 14).overrides == {}
    kinds = [event.kind for event in days.store.events(None)]
    assert kinds.count("adopted") == 3


STEPS = "train_config.num_steps"


def adopted_by_hand(days: Days, **edits) -> None:
    days.store.adopt("movielens", edits, experiment=None, trial=None, by="ann", reason="")


def test_a_search_starts_from_what_was_adopted_and_its_own_parameters_win(days, chains):
    adopted_by_hand(days, **{STEPS: 77, RATE: 0.5})

    opened = chains.open(start=JAN[0], end=JAN[1], trials=1)
    adopted_by_hand(days, **{STEPS: 99})  # while it runs: its trials stay comparable
    chains.start()

    assert "num_steps: 77" in chains.config()
    assert "initial_learning_rate: 0.001" in chains.config()
    assert any(f"{STEPS} = 77" in note for note in opened.notes)
    chains.train(chains.job())
    saved = chains.objects.read(chains.job().payload.parameters["model_dir"] + "/pipeline.config").decode()
    assert chains.kept.not_applied(chains.store.trial(chains.experiment, 0).parameters, saved) == []
    other = saved.replace("num_steps: 77", "num_steps: 78")
    assert chains.kept.not_applied(chains.store.trial(chains.experiment, 0).parameters, other) != []


def test_an_adopted_trial_keeps_what_it_was_trained_with_besides(days, chains):
    adopted_by_hand(days, **{STEPS: 77})
    chains.open(start=JAN[0], end=JAN[1], trials=1)
    chains.start()
    for _ in JAN:
        chains.day()

    adopted = adopt_best(days, chains.experiment)

    assert adopted.edits[STEPS] == 77
    assert adopted.edits[RATE] == pytest.approx(0.001)


def test_what_cannot_be_adopted_is_refused_with_the_reason(days, searched, chains):
    with pytest.raises(ConfigError, match="belongs to model movielens, not other"):
        parameters_to_adopt(days.store, "other", searched, None)
    with pytest.raises(NotFoundError):
        parameters_to_adopt(days.store, "movielens", "movielens-00000000", None)
    with pytest.raises(NotFoundError, match="nothing was adopted"):
        adopt_none(days.store, days.plan, by="ann", reason="")
    chains.open("again", start=JAN[0], end=JAN[1], trials=1)
    with pytest.raises(ConfigError, match=r"no trial .* succeeded"):
        parameters_to_adopt(days.store, "movielens", chains.experiment, None)


def test_parameters_that_change_a_shape_of_the_chain_are_refused_before_anything_is_recorded(days, chains):
    wide = {"feature_configs[input_names[0]=user_id].embedding_dim": {"_type": "choice", "_value": [32]}}
    forced = chains.plan.finetune.model_copy(update={"force_shapes": True})
    chains.plan = replace(
        chains.plan,
        space=parse(json.dumps(wide), "space"),
        settings=chains.plan.settings.model_copy(update={"finetune": forced}),
        texts={**chains.plan.texts, "search_space.json": json.dumps(wide)},
    )
    key = next(iter(wide))
    chains.services = replace(chains.services, make_tuner=lambda plan: _Always({key: 32}))
    chains.open(start=JAN[0], end=JAN[1], trials=1)
    chains.start()
    for _ in JAN:
        chains.day()
    begin(days, 14)
    with pytest.raises(ProblemsError, match="embedding_dim"):
        adopt_best(days, chains.experiment)
    assert days.store.adoption("movielens") is None


class _Always:
    def __init__(self, parameters):
        self.parameters = parameters

    def ask(self, history, pending, seed):
        return dict(self.parameters)


def test_without_a_chain_parameters_are_tried_on_the_models_config(days, searched):
    days.set(pipeline_config="ini")
    days.services.objects.write(CONFIG_URL, b"train_config { num_steps: 1")
    with pytest.raises(ConfigError):
        adopt_best(days, searched)
    assert days.store.adoption("movielens") is None


def test_after_a_day_that_the_gate_refused_they_are_tried_on_the_last_promoted_one(days, searched):
    days.engine.promote(days.judge(begin(days, 14)).id, by="test")
    refused = begin(days, 15)
    days.judge(refused, BAD)
    for info in list(days.services.objects.list(refused.model_dir)):
        days.services.objects.delete(info.url)

    assert adopt_best(days, searched).number == 1
    assert begin(days, 16).overrides != {}
