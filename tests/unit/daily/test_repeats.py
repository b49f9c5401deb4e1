"""A day is never trained twice unless it was asked for, and then from the day before, in a folder of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.daily.day import DayAlreadyDoneError, Trained
from include.errors import NotFoundError, RetryableError, StateError
from include.store import DayState
from tests.support.daily import BAD, FOLDER, GOOD, ORIGIN, june, model_of, run_of


def test_an_automatic_retry_goes_on_with_the_day_that_was_begun(days):
    days.promote(1)

    assert days.begin(2) == days.begin(2)
    assert [d.repeat for d in days.store.days("movielens")] == [0, 0]


@pytest.mark.parametrize(("metric", "outcome"), [(GOOD, "is done: promoted"), (BAD, "is done: gate failed")])
def test_a_day_that_has_its_result_is_not_trained_by_another_run(days, metric, outcome):
    day = days.train(1, metric)
    if metric == GOOD:
        days.engine.promote(day, by="test")

    with pytest.raises(DayAlreadyDoneError, match=outcome):
        days.begin(1, who="backfill")

    assert len(days.store.days("movielens")) == 1


def test_a_day_that_failed_is_trained_by_another_run_without_being_asked_twice(days):
    days.promote(1)
    days.fail(2)

    again = days.begin(2, who="backfill")

    assert (again.checkpoint, again.model_dir) == (model_of(1), f"{FOLDER}/20220602_model_r1")


@pytest.mark.parametrize("metric", [GOOD, BAD])
def test_a_failed_run_that_is_cleared_does_not_train_what_another_run_has_done_meanwhile(days, metric):
    days.promote(1)
    failed = days.begin(2)
    days.engine.finish(run_of(2), "out of memory")
    other = days.train(2, metric, who="by hand")
    if metric == GOOD:
        days.engine.promote(other, by="test")

    with pytest.raises(DayAlreadyDoneError):
        days.begin(2, tries=7)
    with pytest.raises(StateError, match="juneby hand has trained 2022-06-02 in place of this one"):
        days.engine.check_still_valid(failed.day)

    assert days.begin(2, tries=7, retrain=True).model_dir == f"{FOLDER}/20220602_model_r2"


def test_a_failed_run_that_is_cleared_trains_when_the_other_run_failed_too(days):
    days.promote(1)
    failed = days.begin(2)
    days.engine.finish(run_of(2), "out of memory")
    days.begin(2, who="by hand")
    days.engine.finish(run_of("by hand"), "out of memory")

    days.engine.check_still_valid(failed.day)
    assert days.begin(2, tries=7).checkpoint == model_of(1)


@pytest.mark.parametrize("how", [{"tries": 7}, {"who": "by hand", "retrain": True}])
@pytest.mark.parametrize("day", [1, 2, 3])
def test_a_repeated_day_starts_from_the_day_before_in_a_fresh_folder(days, how, day):
    days.promote(1, 2, 3)
    before = f"{ORIGIN}/model.ckpt-10" if day == 1 else model_of(day - 1)

    again = days.begin(day, **how)

    assert again.checkpoint == before
    assert again.model_dir == f"{FOLDER}/2022060{day}_model_r1"
    assert again.config_target == f"{FOLDER}/movielens_configs/2022060{day}_model_r1.config"


def test_the_old_result_stays_until_the_new_one_is_good(days):
    days.promote(1, 2)

    again = days.begin(2, tries=7)
    assert days.states() == {1: "PROMOTED", 2: "PROMOTED"}
    days.judge(again, BAD)
    assert days.states() == {1: "PROMOTED", 2: "PROMOTED"}
    assert days.pointer()["checkpoint"] == model_of(2)
    assert days.begin(3).checkpoint == model_of(2)


def test_the_new_result_takes_the_place_of_the_old_one_once_it_is_good(days):
    days.promote(1, 2)

    days.promote(2, tries=7)

    assert days.pointer()["checkpoint"] == model_of(2, "_r1")
    assert days.begin(3).checkpoint == model_of(2, "_r1")
    first = next(d for d in days.store.days("movielens") if (d.bizdate, d.repeat) == (june(2), 0))
    assert first.state is DayState.SUPERSEDED


def test_a_repeat_that_fails_leaves_the_promoted_day(days):
    days.promote(1, 2)
    days.begin(2, who="again", retrain=True)
    days.engine.finish(run_of("again"), "a task failed")

    assert days.states() == {1: "PROMOTED", 2: "PROMOTED"}
    assert days.begin(3).checkpoint == model_of(2)


def test_a_run_trains_one_day_only(days):
    days.begin(1, who="a")

    with pytest.raises(StateError, match="has begun 2022-06-01 already"):
        days.begin(2, who="a", start_from=days.checkpoint("oss://sandbox-bucket/movielens/other"))

    assert len(days.store.chains()) == 1


def test_a_run_that_does_not_hold_the_lease_begins_nothing(days):
    days.store.try_lease("movielens", run=run_of("other"), bizdate=june(1), live_for=timedelta(hours=1))

    with pytest.raises(StateError, match="juneother holds its lease"):
        days.begin(1)


def test_a_finished_run_ends_what_it_left_open_and_gives_the_lease_back(days):
    days.store.try_lease("movielens", run=run_of(1), bizdate=june(1), live_for=timedelta(hours=1))
    days.fail(1)

    assert days.states() == {1: "FAILED"}
    assert days.store.leases("movielens") == []


def test_finishing_leaves_a_day_with_an_outcome_alone(days):
    days.promote(1)

    days.engine.finish(run_of(1), "a task failed")

    assert days.states() == {1: "PROMOTED"}


def test_a_training_that_was_cleared_alone_makes_a_repeat_and_keeps_the_old_model(days):
    days.promote(1)
    begun = days.begin(2)
    days.engine.promote(days.judge(begun).id, by="test")

    days.engine.check_still_valid(begun.day)
    folder = f"{begun.model_dir}_e1"
    trained = Trained(folder, days.checkpoint(folder), BAD, {"auc_is_like": BAD})
    again, verdict = days.engine.judge(begun.day, trained)

    assert (verdict.passed, again.repeat, again.checkpoint_in) == (False, 1, model_of(1))
    assert days.begin(3).checkpoint == model_of(2)


def test_a_training_is_refused_when_the_day_before_has_another_model_by_now(days):
    days.promote(1)
    begun = days.begin(2)
    days.promote(1, who="again", retrain=True)

    with pytest.raises(
        StateError, match=r"was to continue from .*0601_model/.* by now it is .*0601_model_r1/"
    ):
        days.engine.check_still_valid(begun.day)


def test_a_training_is_refused_when_the_model_has_another_chain_by_now(days):
    begun = days.begin(1)
    days.begin(2, start_from=days.checkpoint("oss://sandbox-bucket/movielens/other"))

    with pytest.raises(StateError, match="movielens-chain1, which is no longer the model's"):
        days.engine.check_still_valid(begun.day)


def test_a_training_is_refused_when_another_run_trained_the_date_in_its_place(days):
    left = days.begin(1)
    days.promote(1, who="backfill")

    with pytest.raises(StateError, match="backfill has trained 2022-06-01 in place of this one"):
        days.engine.check_still_valid(left.day)


def test_a_training_that_was_cleared_alone_twice_is_still_valid(days):
    begun = days.begin(1)
    days.engine.promote(days.judge(begun).id, by="test")
    folder = f"{begun.model_dir}_e1"
    trained = Trained(folder, days.checkpoint(folder), GOOD, {"auc_is_like": GOOD})
    days.engine.promote(days.engine.judge(begun.day, trained)[0].id, by="test")
    assert days.store.day(begun.day).state is DayState.SUPERSEDED

    days.engine.check_still_valid(begun.day)


def test_a_model_that_is_not_whole_is_not_judged(days):
    begun = days.begin(1)
    checkpoint = days.checkpoint(begun.model_dir)
    days.services.objects.delete(f"{checkpoint}.index")

    with pytest.raises(NotFoundError, match="it lacks its index"):
        days.engine.judge(begun.day, Trained(begun.model_dir, checkpoint, GOOD, {"auc_is_like": GOOD}))

    assert days.states() == {1: "OPEN"}


class TestStaleDays:
    @pytest.fixture
    def repeated(self, days):
        """Day 1 was promoted anew after days 2, 3 and 4 were trained on the old one."""
        days.promote(1, 2)
        days.train(3, BAD)
        days.promote(4)
        days.promote(1, tries=7)
        return days

    def test_they_are_offered_in_order_until_none_is_left(self, repeated):
        assert repeated.engine.next_stale(june(1)) == june(2)
        repeated.promote(2, tries=7)
        assert repeated.engine.next_stale(june(1)) == june(3)
        repeated.train(3, BAD, tries=7)
        assert repeated.engine.next_stale(june(1)) == june(4)
        repeated.promote(4, tries=7)
        assert repeated.engine.next_stale(june(1)) is None

    def test_only_later_ones_are_offered(self, repeated):
        assert repeated.engine.next_stale(june(2)) == june(3)
        assert repeated.engine.next_stale(june(4)) is None

    def test_one_that_has_no_model_is_left_to_a_person(self, days):
        days.promote(1)
        days.fail(2)
        days.promote(1, tries=7)

        assert days.engine.next_stale(june(1)) is None

    def test_one_that_was_rolled_back_is_left_to_a_person(self, repeated):
        repeated.store.roll_back("movielens", to=2, by="ada", reason="")

        assert repeated.states()[4] == "ROLLED_BACK"
        assert repeated.engine.next_stale(june(3)) is None

    def test_a_model_without_chain_has_none(self, days):
        assert days.engine.next_stale(june(1)) is None


def test_trouble_with_oss_while_a_day_is_begun_records_nothing(days):
    days.promote(1)
    days.services.objects.fail_next(RetryableError("OSS is away"))

    with pytest.raises(RetryableError):
        days.begin(2)

    assert days.states() == {1: "PROMOTED"}
