"""What serves and what tells everybody: promoting, publishing, going back (design section 6)."""

from __future__ import annotations

import json

import pytest

from include.daily.promotion import promote_day, publish, roll_back
from include.errors import NotFoundError, PermanentError, RetryableError, StateError
from include.notices import Kind
from include.store import DayState, ExperimentStore
from tests.support.daily import BAD, june, model_of


def back(days, to: int):
    return roll_back(days.services, days.plan, to=to, by="ada", reason="clicks fell")


def by_hand(days, day: int):
    return promote_day(days.services, days.plan, june(day), by="ada", reason="a holiday")


def test_the_pointer_says_all_that_serving_needs(days):
    days.engine.promote(days.train(1), by="gate", export_dir="oss://sandbox-bucket/export/20220601")

    pointer = days.pointer()

    assert pointer == days.pointer("000001.json")
    assert {key: pointer[key] for key in ("model", "number", "kind", "bizdate", "checkpoint", "metric")} == {
        "model": "movielens",
        "number": 1,
        "kind": "promote",
        "bizdate": "2022-06-01",
        "checkpoint": model_of(1),
        "metric": 0.7,
    }
    assert pointer["export_dir"] == "oss://sandbox-bucket/export/20220601"
    assert pointer["pipeline_config"] == model_of(1).replace("model.ckpt-10", "pipeline.config")


def test_pointers_lie_beside_the_models_or_where_the_model_says(days):
    assert days.plan.promotions_prefix == "oss://sandbox-bucket/movielens/finetune/movielens_promotions/"

    days.set(promotions="oss://other-bucket/serving/")

    assert days.plan.promotions_prefix == "oss://other-bucket/serving/"


def test_the_history_stays(days):
    days.promote(1, 2)
    back(days, 1)

    history = [days.pointer(f"00000{number}.json") for number in (1, 2, 3)]

    assert [(p["kind"], p["bizdate"]) for p in history] == [
        ("promote", "2022-06-01"),
        ("promote", "2022-06-02"),
        ("rollback", "2022-06-01"),
    ]
    assert days.pointer() == history[2]


@pytest.mark.parametrize("unwritten", ["000002.json", "current.json"])
def test_trouble_leaves_the_old_pointer_and_a_retry_writes_the_new_one(days, unwritten):
    days.promote(1)
    trained = days.train(2)
    days.services.objects.fail_write(unwritten, RetryableError("OSS is away"))

    with pytest.raises(RetryableError):
        days.engine.promote(trained, by="gate")
    assert days.pointer()["number"] == 1

    days.engine.promote(trained, by="gate")
    assert days.pointer() == days.pointer("000002.json")


def test_a_slow_publisher_does_not_leave_an_older_model_in_place(days, monkeypatch):
    days.promote(1)
    later, objects = days.train(2), days.services.objects
    write, slow = objects.write, []

    def while_another_publishes(url, data, **how):
        if url.endswith("current.json") and not slow:
            slow.append(url)
            days.engine.promote(later, by="gate")
        write(url, data, **how)

    objects.delete(days.plan.promotions_prefix + "current.json")
    monkeypatch.setattr(objects, "write", while_another_publishes)
    publish(days.services, days.plan, days.store.serving("movielens"))

    assert slow
    assert days.pointer() == days.pointer("000002.json")


def test_a_late_publisher_leaves_the_newer_model_in_place(days):
    days.promote(1, 2)
    first = days.store.promotions("movielens")[0]

    assert not publish(days.services, days.plan, first)

    assert days.pointer()["number"] == 2


def test_publishing_again_brings_back_a_pointer_that_was_lost(days):
    days.promote(1)
    days.services.objects.delete(days.plan.promotions_prefix + "current.json")

    assert by_hand(days, 1).number == 1

    assert days.pointer()["number"] == 1


@pytest.mark.parametrize("body", [b'{"number": 2, "store": "another"}', b"\xff", b"[" * 100_000])
def test_numbers_of_another_installation_are_not_overwritten(days, body):
    days.promote(1)
    theirs = days.plan.promotions_prefix + "000002.json"
    days.services.objects.write(theirs, body)

    with pytest.raises(PermanentError, match="another installation") as refused:
        days.promote(2)

    assert "finetune.promotions" in str(refused.value)
    assert days.pointer()["number"] == 1
    assert days.services.objects.read(theirs) == body


