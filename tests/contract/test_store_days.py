"""What every database behind the store keeps of daily finetune: chains, days, promotions, leases."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from include.errors import ConfigError, NotFoundError, PermanentError, StateError
from include.store import (
    Claim,
    Day,
    DayState,
    Experiment,
    ExperimentStore,
    Origin,
    Promotion,
    RunKey,
    current_days,
    schema,
)
from include.store.database import Database
from include.store.upgrade import MIGRATIONS
from tests.support.stores import START, Clock, output, run_python

CHAIN = "ctr-chain1"
ORIGIN = Origin("oss://b/begin/model.ckpt-900", "oss://b/begin/pipeline.config", (0.001, 0.0005), "ctr-1", 3)
LIVE = timedelta(minutes=10)


def run(name: object = "run") -> RunKey:
    return RunKey("daily_finetune_ctr", str(name))


def june(day: int) -> date:
    return date(2022, 6, day)


def begin(store: ExperimentStore, day: int, who: object = None, tries: int = 1, **changes: Any) -> Day:
    """Day ``day`` of June, from what serves; by a run of its own unless ``who`` says another."""
    serving = store.serving("ctr")
    values: dict[str, Any] = {
        "run": run(f"june{day}" if who is None else who),
        "task_max_tries": tries,
        "checkpoint_in": serving.checkpoint if serving else ORIGIN.checkpoint,
        "model_dir": f"oss://b/ctr/202206{day:02}",
    }
    return store.begin_day(changes.pop("chain_id", CHAIN), june(day), **{**values, **changes})


def train(store: ExperimentStore, day: Day, metric: float | None = 0.7, **changes: Any) -> Day:
    model_dir = changes.get("model_dir", day.model_dir)
    values: dict[str, Any] = {
        "model_dir": model_dir,
        "checkpoint_in": day.checkpoint_in,
        "checkpoint_out": f"{model_dir}/model.ckpt-1000",
        "global_step": 1000,
        "metric": metric,
        "metrics": {"auc": metric} if metric is not None else {},
    }
    return store.record_training(day.id, **{**values, **changes})


def promote(store: ExperimentStore, day: Day, **more: Any) -> tuple[Promotion | None, list[Day]]:
    return store.promote_day(day.id, **{"by": "gate", **more})


def promoted(store: ExperimentStore, *days: int, who: object = None) -> list[Day]:
    """Days of June, each trained from the one before and promoted."""
    ended = []
    for day in days:
        begun = begin(store, day, who)
        train(store, begun)
        promote(store, begun)
        ended.append(store.day(begun.id))
    return ended


def states(store: ExperimentStore, chain_id: str = CHAIN) -> dict[int, str]:
    """What counts, by day of June."""
    current = current_days(store.days("ctr", chain_id=chain_id))
    return {day.day: each.state.value for day, each in current.items()}


def stale(store: ExperimentStore) -> list[int]:
    return [day.bizdate.day for day in store.days("ctr") if day.stale]


def numbers(store: ExperimentStore) -> list[tuple[int, str, int, int]]:
    return [(each.number, each.kind, each.bizdate.day, each.repeat) for each in store.promotions("ctr")]


def kinds(store: ExperimentStore) -> list[str]:
    return [each.kind for each in store.events(None)]


@pytest.fixture
def chained(store: ExperimentStore) -> ExperimentStore:
    """A store with a chain of the model ``ctr``."""
    assert store.open_chain("ctr", origin=ORIGIN, by="ada").id == CHAIN
    return store


class TestMigration:
    def test_a_store_of_the_first_version_keeps_what_it_has(self, new_url: str) -> None:
        database = Database(new_url)
        database.migrate(migrate_to_0001)
        database.write(add_an_experiment)
        with ExperimentStore.open(new_url, clock=Clock()) as store:
            assert store.uuid == "11111111-2222-3333-4444-555555555555"
            (experiment,) = store.experiments()
            assert isinstance(experiment, Experiment)
            assert (experiment.id, experiment.max_trials) == ("ctr-1", 16)
            assert [each.data for each in store.events("ctr-1")] == [{"max_trials": 16}]
            assert (store.chains(), store.leases(), store.serving("ctr")) == ([], [], None)
            store.open_chain("ctr", origin=ORIGIN, by="ada")
            assert store.day(promoted(store, 17)[0].id).state is DayState.PROMOTED
        with ExperimentStore.open(new_url) as again:
            assert again.uuid == "11111111-2222-3333-4444-555555555555"
            assert again.current_chain("ctr") is not None
        database.close()


def migrate_to_0001(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


def add_an_experiment(connection: sa.Connection) -> None:
    uuid = "11111111-2222-3333-4444-555555555555"
    connection.execute(schema.store.insert().values(id=1, uuid=uuid, created_at=START))
    connection.execute(
        schema.experiment.insert().values(
            id="ctr-1",
            model="ctr",
            kind="begin",
            dag_id="begin_search_ctr",
            run_id="manual__1",
            seed=1,
            optimize_mode="maximize",
            max_trials=16,
            snapshot={},
            state="RUNNING",
            reason="",
            asks=0,
            ends=0,
            created_by="ada",
            created_at=START,
        )
    )
    connection.execute(
        schema.event.insert().values(
            experiment_id="ctr-1", at=START, by="ada", kind="created", data={"max_trials": 16}
        )
    )


class TestChains:
    def test_a_chain_comes_back_as_it_was_opened(self, store: ExperimentStore) -> None:
        assert store.current_chain("ctr") is None
        opened = store.open_chain("ctr", origin=ORIGIN, by="ada")
        assert (opened.id, opened.number, opened.origin, opened.created_by) == (CHAIN, 1, ORIGIN, "ada")
        assert store.current_chain("ctr") == store.chain(CHAIN) == opened
        (event,) = store.events(None)
        assert (event.kind, event.by, event.data["model"]) == ("chain_opened", "ada", "ctr")

    def test_the_same_origin_opens_no_new_chain(self, chained: ExperimentStore) -> None:
        rates: Any = [0.001, 0.0005]
        same = Origin(ORIGIN.checkpoint, ORIGIN.config_url, rates, "ctr-1", 3)
        assert chained.open_chain("ctr", origin=same, by="bob").created_by == "ada"
        assert kinds(chained) == ["chain_opened"]

    def test_another_origin_opens_a_new_chain_and_so_does_going_back_to_the_first(
        self, chained: ExperimentStore
    ) -> None:
        other = Origin("oss://b/other/model.ckpt-1", ORIGIN.config_url, ())
        assert chained.open_chain("ctr", origin=other, by="ada").id == "ctr-chain2"
        assert chained.open_chain("ctr", origin=ORIGIN, by="ada").id == "ctr-chain3"
        assert chained.open_chain("cvr", origin=other, by="ada").id == "cvr-chain1"
        assert [each.id for each in chained.chains()] == [CHAIN, "ctr-chain2", "ctr-chain3", "cvr-chain1"]
        assert [each.id for each in chained.chains("cvr")] == ["cvr-chain1"]

    def test_many_that_open_the_same_chain_at_once_get_one(self, store: ExperimentStore) -> None:
        with ThreadPoolExecutor(6) as threads:
            opened = list(threads.map(lambda _: store.open_chain("ctr", origin=ORIGIN, by="ada"), range(6)))
        assert opened == [opened[0]] * 6
        assert len(store.chains()) == 1

    @pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, math.inf])
    def test_a_senseless_learning_rate_is_refused(self, rate: float) -> None:
        with pytest.raises(ConfigError, match="learning rate"):
            Origin(ORIGIN.checkpoint, ORIGIN.config_url, (0.1, rate))

    def test_unknown_ones_are_named(self, chained: ExperimentStore) -> None:
        for call, named in (
            (lambda: chained.chain("nope"), "chain 'nope'"),
            (lambda: begin(chained, 17, chain_id="nope"), "chain 'nope'"),
            (lambda: chained.day(7), "day with id 7"),
            (lambda: chained.end_day(7, DayState.FAILED, ""), "day with id 7"),
            (lambda: chained.promote_day(7, by="ada"), "day with id 7"),
            (lambda: chained.roll_back("ctr", to=1, by="ada", reason=""), "no promotion 1"),
            (lambda: chained.roll_back("nope", to=1, by="ada", reason=""), "model 'nope'"),
        ):
            with pytest.raises(NotFoundError, match=named):
                call()


class TestDays:
    def test_a_day_is_known_before_it_is_trained(self, chained: ExperimentStore) -> None:
        begun = begin(chained, 17)
        assert begun == Day(
            id=begun.id,
            model="ctr",
            chain_id=CHAIN,
            bizdate=june(17),
            repeat=0,
            run=run("june17"),
            task_max_tries=1,
            state=DayState.OPEN,
            reason="",
            checkpoint_in=ORIGIN.checkpoint,
            model_dir="oss://b/ctr/20220617",
            checkpoint_out=None,
            global_step=None,
            metric=None,
            metrics={},
            stale=False,
            begun_at=begun.begun_at,
            trained_at=None,
            ended_at=None,
        )
        assert chained.day(begun.id) == chained.day_of_run(run("june17")) == begun
        assert chained.day_of_run(run("another")) is None

    def test_a_retry_finds_the_day_that_is_there(self, chained: ExperimentStore) -> None:
        trained = train(chained, begin(chained, 17))
        assert begin(chained, 17, checkpoint_in="oss://b/other", model_dir="oss://b/other") == trained
        assert kinds(chained) == ["chain_opened", "day_begun", "day_trained"]

    def test_a_cleared_day_is_a_new_repeat_in_a_fresh_folder(self, chained: ExperimentStore) -> None:
        first = begin(chained, 17)
        second = begin(chained, 17, tries=3)
        assert (second.repeat, second.model_dir) == (1, "oss://b/ctr/20220617_r1")
        old = chained.day(first.id)
        assert (old.state, old.reason) == (
            DayState.SUPERSEDED,
            "run daily_finetune_ctr/june17 trains the date again",
        )
        assert chained.day_of_run(run("june17")) == second
        assert begin(chained, 17, tries=1) == old  # a task that is late
        assert [each.repeat for each in chained.days("ctr")] == [0, 1]

    def test_a_day_that_another_run_left_unfinished_is_superseded(self, chained: ExperimentStore) -> None:
        left = train(chained, begin(chained, 17, "a"))
        assert begin(chained, 17, "b").repeat == 1
        assert chained.day(left.id).state is DayState.SUPERSEDED
        with pytest.raises(StateError, match="is SUPERSEDED, it can't be promoted"):
            promote(chained, left)

    def test_a_failed_day_stays_failed_when_it_is_repeated(self, chained: ExperimentStore) -> None:
        failed = chained.end_day(begin(chained, 17).id, DayState.FAILED, "out of memory")
        begin(chained, 17, tries=2)
        assert chained.day(failed.id) == failed
        assert states(chained) == {17: "FAILED"}

    def test_a_new_chain_does_not_reuse_a_folder(self, chained: ExperimentStore) -> None:
        promoted(chained, 17)
        left = begin(chained, 18)
        chain = chained.open_chain("ctr", origin=Origin("oss://b/o/model.ckpt-1", "oss://b/o", ()), by="ada")
        days = [begin(chained, day, chain_id=chain.id) for day in (17, 18)]
        assert [each.model_dir[-3:] for each in days] == ["_r1", "_r1"]
        assert chained.day(left.id).state is DayState.SUPERSEDED
        assert states(chained) == {17: "PROMOTED"}
        assert states(chained, chain.id) == {17: "OPEN", 18: "OPEN"}
        assert chained.days("ctr", chain_id=chain.id) == days

    def test_an_older_chain_gets_no_more_days(self, chained: ExperimentStore) -> None:
        trained = train(chained, begin(chained, 17))
        chained.open_chain("ctr", origin=Origin("oss://b/o/model.ckpt-1", "oss://b/o", ()), by="ada")
        with pytest.raises(StateError, match="ctr-chain1 is not the current chain of ctr: ctr-chain2 is"):
            begin(chained, 18)
        with pytest.raises(StateError, match="not the current chain"):
            promote(chained, trained)
        assert chained.serving("ctr") is None

    def test_many_that_begin_a_day_for_one_run_begin_it_once(self, chained: ExperimentStore) -> None:
        with ThreadPoolExecutor(6) as threads:
            begun = list(threads.map(lambda _: begin(chained, 17), range(6)))
        assert begun == [begun[0]] * 6
        assert chained.days("ctr") == begun[:1]

    def test_of_runs_that_begin_a_date_at_once_one_day_is_left(self, chained: ExperimentStore) -> None:
        with ThreadPoolExecutor(6) as threads:
            begun = list(threads.map(lambda who: begin(chained, 17, who), range(6)))
        assert sorted(each.repeat for each in begun) == list(range(6))
        found = [each.state.value for each in chained.days("ctr")]
        assert found == ["SUPERSEDED"] * 5 + ["OPEN"]

    def test_only_the_holder_of_the_lease_begins_a_day(self, chained: ExperimentStore) -> None:
        chained.try_lease("ctr", run=run("a"), bizdate=june(17), live_for=LIVE)
        with pytest.raises(StateError, match="run daily_finetune_ctr/a holds its lease since"):
            begin(chained, 17, "b")
        assert begin(chained, 17, "a").repeat == 0

    def test_what_a_training_gave_is_kept(self, chained: ExperimentStore) -> None:
        begun = begin(chained, 17)
        given: dict[str, Any] = {
            "model_dir": begun.model_dir + "_a1",
            "checkpoint_in": "oss://b/other/model.ckpt-7",
            "checkpoint_out": "oss://b/ctr/20220617_a1/model.ckpt-2000",
            "global_step": 2**40,
            "metric": 0.1 + 0.2,
            "metrics": {"auc": 0.1 + 0.2, "loss": math.inf},
        }
        trained = chained.record_training(begun.id, **given)
        assert {name: getattr(trained, name) for name in given} == given
        assert trained.state is DayState.TRAINED
        assert trained.trained_at is not None
        assert trained.ended_at is None
        assert chained.day(begun.id) == trained

    def test_a_metric_that_is_no_number_survives(self, chained: ExperimentStore) -> None:
        begun = begin(chained, 17)
        train(chained, begun, math.nan)
        chained.end_day(begun.id, DayState.GATE_FAILED, "auc is nan")
        promotion, _ = promote(chained, begun)
        assert promotion is not None
        for kept in (chained.day(begun.id), promotion, chained.serving("ctr")):
            assert kept is not None
            assert kept.metric is not None
            assert math.isnan(kept.metric)
            assert math.isnan(kept.metrics["auc"])
        assert chained.events(None)[-1].data["metric"] == "nan"

    def test_a_day_without_metric_has_none(self, chained: ExperimentStore) -> None:
        trained = train(chained, begin(chained, 17), None)
        assert (trained.metric, trained.metrics) == (None, {})

    def test_a_failed_day_that_is_tried_again_can_be_trained(self, chained: ExperimentStore) -> None:
        begun = begin(chained, 17)
        failed = chained.end_day(begun.id, DayState.FAILED, "out of memory")
        assert failed.ended_at is not None
        trained = train(chained, begin(chained, 17))
        assert (trained.id, trained.state, trained.reason) == (begun.id, DayState.TRAINED, "")
        assert trained.ended_at is None

    def test_recording_again_the_training_of_a_day_with_an_outcome_changes_nothing(
        self, chained: ExperimentStore
    ) -> None:
        (day,) = promoted(chained, 17)
        assert train(chained, day, 0.1) == day
        assert len(chained.days("ctr")) == 1

    def test_a_day_of_which_only_the_training_was_cleared_is_a_new_repeat(
        self, chained: ExperimentStore
    ) -> None:
        (day,) = promoted(chained, 17)
        repeated = train(chained, day, 0.8, model_dir="oss://b/ctr/20220617_e1")
        assert (repeated.repeat, repeated.state, repeated.run) == (1, DayState.TRAINED, day.run)
        assert repeated.model_dir == "oss://b/ctr/20220617_e1"
        assert train(chained, day, 0.8, model_dir="oss://b/ctr/20220617_e1").id == repeated.id
        assert begin(chained, 17).id == repeated.id
        promote(chained, repeated)
        again = train(chained, day, 0.9, model_dir="oss://b/ctr/20220617_e1")
        assert (again.id, again.metric, again.state) == (repeated.id, 0.8, DayState.PROMOTED)
        assert len(chained.days("ctr")) == 2

    def test_a_training_of_a_run_that_lost_its_lease_makes_no_new_repeat(
        self, chained: ExperimentStore
    ) -> None:
        (day,) = promoted(chained, 17)
        chained.try_lease("ctr", run=run("b"), bizdate=june(18), live_for=LIVE)
        with pytest.raises(StateError, match="holds its lease"):
            train(chained, day, model_dir="oss://b/ctr/20220617_e1")
        assert len(chained.days("ctr")) == 1

    def test_an_end_is_recorded_once(self, chained: ExperimentStore) -> None:
        trained = train(chained, begin(chained, 17), 0.4)
        ended = chained.end_day(trained.id, DayState.GATE_FAILED, "0.4 < 0.6, token=abc")
        assert (ended.state, ended.reason) == (DayState.GATE_FAILED, "0.4 < 0.6, token=***")
        assert chained.end_day(trained.id, DayState.GATE_FAILED, "again") == ended
        assert kinds(chained)[-2:] == ["day_trained", "day_gate_failed"]

    def test_ends_that_make_no_sense_are_refused(self, chained: ExperimentStore) -> None:
        begun = begin(chained, 17)
        with pytest.raises(StateError, match="OPEN to GATE_FAILED"):
            chained.end_day(begun.id, DayState.GATE_FAILED, "")
        with pytest.raises(StateError, match="is OPEN, it can't be promoted"):
            promote(chained, begun)
        for to in (DayState.PROMOTED, DayState.SUPERSEDED, DayState.TRAINED):
            with pytest.raises(StateError, match="by itself"):
                chained.end_day(begun.id, to, "")
        train(chained, begun)
        promote(chained, begun)
        with pytest.raises(StateError, match="PROMOTED to FAILED"):
            chained.end_day(begun.id, DayState.FAILED, "")


class TestPromotions:
    def test_a_promoted_day_serves(self, chained: ExperimentStore) -> None:
        trained = train(chained, begin(chained, 17), 0.7)
        promotion, later = promote(
            chained, trained, reason="0.7 > 0.6", export_dir="oss://b/export", config_url="oss://b/c"
        )
        assert promotion == Promotion(
            model="ctr",
            number=1,
            kind="promote",
            chain_id=CHAIN,
            bizdate=june(17),
            repeat=0,
            checkpoint="oss://b/ctr/20220617/model.ckpt-1000",
            model_dir="oss://b/ctr/20220617",
            export_dir="oss://b/export",
            config_url="oss://b/c",
            metric=0.7,
            metrics={"auc": 0.7},
            by="gate",
            reason="0.7 > 0.6",
            at=promotion.at if promotion else START,
        )
        assert later == []
        assert chained.serving("ctr") == promotion
        assert chained.promotions("ctr") == [promotion]
        assert chained.day(trained.id).state is DayState.PROMOTED
        event = chained.events(None)[-1]
        assert (event.kind, event.by, event.data["model"], event.data["number"]) == (
            "promoted",
            "gate",
            "ctr",
            1,
        )

    def test_promoting_again_gives_the_same_answer(self, chained: ExperimentStore) -> None:
        promoted(chained, 17, 18)
        repeated = train(chained, begin(chained, 17, tries=2))
        answer = promote(chained, repeated)
        assert answer[0] is None
        assert [each.bizdate for each in answer[1]] == [june(18)]
        assert promote(chained, repeated) == answer
        (day,) = promoted(chained, 19)
        assert promote(chained, day)[0] == chained.serving("ctr")
        assert kinds(chained).count("promoted") == 4

    def test_many_that_promote_a_day_at_once_make_one_promotion(self, chained: ExperimentStore) -> None:
        trained = train(chained, begin(chained, 17))
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _: promote(chained, trained), range(6)))
        assert answers == [(chained.serving("ctr"), [])] * 6
        assert len(chained.promotions("ctr")) == 1

    def test_days_that_are_promoted_at_once_get_numbers_of_their_own(self, chained: ExperimentStore) -> None:
        days = [train(chained, begin(chained, day)) for day in range(11, 17)]
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda day: promote(chained, day), days))
        made = chained.promotions("ctr")
        assert [each.number for each in made] == list(range(1, len(made) + 1))
        assert [each.bizdate for each in made] == sorted(each.bizdate for each in made)
        assert made[-1].bizdate == june(16)

    def test_an_older_date_promoted_anew_does_not_serve_and_makes_later_days_stale(
        self, chained: ExperimentStore
    ) -> None:
        promoted(chained, 16, 17, 18)
        bad = train(chained, begin(chained, 19), 0.1)
        chained.end_day(bad.id, DayState.GATE_FAILED, "0.1")
        before = chained.serving("ctr")
        promotion, later = promote(chained, train(chained, begin(chained, 17, tries=2)))
        assert promotion is None
        assert chained.serving("ctr") == before
        assert [(each.bizdate.day, each.stale) for each in later] == [(18, True), (19, True)]
        assert stale(chained) == [18, 19]
        assert states(chained) == {16: "PROMOTED", 17: "PROMOTED", 18: "PROMOTED", 19: "GATE_FAILED"}
        assert [day.state.value for day in chained.days("ctr") if day.bizdate == june(17)] == [
            "SUPERSEDED",
            "PROMOTED",
        ]

    def test_stale_days_that_are_trained_again_are_not_stale_any_more(self, chained: ExperimentStore) -> None:
        promoted(chained, 16, 17, 18)
        _, later = promote(chained, train(chained, begin(chained, 16, tries=2)))
        assert [each.bizdate.day for each in later] == [17, 18]
        _, later = promote(chained, train(chained, begin(chained, 17, tries=2)))
        assert [each.bizdate.day for each in later] == [18]
        promotion, later = promote(chained, train(chained, begin(chained, 18, tries=2)))
        assert later == []
        assert promotion is not None
        assert (promotion.number, promotion.repeat) == (4, 1)
        assert not any(each.stale for each in current_days(chained.days("ctr")).values())

    def test_a_day_in_work_is_stale_too_when_an_earlier_one_is_promoted(
        self, chained: ExperimentStore
    ) -> None:
        promoted(chained, 16)
        bad = train(chained, begin(chained, 17), 0.1)
        chained.end_day(bad.id, DayState.GATE_FAILED, "0.1")
        today = begin(chained, 18)
        _, later = promote(chained, bad, by="ada")
        assert later == []  # it has no model yet
        train(chained, today)
        promote(chained, today)
        assert chained.day(today.id).stale
        assert promote(chained, bad)[1] == [chained.day(today.id)]

    def test_a_training_from_another_model_is_not_stale(self, chained: ExperimentStore) -> None:
        bad = train(chained, begin(chained, 17), 0.1)
        chained.end_day(bad.id, DayState.GATE_FAILED, "0.1")
        today = begin(chained, 18)
        promote(chained, bad, by="ada")
        assert bad.checkpoint_out is not None
        assert not train(chained, today, checkpoint_in=bad.checkpoint_out).stale

    def test_a_repeat_that_fails_the_gate_leaves_the_promoted_one(self, chained: ExperimentStore) -> None:
        (good,) = promoted(chained, 17)
        before = chained.serving("ctr")
        bad = train(chained, begin(chained, 17, tries=2), 0.1)
        chained.end_day(bad.id, DayState.GATE_FAILED, "0.1 < 0.6")
        assert chained.day(good.id) == good
        assert current_days(chained.days("ctr")) == {june(17): good}
        assert chained.serving("ctr") == before

    def test_a_person_overrules_the_gate(self, chained: ExperimentStore) -> None:
        (good,) = promoted(chained, 17)
        bad = train(chained, begin(chained, 17, tries=2), 0.1)
        chained.end_day(bad.id, DayState.GATE_FAILED, "0.1 < 0.6")
        promotion, _ = promote(chained, bad, by="ada", reason="the threshold was wrong")
        assert promotion is not None
        assert (promotion.by, promotion.reason, promotion.repeat) == ("ada", "the threshold was wrong", 1)
        assert chained.day(good.id).state is DayState.SUPERSEDED

    def test_an_older_repeat_can_be_promoted_in_place_of_a_newer_one(self, chained: ExperimentStore) -> None:
        bad = train(chained, begin(chained, 17), 0.1)
        chained.end_day(bad.id, DayState.GATE_FAILED, "0.1 < 0.6")
        newer = train(chained, begin(chained, 17, tries=2))
        promote(chained, newer)
        promote(chained, bad, by="ada")
        assert numbers(chained) == [(1, "promote", 17, 1), (2, "promote", 17, 0)]
        assert chained.day(newer.id).state is DayState.SUPERSEDED

    def test_the_first_day_of_a_new_chain_serves_whatever_its_date(self, chained: ExperimentStore) -> None:
        promoted(chained, 17, 18)
        chain = chained.open_chain("ctr", origin=Origin("oss://b/o/model.ckpt-1", "oss://b/o", ()), by="ada")
        day = train(chained, begin(chained, 10, chain_id=chain.id, checkpoint_in="oss://b/o/model.ckpt-1"))
        promotion, later = promote(chained, day)
        assert chained.serving("ctr") == promotion
        assert later == []

    def test_models_do_not_disturb_each_other(self, chained: ExperimentStore) -> None:
        promoted(chained, 17)
        other = chained.open_chain("cvr", origin=ORIGIN, by="ada")
        day = train(chained, begin(chained, 17, chain_id=other.id))
        assert day.repeat == 0
        promotion, _ = promote(chained, day)
        assert promotion is not None
        assert (promotion.model, promotion.number) == ("cvr", 1)
        assert [each.number for each in chained.promotions("ctr")] == [1]

    def test_the_database_itself_refuses_two_promoted_days_of_a_date(
        self, chained: ExperimentStore, url: str
    ) -> None:
        promoted(chained, 17)
        begin(chained, 17, tries=2)
        database = Database(url)
        with pytest.raises(PermanentError, match=r"(?i)unique"):
            database.write(
                lambda connection: connection.execute(schema.day.update().values(state="PROMOTED"))
            )
        database.close()


class TestRollback:
    def test_an_earlier_model_serves_again_and_the_days_after_it_no_longer_count(
        self, chained: ExperimentStore
    ) -> None:
        promoted(chained, 15, 16, 17, 18)
        back = chained.roll_back("ctr", to=2, by="ada", reason="complaints")
        first = chained.promotions("ctr")[1]
        assert (back.number, back.kind, back.by, back.reason) == (5, "rollback", "ada", "complaints")
        assert (back.bizdate, back.checkpoint, back.metrics) == (
            first.bizdate,
            first.checkpoint,
            first.metrics,
        )
        assert back.at > first.at
        assert chained.serving("ctr") == back
        assert states(chained) == {15: "PROMOTED", 16: "PROMOTED", 17: "ROLLED_BACK", 18: "ROLLED_BACK"}
        event = chained.events(None)[-1]
        assert (event.kind, event.by, event.data["model"]) == ("rolled_back", "ada", "ctr")
        assert event.data["rolled_back"] == ["2022-06-17", "2022-06-18"]

    def test_the_chain_goes_on_from_there(self, chained: ExperimentStore) -> None:
        promoted(chained, 15, 16, 17)
        chained.roll_back("ctr", to=1, by="ada", reason="")
        (repeated,) = promoted(chained, 16, who="again")
        assert (repeated.repeat, repeated.checkpoint_in) == (1, "oss://b/ctr/20220615/model.ckpt-1000")
        assert numbers(chained)[3:] == [(4, "rollback", 15, 0), (5, "promote", 16, 1)]
        assert chained.serving("ctr") == chained.promotions("ctr")[-1]
        assert states(chained) == {15: "PROMOTED", 16: "PROMOTED", 17: "ROLLED_BACK"}

    def test_what_serves_already_and_what_never_was_are_refused(self, chained: ExperimentStore) -> None:
        promoted(chained, 15, 16)
        with pytest.raises(StateError, match="promotion 2 of 'ctr' serves already"):
            chained.roll_back("ctr", to=2, by="ada", reason="")
        chained.roll_back("ctr", to=1, by="ada", reason="")
        with pytest.raises(StateError, match="serves already"):
            chained.roll_back("ctr", to=1, by="ada", reason="")
        with pytest.raises(NotFoundError, match="no promotion 9"):
            chained.roll_back("ctr", to=9, by="ada", reason="")
        assert len(chained.promotions("ctr")) == 3

    def test_a_rolled_back_day_is_not_promoted_by_a_late_retry(self, chained: ExperimentStore) -> None:
        days = promoted(chained, 15, 16)
        chained.roll_back("ctr", to=1, by="ada", reason="")
        with pytest.raises(StateError, match="is ROLLED_BACK, it can't be promoted"):
            promote(chained, days[1])

    def test_what_was_trained_from_a_rolled_back_model_is_not_promoted(
        self, chained: ExperimentStore
    ) -> None:
        promoted(chained, 15, 16)
        today = begin(chained, 17)
        chained.roll_back("ctr", to=1, by="ada", reason="")
        train(chained, today)
        with pytest.raises(StateError, match="the model of 2022-06-16, which was rolled back"):
            promote(chained, today)
        with pytest.raises(StateError, match="was rolled back"):
            begin(chained, 18, checkpoint_in=today.checkpoint_in)
        serving = chained.serving("ctr")
        assert serving is not None
        assert serving.bizdate == june(15)

    def test_a_rollback_can_be_undone(self, chained: ExperimentStore) -> None:
        promoted(chained, 14, 15, 16, 17)
        today = train(chained, begin(chained, 18))
        chained.roll_back("ctr", to=1, by="ada", reason="")
        forward = chained.roll_back("ctr", to=3, by="bob", reason="it was the data")
        assert forward.bizdate == june(16)
        # The 15th too: the model of the 16th was trained from its.
        assert states(chained) == {
            14: "PROMOTED",
            15: "PROMOTED",
            16: "PROMOTED",
            17: "ROLLED_BACK",
            18: "TRAINED",
        }
        chained.roll_back("ctr", to=4, by="bob", reason="")
        promote(chained, today)
        assert states(chained) == dict.fromkeys(range(14, 19), "PROMOTED")

    def test_undoing_leaves_a_day_that_was_trained_around(self, chained: ExperimentStore) -> None:
        promoted(chained, 14, 15)
        chained.roll_back("ctr", to=1, by="ada", reason="the 15th is bad")
        promoted(chained, 16, 17)
        chained.roll_back("ctr", to=1, by="ada", reason="")
        chained.roll_back("ctr", to=5, by="ada", reason="")
        assert states(chained) == {14: "PROMOTED", 15: "ROLLED_BACK", 16: "PROMOTED", 17: "PROMOTED"}

    def test_going_back_to_an_older_repeat_makes_the_chain_go_on_from_that(
        self, chained: ExperimentStore
    ) -> None:
        (first,) = promoted(chained, 15)
        (second,) = promoted(chained, 15, who="again")
        chained.roll_back("ctr", to=1, by="ada", reason="")
        assert chained.day(first.id).state is DayState.PROMOTED
        assert chained.day(second.id).state is DayState.ROLLED_BACK
        assert current_days(chained.days("ctr"))[june(15)].repeat == 0

    def test_a_model_of_an_older_chain_can_serve_again(self, chained: ExperimentStore) -> None:
        promoted(chained, 15, 16)
        chain = chained.open_chain("ctr", origin=Origin("oss://b/o/model.ckpt-1", "oss://b/o", ()), by="ada")
        for day in (15, 16, 17):
            promote(chained, train(chained, begin(chained, day, chain_id=chain.id)))
        back = chained.roll_back("ctr", to=2, by="ada", reason="")
        assert (back.chain_id, back.bizdate) == (CHAIN, june(16))
        assert states(chained) == {15: "PROMOTED", 16: "PROMOTED"}
        assert states(chained, chain.id) == {15: "PROMOTED", 16: "PROMOTED", 17: "ROLLED_BACK"}

    def test_rollbacks_at_once_go_back_once(self, chained: ExperimentStore) -> None:
        promoted(chained, 15, 16)

        def back(_: int) -> bool:
            try:
                chained.roll_back("ctr", to=1, by="ada", reason="")
            except StateError:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(back, range(6))) == 1
        assert len(chained.promotions("ctr")) == 3


class TestLeases:
    @staticmethod
    def ask(store: ExperimentStore, who: object, day: int, live_for: timedelta = LIVE) -> Claim:
        return store.try_lease("ctr", run=run(who), bizdate=june(day), live_for=live_for)

    def test_the_first_that_asks_gets_it_and_others_see_who_has_it(self, store: ExperimentStore) -> None:
        assert self.ask(store, "a", 17) == Claim(True, None)
        assert self.ask(store, "a", 17).held
        refused = self.ask(store, "b", 16)
        assert not refused.held
        assert refused.in_the_way is not None
        assert (refused.in_the_way.run, refused.in_the_way.held) == (run("a"), True)
        assert [(each.run.run_id, each.held) for each in store.leases("ctr")] == [("a", True), ("b", False)]
        assert kinds(store) == ["lease_acquired"]

    def test_the_earliest_date_that_waits_comes_first(self, store: ExperimentStore) -> None:
        self.ask(store, "a", 17)
        for who, day in (("c", 19), ("b", 18), ("d", 18)):
            assert not self.ask(store, who, day).held
        store.release_lease("ctr", run=run("a"))
        for who, day in (("c", 19), ("d", 18)):
            way = self.ask(store, who, day).in_the_way
            assert way is not None
            assert (way.run, way.held) == (run("b"), False)
        assert self.ask(store, "b", 18).held
        store.release_lease("ctr", run=run("b"))
        assert not self.ask(store, "c", 19).held
        assert self.ask(store, "d", 18).held

    def test_one_that_no_longer_asks_is_not_waited_for(self, store: ExperimentStore) -> None:
        self.ask(store, "a", 17)
        self.ask(store, "dead", 18)
        for _ in range(5):  # a second each
            self.ask(store, "c", 19)
        store.release_lease("ctr", run=run("a"))
        assert not self.ask(store, "c", 19, live_for=timedelta(seconds=60)).held
        assert self.ask(store, "c", 19, live_for=timedelta(seconds=3)).held

    def test_one_that_no_longer_asks_leaves_the_line_though_another_holds(
        self, store: ExperimentStore
    ) -> None:
        store.try_lease("cvr", run=run("other-model"), bizdate=june(1), live_for=LIVE)
        self.ask(store, "a", 17)
        self.ask(store, "dead", 16)
        for _ in range(5):
            self.ask(store, "c", 19, live_for=timedelta(seconds=3))
        assert [each.run.run_id for each in store.leases("ctr")] == ["a", "c"]
        assert [each.held for each in store.leases("cvr")] == [True]
        assert not self.ask(store, "dead", 16).held
        store.release_lease("ctr", run=run("a"))
        assert self.ask(store, "dead", 16).held  # it came back, and is first again

    def test_a_silent_holder_keeps_it(self, store: ExperimentStore) -> None:
        self.ask(store, "a", 17)
        for _ in range(5):
            assert not self.ask(store, "b", 16, live_for=timedelta(seconds=1)).held

    def test_the_lease_of_a_run_that_is_over_is_taken_over(self, store: ExperimentStore) -> None:
        self.ask(store, "a", 17)
        way = self.ask(store, "b", 18).in_the_way
        assert way is not None
        store.take_over_lease("ctr", from_run=run("a"), run=run("b"), seen_at=way.seen_at)
        assert self.ask(store, "b", 18).held
        event = next(each for each in store.events(None) if each.kind == "lease_taken_over")
        assert (event.by, event.data["model"], event.data["run_id"]) == (str(run("b")), "ctr", "a")

    def test_a_lease_that_changed_hands_or_was_asked_for_again_is_not_taken_over(
        self, store: ExperimentStore
    ) -> None:
        self.ask(store, "a", 17)
        way = self.ask(store, "b", 18).in_the_way
        assert way is not None
        self.ask(store, "a", 17)  # cleared, it runs again
        store.take_over_lease("ctr", from_run=run("a"), run=run("b"), seen_at=way.seen_at)
        store.take_over_lease("ctr", from_run=run("b"), run=run("c"))
        assert not self.ask(store, "b", 18).held
        assert "lease_taken_over" not in kinds(store)

    def test_releasing_twice_or_what_one_never_had_changes_nothing(self, store: ExperimentStore) -> None:
        store.release_lease("ctr", run=run("a"))
        self.ask(store, "a", 17)
        self.ask(store, "b", 18)
        for who in ("b", "b", "a", "a"):
            store.release_lease("ctr", run=run(who))
        assert store.leases() == []
        assert kinds(store) == ["lease_acquired", "lease_released"]

    def test_models_have_leases_of_their_own(self, store: ExperimentStore) -> None:
        for model in ("ctr", "cvr"):
            assert store.try_lease(model, run=run(model), bizdate=june(17), live_for=LIVE).held
        assert [each.model for each in store.leases()] == ["ctr", "cvr"]
        assert [each.model for each in store.leases("cvr")] == ["cvr"]

    def test_threads_that_ask_at_once_get_it_one_at_a_time(self, store: ExperimentStore) -> None:
        with ThreadPoolExecutor(6) as threads:
            claims = list(threads.map(lambda who: self.ask(store, who, 17), range(6)))
        assert sum(each.held for each in claims) == 1

    def test_of_processes_that_race_for_lease_day_and_promotion_one_wins(
        self, chained: ExperimentStore, url: str
    ) -> None:
        code = """if True:
            import json, sys
            from datetime import date, timedelta
            from include.errors import StateError
            from include.store import ExperimentStore, RunKey

            store, run = ExperimentStore.open(sys.argv[1]), RunKey("daily", sys.argv[2])
            print("ready", file=sys.stderr, flush=True)
            sys.stdin.readline()
            bizdate = date(2022, 6, 17)
            held = store.try_lease("ctr", run=run, bizdate=bizdate, live_for=timedelta(hours=1)).held
            try:
                day = store.begin_day(
                    "ctr-chain1", bizdate, run=run, task_max_tries=1, checkpoint_in="in", model_dir="oss://b/d"
                )
                store.record_training(
                    day.id, model_dir=day.model_dir, checkpoint_in="in", checkpoint_out="out",
                    global_step=1, metric=0.5, metrics={},
                )
                number = store.promote_day(day.id, by="me")[0].number
            except StateError:
                number = None
            print(json.dumps([held, number]))
        """
        processes = [run_python(code, url, str(index)) for index in range(3)]
        for each in processes:
            assert each.stderr is not None
            assert each.stderr.readline() == "ready\n"
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        assert sorted(map(output, processes), key=str) == [[False, None], [False, None], [True, 1]]
        assert [each.state for each in chained.days("ctr")] == [DayState.PROMOTED]

    def test_the_database_itself_refuses_two_holders(self, store: ExperimentStore, url: str) -> None:
        self.ask(store, "a", 17)
        self.ask(store, "b", 17)
        database = Database(url)
        with pytest.raises(PermanentError, match=r"(?i)unique"):
            database.write(lambda connection: connection.execute(schema.lease.update().values(held=True)))
        database.close()


class TestGivenPlaces:
    def test_a_run_that_gave_its_place_is_listed_until_it_is_returned(self, store: ExperimentStore) -> None:
        for day in (4, 3):
            store.give_place("ctr", run=run(day), bizdate=june(day), to=run(1))

        assert [(g.model, g.run, g.bizdate, g.to) for g in store.given_places()] == [
            ("ctr", run(3), june(3), run(1)),
            ("ctr", run(4), june(4), run(1)),
        ]
        store.return_place("ctr", run=run(3), by="ada")
        assert [g.run for g in store.given_places()] == [run(4)]

    def test_it_may_give_its_place_again(self, store: ExperimentStore) -> None:
        for to in (1, 2):
            store.give_place("ctr", run=run(4), bizdate=june(4), to=run(to))
            assert [g.to for g in store.given_places()] == [run(to)]
            store.return_place("ctr", run=run(4), by="ada")

    def test_returning_what_was_never_given_changes_nothing(self, store: ExperimentStore) -> None:
        before = store.events(None)

        store.return_place("ctr", run=run(4), by="ada")

        assert store.events(None) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.days("ctr"),
        lambda store: store.promotions("ctr"),
        lambda store: store.leases("ctr"),
        lambda store: store.chains("ctr"),
    ],
)
def test_listing_takes_one_query_however_long_the_chain(
    chained: ExperimentStore, call: Callable[[ExperimentStore], object]
) -> None:
    promoted(chained, *range(1, 6))
    seen: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        call(chained)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert len(seen) == 1


class TestAdoptions:
    def test_the_newest_counts_and_the_same_again_is_none(self, store: ExperimentStore) -> None:
        assert store.adoption("movielens") is None
        given = {"experiment": "movielens-1", "trial": 3, "by": "ann", "reason": ""}
        first = store.adopt("movielens", {"a.b": [1, 2.5, "x"]}, **given)
        assert store.adopt("movielens", {"a.b": [1, 2.5, "x"]}, **{**given, "by": "bob"}) == first
        second = store.adopt("movielens", {}, experiment=None, trial=None, by="ann", reason="no good")
        assert (first.number, second.number) == (1, 2)
        assert store.adoption("movielens") == second
        assert store.adoption("other") is None
