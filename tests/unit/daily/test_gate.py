"""May a day's model serve? (design section 6)"""

from __future__ import annotations

import math

import pytest

from include.finetune.gate import judge
from include.finetune.settings import GateRules
from tests.support.daily import june


def verdict(rules, objective=0.7, metrics=None, earlier=(), mode="maximize"):
    return judge(
        GateRules(**rules), objective=objective, metrics=metrics or {}, earlier=earlier, optimize_mode=mode
    )


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        ({}, True),
        ({"min": {"auc": 0.6}}, True),
        ({"min": {"auc": 0.65}}, True),
        ({"min": {"auc": 0.66}}, False),
        ({"max": {"loss": 0.4}}, True),
        ({"max": {"loss": 0.39}}, False),
        ({"min": {"objective": 0.7}, "max": {"objective": 0.7}}, True),
        ({"min": {"objective": 0.71}}, False),
    ],
)
def test_bounds_are_absolute_and_included(rules, passes):
    assert verdict(rules, metrics={"auc": 0.65, "loss": 0.4}).passed is passes


def test_what_failed_is_said_first_with_its_numbers():
    said = verdict({"min": {"auc": 0.6, "recall": 0.5}}, metrics={"auc": 0.65, "recall": 0.25})

    assert said.reasons == ("recall 0.25 is not at least 0.5", "auc 0.65 is at least 0.6")


@pytest.mark.parametrize("objective", [None, math.nan, math.inf, -math.inf])
def test_a_day_without_a_finite_objective_never_passes(objective):
    assert not verdict({}, objective).passed


@pytest.mark.parametrize("rules", [{"min": {"auc": -1.0}}, {"max": {"auc": 1.0}}])
def test_a_metric_that_is_no_number_or_missing_passes_no_bound(rules):
    assert not verdict(rules, metrics={"auc": math.nan}).passed
    missing = verdict(rules, metrics={"auk": 0.7})
    assert not missing.passed
    assert "there is no metric auc (there are auk, objective)" in str(missing)


@pytest.mark.parametrize(
    ("mode", "objective", "passes"),
    [
        ("maximize", 0.66, True),
        ("maximize", 0.64, False),
        ("maximize", 0.9, True),
        ("minimize", 0.74, True),
        ("minimize", 0.76, False),
        ("minimize", 0.1, True),
    ],
)
def test_a_drop_is_measured_against_the_mean_of_the_days_before(mode, objective, passes):
    assert verdict({"max_drop": 0.05}, objective, earlier=[0.6, 0.8], mode=mode).passed is passes


def test_only_the_newest_days_make_the_mean():
    rules = {"max_drop": 0.05, "trailing_days": 2}

    assert verdict(rules, 0.66, earlier=[0.1, 0.7, 0.7]).passed
    assert not verdict(rules, 0.64, earlier=[0.1, 0.7, 0.7]).passed


def test_without_history_there_is_nothing_to_compare_with():
    first = verdict({"max_drop": 0.001}, 0.01)

    assert first.passed
    assert "no promoted day before" in str(first)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_day_without_number_in_the_history_does_not_judge_those_after_it(bad):
    rules = {"max_drop": 0.05, "trailing_days": 2}

    assert verdict(rules, 0.66, earlier=[0.7, 0.7, bad]).passed
    assert not verdict(rules, 0.64, earlier=[0.7, 0.7, bad]).passed
    assert verdict(rules, 0.01, earlier=[bad]).passed


@pytest.mark.parametrize("rules", [{"max_drop": 0.0}, {"trailing_days": 0}, {"mim": {"auc": 0.5}}])
def test_rules_that_make_no_sense_are_refused(rules):
    with pytest.raises(ValueError, match=next(iter(rules))):
        GateRules(**rules)


class TestOfADay:
    @pytest.fixture
    def strict(self, days):
        days.set(gate={"max_drop": 0.05, "trailing_days": 2})
        return days

    def test_it_is_compared_with_promoted_days_before_it_only(self, strict):
        strict.promote(1, 2)
        third = strict.train(3, 0.5)
        assert strict.states()[3] == "GATE_FAILED"

        fourth = strict.train(4, 0.66)  # the mean is still 0.7

        assert strict.store.day(third).reason.startswith(
            "objective 0.5 against the mean 0.7 of 2 days before"
        )
        assert strict.states()[4] == "TRAINED"
        assert strict.store.day(fourth).metric == 0.66

    def test_a_repeated_day_is_not_compared_with_itself_nor_with_later_ones(self, strict):
        strict.set(gate={"max_drop": 0.3})
        strict.promote(1)
        strict.engine.promote(strict.train(2, 0.9), by="test")
        strict.engine.promote(strict.train(3, 0.95), by="test")
        strict.set(gate={"max_drop": 0.05})

        again = strict.train(2, 0.68, tries=7)

        assert strict.store.day(again).state.value == "TRAINED"

    def test_in_minimise_mode_a_rise_fails(self, strict):
        strict.set(optimize_mode="minimize")
        strict.promote(1)

        strict.train(2, 0.8)

        assert strict.states()[2] == "GATE_FAILED"

    def test_another_chain_has_no_history_here(self, strict):
        strict.promote(1, 2)
        other = strict.checkpoint("oss://sandbox-bucket/movielens/other")

        strict.train(3, 0.1, start_from=other)

        assert strict.states() == {3: "TRAINED"}

    def test_judging_again_after_the_rules_were_loosened_lets_the_day_serve(self, strict):
        strict.promote(1)
        begun = strict.begin(2)
        refused = strict.judge(begun, 0.5)
        strict.set(gate={})

        strict.engine.promote(strict.judge(begun, 0.5).id, by="test")

        assert strict.store.day(refused.id).state.value == "PROMOTED"
        assert strict.pointer()["bizdate"] == june(2).isoformat()

    def test_judging_a_promoted_day_again_changes_nothing(self, strict):
        begun = strict.begin(1)
        day = strict.judge(begun)
        strict.engine.promote(day.id, by="test")
        strict.set(gate={"min": {"objective": 0.99}})

        assert strict.judge(begun).state.value == "PROMOTED"