def as_another_release_wrote_it(days, name: str) -> None:
    pointer = {key: value for key, value in days.pointer(name).items() if key != "by"}
    body = json.dumps({**pointer, "since_then": "a field more"}).encode()
    days.services.objects.write(days.plan.promotions_prefix + name, body)


def test_a_promotion_that_another_release_published_is_the_same_and_told_no_second_time(days):
    trained = days.train(1)
    days.engine.promote(trained, by="gate")
    for name in ("000001.json", "current.json"):
        as_another_release_wrote_it(days, name)

    assert days.engine.promote(trained, by="gate")[0].number == 1

    assert days.pointer("000001.json")["since_then"] == "a field more"
    assert days.pointer()["by"] == "gate"
    assert [notice.kind for notice in days.told] == [Kind.PROMOTED]


@pytest.mark.parametrize("other", ["checkpoint", "promoted_at", "store", "kind"])
def test_a_pointer_that_names_another_promotion_is_not_taken_for_ours(days, other):
    trained = days.train(1)
    days.engine.promote(trained, by="gate")
    body = json.dumps({**days.pointer(), other: "another"}).encode()
    days.services.objects.write(days.plan.promotions_prefix + "000001.json", body)

    with pytest.raises(PermanentError, match="another installation"):
        days.engine.promote(trained, by="gate")


def test_metrics_without_number_do_not_break_the_pointers_json(days):
    days.train(1, BAD)
    begun = days.begin(2)
    days.judge(begun, float("nan"))

    by_hand(days, 2)

    assert days.pointer()["metric"] is None


def test_a_refused_day_does_not_serve_until_a_person_says_so(days):
    days.promote(1)
    days.train(2, BAD)
    assert days.pointer()["number"] == 1

    promotion = by_hand(days, 2)

    assert (promotion.bizdate, promotion.by, promotion.reason) == (june(2), "ada", "a holiday")
    assert days.pointer()["checkpoint"] == model_of(2)
    assert days.begin(3).checkpoint == model_of(2)


def test_a_day_without_model_can_not_be_promoted_and_the_days_are_named(days):
    days.promote(1)
    days.fail(2)
    for day in (2, 3):
        with pytest.raises(NotFoundError, match=rf"no trained model of 2022-06-0{day}") as refused:
            by_hand(days, day)
        assert "2022-06-01 (promoted), 2022-06-02 (failed)" in str(refused.value)


def test_a_model_without_chain_has_nothing_to_promote(days):
    with pytest.raises(NotFoundError, match="days: none"):
        by_hand(days, 1)


def test_after_a_rollback_the_next_day_goes_on_from_what_serves(days):
    days.promote(1, 2, 3)

    back(days, 1)

    assert days.states() == {1: "PROMOTED", 2: "ROLLED_BACK", 3: "ROLLED_BACK"}
    fourth = days.begin(4)
    assert fourth.checkpoint == model_of(1)
    assert "2022-06-03 rolled_back (clicks fell)" in fourth.note


def test_a_day_that_was_begun_from_what_is_rolled_back_meanwhile_does_not_serve(days):
    days.promote(1, 2)
    begun = days.begin(3)
    back(days, 1)

    with pytest.raises(StateError, match="by now it is"):
        days.engine.check_still_valid(begun.day)
    with pytest.raises(StateError, match="was rolled back"):
        days.engine.promote(days.judge(begun).id, by="gate")
    assert days.pointer()["bizdate"] == "2022-06-01"


def test_what_serves_already_or_never_did_is_refused(days):
    days.promote(1)

    with pytest.raises(StateError, match="serves already"):
        back(days, 1)
    with pytest.raises(NotFoundError, match="no promotion 9"):
        back(days, 9)


def test_an_older_date_promoted_anew_makes_later_days_stale_and_moves_no_pointer(days):
    days.promote(1, 2, 3)

    again = days.train(2, tries=7)
    promotion, stale = days.engine.promote(again, by="gate")

    assert promotion is None
    assert [d.bizdate for d in stale] == [june(3)]
    assert days.pointer()["checkpoint"] == model_of(3)
    assert len(days.store.promotions("movielens")) == 3
    repeat = days.store.day(again)
    assert (repeat.state, repeat.stale) == (DayState.PROMOTED, False)


def test_a_promotion_is_kept_by_the_store_when_it_is_opened_again(days, tmp_path):
    days.promote(1)

    with ExperimentStore.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        assert store.serving("movielens").checkpoint == model_of(1)
