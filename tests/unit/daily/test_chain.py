"""Which checkpoint a day continues from, and when it is refused (reference R25, design section 6)."""

from __future__ import annotations

import pytest

from include.daily.chain import ChainGapError, DayBeforeUnfinishedError, waits_for
from include.errors import NotFoundError
from include.store import Origin
from tests.support.daily import BAD, FOLDER, ORIGIN, june, model_of, run_of

FIRST = f"{ORIGIN}/model.ckpt-10"


def waiting(days, day: int) -> str:
    unfinished = waits_for(days.store, "movielens", june(day))
    return "" if unfinished is None else unfinished.message


def test_the_first_day_continues_from_the_origin_and_the_next_from_its_exact_checkpoint(days):
    first = days.begin(1)
    assert (first.checkpoint, first.model_dir) == (FIRST, f"{FOLDER}/20220601_model")
    days.engine.promote(days.judge(first).id, by="test")

    second = days.begin(2)

    assert second.checkpoint == model_of(1)
    assert second.edits["train_config.fine_tune_checkpoint"] == model_of(1)
    assert second.trained_config == f"{FOLDER}/20220601_model/pipeline.config"
    assert second.note == ""
    assert waiting(days, 2) == ""


def test_a_day_continues_from_the_checkpoint_that_was_judged_not_from_a_newer_one(days):
    days.promote(1)
    days.checkpoint(f"{FOLDER}/20220601_model", step=99)

    assert days.begin(2).checkpoint == model_of(1)


@pytest.mark.parametrize("lost", [".index", ".data-00000-of-00001"])
def test_a_checkpoint_that_is_not_whole_is_refused_and_nothing_is_recorded(days, lost):
    days.promote(1)
    days.services.objects.delete(model_of(1) + lost)

    with pytest.raises(NotFoundError, match="step 10"):
        days.begin(2)

    assert days.states() == {1: "PROMOTED"}
    assert days.store.day_of_run(run_of(2)) is None


def test_an_origin_that_is_not_whole_opens_no_chain(days):
    days.services.objects.delete(f"{FIRST}.data-00000-of-00001")

    with pytest.raises(NotFoundError, match="no checkpoint is whole: step 10 lacks its data"):
        days.begin(1)

    assert days.store.chains() == []


def test_a_checkpoint_of_another_chain_is_never_used(days):
    days.promote(1, 2)
    other = days.checkpoint("oss://sandbox-bucket/movielens/other")

    third = days.begin(3, start_from=other)

    assert (third.chain, third.checkpoint) == ("movielens-chain2", other)
    days.engine.promote(days.judge(third).id, by="test")
    assert days.begin(4).checkpoint == model_of(3)


def test_a_new_chain_waits_for_no_unfinished_day_of_the_old_one(days):
    days.fail(1)
    other = days.checkpoint("oss://sandbox-bucket/movielens/other")
    days.store.open_chain("movielens", origin=Origin(other, ORIGIN, ()), by="ada")

    assert waiting(days, 2) == ""


def test_a_hole_is_refused_with_the_missing_days_or_passed_over_as_the_model_says(days):
    days.promote(1)

    with pytest.raises(ChainGapError, match="2 day") as refused:
        days.begin(4)
    assert "2022-06-02, 2022-06-03" in str(refused.value)
    assert not isinstance(refused.value, DayBeforeUnfinishedError)  # waiting would not help
    assert waiting(days, 4) == ""

    days.set(on_gap="last_good")
    begun = days.begin(4)
    assert begun.checkpoint == model_of(1)
    assert "not trained: 2022-06-02, 2022-06-03" in begun.note


def test_a_hole_after_the_origin_is_passed_over_from_the_origin(days):
    days.fail(1)
    days.set(on_gap="last_good")

    begun = days.begin(2)

    assert begun.checkpoint == FIRST
    assert "2022-06-02 continues from the origin of movielens-chain1: not trained: 2022-06-01" in begun.note


@pytest.mark.parametrize("state", ["open", "trained", "failed"])
def test_a_day_waits_for_one_before_it_that_has_no_result(days, state):
    days.promote(1)
    {"open": days.begin, "trained": days.train, "failed": days.fail}[state](2)

    with pytest.raises(DayBeforeUnfinishedError, match=rf"2022-06-03 waits for 2022-06-02 \({state}\)"):
        days.begin(3)

    assert f"2022-06-02 ({state})" in waiting(days, 3)
    assert waits_for(days.store, "movielens", june(3)).run == run_of(2)
    assert days.store.day_of_run(run_of(3)) is None


def test_a_failed_day_before_is_passed_over_where_the_model_says_so(days):
    days.promote(1)
    days.fail(2)
    days.set(on_gap="last_good")

    assert days.begin(3).checkpoint == model_of(1)


def test_after_a_failed_gate_the_chain_goes_on_from_the_last_good_day(days):
    days.promote(1)
    days.train(2, BAD)

    third = days.begin(3)

    assert third.checkpoint == model_of(1)
    assert "2022-06-02 gate_failed (auc_is_like 0.5 is not at least 0.55" in third.note
    days.engine.promote(days.judge(third).id, by="test")
    assert days.begin(4).checkpoint == model_of(3)


def test_a_refusal_of_long_ago_is_no_reason_of_todays_hole(days):
    days.promote(1)
    days.train(2, BAD)
    days.promote(3)
    days.set(on_gap="last_good")

    assert days.begin(5).note == "2022-06-05 continues from 2022-06-03: not trained: 2022-06-04"


def test_a_day_before_the_chains_first_is_refused_with_the_way_out(days):
    days.promote(3)

    for policy in ("fail", "last_good"):
        days.set(on_gap=policy)
        with pytest.raises(ChainGapError, match="movielens-chain1 begins with 2022-06-03: 2022-06-02"):
            days.begin(2)


def test_a_model_without_chain_waits_for_nothing(days):
    assert waiting(days, 1) == ""
