"""PAIAssessor and Medianstop (reference R10, +15)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigError, ProblemsError
from include.search import assessors


def pai(**class_args: object) -> assessors.Assessor:
    return assessors.create("PAIAssessor", class_args)


def rule_of_the_old_system(values: list[float], others: list[list[float]], high_better: bool) -> bool:
    """R10 in its own words."""
    at_step = sorted(other[len(values) - 1] for other in others if len(other) >= len(values))
    if not at_step:
        return False
    if high_better:
        return max(values) < at_step[(len(at_step) - 1) // 2]
    return min(values) > at_step[len(at_step) // 2]


CURVE = st.lists(st.floats(-1, 1), min_size=1, max_size=6)


@given(CURVE, st.lists(CURVE, max_size=7), st.booleans())
def test_pai_assessor_decides_as_r10_says(values, others, high_better) -> None:
    mode = "maximize" if high_better else "minimize"
    decision = pai(optimize_mode=mode).assess(0, {0: values, **dict(enumerate(others, start=1))})
    assert decision.stop == rule_of_the_old_system(values, others, high_better)


def test_the_reason_gives_the_numbers() -> None:
    decision = pai().assess(3, {0: [0.7], 1: [0.6], 2: [0.65], 3: [0.61]})
    assert decision.stop
    assert decision.reason == (
        "the best value after 1 result(s), 0.61, is below the median 0.65 of 3 other trials' values there"
    )
    decision = pai(optimize_mode="minimize").assess(1, {0: [0.5, 0.25], 1: [0.5, 0.375]})
    assert "0.375, is above the median 0.25 of 1 other" in decision.reason


def test_a_tie_goes_on() -> None:
    assert not pai().assess(0, {0: [0.5], 1: [0.5], 2: [0.5]}).stop


def test_the_best_value_so_far_counts_not_the_last() -> None:
    assert not pai().assess(0, {0: [0.9, 0.1], 1: [0.5, 0.8]}).stop


def test_nothing_is_judged_before_start_step() -> None:
    histories = {0: [0.1, 0.1], 1: [0.9, 0.9, 0.9]}
    assert not pai(start_step=3).assess(0, histories).stop
    assert pai(start_step=2).assess(0, histories).stop
    assert "start_step" in pai(start_step=3).assess(0, histories).reason


@pytest.mark.parametrize("histories", [{}, {0: []}, {1: [0.5]}, {0: [0.1]}, {0: [0.1, 0.2], 1: [0.5]}])
def test_without_anything_to_compare_a_trial_goes_on(histories) -> None:
    decision = pai().assess(0, histories)
    assert not decision.stop
    assert decision.reason


def test_moving_avg_compares_with_running_averages() -> None:
    histories = {0: [0.5, 0.5], 1: [0.2, 0.7]}
    assert pai().assess(0, histories).stop
    decision = pai(moving_avg=True).assess(0, histories)
    assert not decision.stop
    assert "0.45 of 1 other trials' running averages" in decision.reason


def test_proportion_moves_the_bar_from_the_median() -> None:
    others = {n: [n / 10] for n in range(1, 6)}
    for proportion, bar in ((0, 0.1), (0.25, 0.2), (0.5, 0.3), (0.75, 0.4), (1, 0.5)):
        assessor = pai(proportion=proportion)
        assert not assessor.assess(0, {0: [bar], **others}).stop
        assert assessor.assess(0, {0: [bar - 0.01], **others}).stop


def test_a_greater_proportion_is_stricter_when_minimizing_too() -> None:
    others = {n: [n / 10] for n in range(1, 6)}
    assert not pai(optimize_mode="minimize", proportion=0.5).assess(0, {0: [0.25], **others}).stop
    assert pai(optimize_mode="minimize", proportion=0.75).assess(0, {0: [0.25], **others}).stop


def test_patience_counts_consecutive_drops() -> None:
    assessor = pai(patience=2)
    assert not assessor.assess(0, {0: [0.5, 0.4]}).stop
    decision = assessor.assess(0, {0: [0.5, 0.4, 0.3]})
    assert decision.stop
    assert "2nd drop in a row" in decision.reason
    assert not assessor.assess(0, {0: [0.5, 0.4, 0.4]}).stop
    assert not assessor.assess(0, {0: [0.5, 0.4, 0.6, 0.5]}).stop
    assert pai(patience=2, optimize_mode="minimize").assess(0, {0: [0.3, 0.4, 0.5]}).stop


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["maximize", "minimize"])
@pytest.mark.parametrize("name", ["PAIAssessor", "Medianstop"])
def test_a_value_that_is_not_finite_is_the_worst_there_is(name: str, mode: str, bad: float) -> None:
    assessor = assessors.create(name, {"optimize_mode": mode})
    assert assessor.assess(0, {0: [bad], 1: [0.5]}).stop
    assert "not finite" in assessor.assess(0, {0: [bad], 1: [0.5]}).reason
    assert not assessor.assess(0, {0: [0.1], 1: [bad]}).stop
    assert not assessor.assess(0, {0: [bad], 1: [bad]}).stop


@given(st.permutations([math.nan, 0.2, 0.4, 0.6]))
def test_nan_of_others_does_not_make_the_verdict_depend_on_their_order(order) -> None:
    others = {n: [value] for n, value in enumerate(order, start=1)}
    assert pai().assess(0, {0: [0.19], **others}).stop
    assert not pai().assess(0, {0: [0.2], **others}).stop


def test_medianstop_compares_with_running_averages_of_finished_trials() -> None:
    assessor = assessors.create("Medianstop", {})
    histories = {0: [0.5], 1: [0.9], 2: [0.4]}
    assert assessor.assess(0, histories, finished=[1]).stop  # type: ignore[call-arg]
    assert not assessor.assess(0, histories, finished=[2]).stop  # type: ignore[call-arg]
    assert "no finished trial" in assessor.assess(0, histories, finished=[]).reason  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "class_args", "words"),
    [
        ("PAIAssessor", {"optimize_mode": "max"}, "optimize_mode must be maximize or minimize"),
        ("PAIAssessor", {"start_step": -1}, "start_step must be a whole number from 0"),
        ("PAIAssessor", {"start_step": True}, "start_step must be a whole number from 0"),
        ("PAIAssessor", {"moving_avg": 1}, "moving_avg must be true or false"),
        ("PAIAssessor", {"proportion": 2}, "proportion must be a number from 0 to 1"),
        ("PAIAssessor", {"proportion": math.nan}, "proportion must be a number from 0 to 1"),
        ("PAIAssessor", {"patience": 0}, "patience must be a whole number from 1"),
        ("PAIAssessor", {"patiense": 3}, "did you mean 'patience'"),
        ("Medianstop", {"moving_avg": True}, "unknown argument of Medianstop"),
    ],
)
def test_wrong_arguments_are_named(name, class_args, words) -> None:
    with pytest.raises(ProblemsError, match=words):
        assessors.create(name, class_args)


def test_an_unknown_assessor_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'Medianstop'"):
        assessors.create("MedianStopp", {})


@pytest.mark.parametrize("name", ["PAIAssessor", "pai_assessor.PAIAssessor", "pai_assessor.PaiAssessor"])
def test_the_built_in_assessor_has_the_manuals_names(name: str) -> None:
    assert isinstance(assessors.create(name, {}), assessors.PaiAssessor)
