"""One number per evaluation (reference R9)."""

from __future__ import annotations

import math

import pytest

from include.errors import ConfigError, MetricError
from include.metrics.events import ScalarEvent
from include.metrics.objective import Objective, ObjectiveValue, final


def event(step: int, **values: float) -> ScalarEvent:
    return ScalarEvent(step, 1000.0 + step, values)


def value(objective: float) -> ObjectiveValue:
    return ObjectiveValue(0, objective, {}, 0.0)


def test_the_weighted_sum_with_a_negative_loss() -> None:
    results = Objective({"auc": 0.5, "loss": -0.25}).collect([event(10, auc=0.8, loss=0.4, other=3.0)])
    assert results == [
        ObjectiveValue(10, 0.5 * 0.8 - 0.25 * 0.4, {"auc": 0.8, "loss": 0.4, "other": 3.0}, 1010.0)
    ]


def test_a_metric_of_exactly_zero_is_a_result() -> None:
    assert Objective({"auc": 1}).collect([event(0, auc=0.0)])[0].objective == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_is_a_result_that_is_not_finite(bad: float) -> None:
    [result] = Objective({"auc": 1, "b": -1}).collect([event(1, auc=bad, b=bad)])
    assert not result.is_finite


def test_a_watched_tag_of_weight_zero_must_be_there_but_cannot_spoil_the_sum() -> None:
    objective = Objective({"auc": 1, "watched": 0})
    assert objective.collect([event(1, auc=0.5, watched=math.nan)])[0].objective == 0.5
    assert objective.collect([event(2, auc=0.5)]) == []


def test_tags_of_one_step_may_come_apart() -> None:
    objective = Objective({"a": 1, "b": 1})
    assert objective.collect([event(1, a=1.0)]) == []
    assert [r.objective for r in objective.collect([event(2, a=2.0), event(1, b=1.0)])] == [2.0]
    assert [r.objective for r in objective.collect([event(2, b=2.0)])] == [4.0]


def test_a_step_is_reported_once_and_steps_only_rise() -> None:
    objective = Objective({"auc": 1})
    assert [r.global_step for r in objective.collect([event(2, auc=1), event(1, auc=1)])] == [1, 2]
    assert objective.collect([event(2, auc=9), event(1, auc=9)]) == []
    assert objective.last_step == 2


def test_a_restart_goes_on_after_the_last_reported_step() -> None:
    objective = Objective({"auc": 1}, last_step=2)
    assert [r.global_step for r in objective.collect([event(s, auc=1) for s in (1, 2, 3)])] == [3]


def test_a_tag_that_does_not_come_is_named_with_those_that_do() -> None:
    objective = Objective({"auc_is_lik": 1, "zzz": 1})
    assert objective.collect([event(100, auc_is_like=0.7, loss=0.3)]) == []
    with pytest.raises(MetricError) as caught:
        objective.collect([])
    message = str(caught.value)
    assert "step 100 has no metric 'auc_is_lik' (did you mean 'auc_is_like'?), 'zzz'" in message
    assert "it has auc_is_like, loss" in message


def test_no_evaluation_yet_is_not_a_missing_tag() -> None:
    objective = Objective({"auc": 1})
    assert [objective.collect([]) for _ in range(3)] == [[], [], []]


def test_a_later_evaluation_without_the_tag_is_no_result_and_no_failure() -> None:
    objective = Objective({"auc": 1})
    objective.collect([event(1, auc=1)])
    assert [objective.collect(events) for events in ([event(2, loss=1)], [], [])] == [[], [], []]
    assert [r.global_step for r in objective.collect([event(3, auc=1)])] == [3]


def test_weights_that_make_no_objective_are_refused() -> None:
    with pytest.raises(ConfigError, match="no metrics"):
        Objective({})
    with pytest.raises(ConfigError, match="weight of auc is nan"):
        Objective({"auc": math.nan})


def test_the_final_result_is_the_last_or_the_best_finite_one() -> None:
    results = [value(v) for v in (0.5, 0.9, 0.0, 0.7, math.nan)]
    assert final(results) == value(0.7)
    assert final(results, use_best=True) == value(0.9)
    assert final(results, use_best=True, optimize_mode="minimize") == value(0.0)
    assert final([value(math.inf)]) is None
    assert final([]) is None
