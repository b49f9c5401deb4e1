"""What people are told of a model's days: by the engine, whoever calls it (+21, design section 6)."""

from __future__ import annotations

import pytest

from include.daily.chain import DayBeforeUnfinishedError
from include.daily.promotion import promote_day, roll_back
from include.errors import RetryableError
from include.notices import Kind
from tests.support.daily import BAD, june, model_of, run_of


def test_a_promoted_day_is_told_once_however_often_it_is_published(days):
    trained = days.train(1)

    days.engine.promote(trained, by="gate")
    days.engine.promote(trained, by="gate")

    (notice,) = days.told
    assert notice.heading == "EasyRec movielens: new model serves, 2022-06-01"
    assert "model.ckpt-10" in notice.lines[0]
    assert notice.run == ("daily_finetune_movielens", "june1")


def test_a_refused_day_is_told_with_the_reason_and_what_still_serves(days):
    days.promote(1)

    days.train(2, BAD)

    notice = days.told[-1]
    assert (notice.kind, notice.title) == (Kind.GATE_FAILED, "2022-06-02")
    assert "auc_is_like 0.5 is not at least 0.55" in notice.lines[0]
    assert "20220601_model/model.ckpt-10 of 2022-06-01" in notice.lines[1]
    assert notice.run == ("daily_finetune_movielens", "june2")


def test_a_refusal_is_told_too_when_nothing_serves_yet(days):
    days.train(1, BAD)

    assert "still serves: no model yet" in days.told[0].lines


def test_a_day_that_a_person_lets_serve_all_the_same_is_told_with_who_and_why(days):
    days.train(1, BAD)

    promote_day(days.services, days.plan, june(1), by="ada", reason="a holiday")

    assert days.told[-1].kind is Kind.PROMOTED
    assert "by: ada, a holiday" in days.told[-1].lines


def test_an_older_day_trained_anew_is_told_once_with_the_days_to_run_again(days):
    days.promote(1, 2, 3)
    trained = days.train(1, who="again", tries=7, retrain=True)

    days.engine.promote(trained, by="ada", reason="the table was mended")
    days.engine.promote(trained, by="ada", reason="the table was mended")

    notices = [n for n in days.told if n.kind is Kind.CHAIN_MENDED]
    (notice,) = notices
    assert notice.heading == "EasyRec movielens: an earlier day was trained anew, 2022-06-01"
    assert notice.lines[0].endswith(f"{model_of(1, '_r1')}")
    assert f"still serves: {model_of(3)} of 2022-06-03" in notice.lines
    assert "by: ada, the table was mended" in notice.lines
    assert "to do: run these stale days again (retrain_later): 2022-06-02, 2022-06-03" in notice.lines
    assert notice.run == ("daily_finetune_movielens", "juneagain")


def test_a_rollback_is_told_with_who_and_why(days):
    days.promote(1, 2)

    roll_back(days.services, days.plan, to=1, by="ada", reason="clicks fell")

    notice = days.told[-1]
    assert notice.heading == "EasyRec movielens: rolled back, to 2022-06-01"
    assert "20220601_model" in notice.lines[0]
    assert "by: ada, clicks fell" in notice.lines


def test_a_day_that_waits_for_a_failed_one_says_which(days):
    days.promote(1)
    days.fail(2)

    with pytest.raises(DayBeforeUnfinishedError):
        days.begin(3)

    notice = days.told[-1]
    assert (notice.kind, notice.title) == (Kind.DAY_WAITS, "2022-06-03")
    assert "2022-06-02 (failed)" in notice.lines[0]
    assert notice.run == ("daily_finetune_movielens", "june3")


def test_a_hole_that_is_passed_over_is_told_once(days):
    days.promote(1)
    days.set(on_gap="last_good")

    days.begin(4)
    days.begin(4)  # a retry

    (notice,) = [n for n in days.told if n.kind is Kind.CHAIN_GAP]
    assert "2022-06-02, 2022-06-03" in notice.lines[0]


def test_a_day_after_a_refused_one_has_no_hole_before_it(days):
    days.promote(1)
    days.train(2, BAD)

    days.begin(3)

    assert [n.kind for n in days.told] == [Kind.PROMOTED, Kind.GATE_FAILED]


def test_a_refused_day_that_is_judged_again_is_not_told_again(days):
    begun = days.begin(1)
    days.judge(begun, BAD)

    days.judge(begun, BAD)

    assert [n.kind for n in days.told] == [Kind.GATE_FAILED]


@pytest.mark.parametrize("unwritten", ["000001.json", "current.json"])
def test_a_day_is_told_once_its_pointer_is_there_though_a_try_failed_before(days, unwritten):
    trained = days.train(1)
    days.services.objects.fail_write(unwritten, RetryableError("OSS is away"))
    with pytest.raises(RetryableError):
        days.engine.promote(trained, by="gate")
    assert days.told == []

    days.engine.promote(trained, by="gate")

    assert [n.kind for n in days.told] == [Kind.PROMOTED]


def test_a_rollback_is_told_once_its_pointer_is_there_though_a_try_failed_before(days):
    days.promote(1, 2)
    days.services.objects.fail_write("current.json", RetryableError("OSS is away"))
    with pytest.raises(RetryableError):
        roll_back(days.services, days.plan, to=1, by="ada", reason="clicks fell")

    roll_back(days.services, days.plan, to=1, by="ada", reason="clicks fell")

    assert [n.kind for n in days.told] == [Kind.PROMOTED, Kind.PROMOTED, Kind.ROLLED_BACK]
    assert days.pointer()["bizdate"] == "2022-06-01"


def test_a_rollback_to_a_model_of_an_older_chain_says_how_to_train_on_from_it(days):
    days.promote(1)
    other = days.checkpoint("oss://sandbox-bucket/movielens/other")
    days.promote(2, start_from=other)

    roll_back(days.services, days.plan, to=1, by="ada", reason="clicks fell")

    assert f"run the next day with start_from {model_of(1)}" in days.told[-1].lines[-1]
    assert days.begin(3).checkpoint == other
    days.engine.finish(run_of(3), "a person ended it")
    assert days.begin(3, who="by hand", start_from=model_of(1)).checkpoint == model_of(1)
