"""What people are told of a model's days: by the engine, whoever calls it (+21, design section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.daily.chain import DayBeforeUnfinishedError
from include.daily.day import DailyFinetune, DayInputs, Trained
from include.daily.plan import FinetunePlan
from include.daily.promotion import promote_day, roll_back
from include.experiments.services import Services
from include.notices import Kind, Notice
from include.store import ExperimentStore, RunKey
from tests.support.fakes import MemoryJobs, MemoryObjects, MemoryTables

MODEL = Path(__file__).resolve().parents[2] / "include" / "models" / "movielens"
ORIGIN = "oss://sandbox-bucket/movielens/first"
GOOD, BAD = 0.7, 0.5
"""The model's gate wants an auc_is_like of at least 0.55."""


def june(day: int) -> date:
    return date(2022, 6, day)


@dataclass
class Days:
    """Runs of a daily finetune without Airflow and without training."""

    services: Services
    plan: FinetunePlan
    told: list[Notice] = field(default_factory=list)

    @property
    def engine(self) -> DailyFinetune:
        return DailyFinetune(self.services, self.plan)

    def begin(self, day: int, **changes: Any) -> DayInputs:
        return self.engine.begin(june(day), run=run_of(day), task_max_tries=3, by="test", **changes)

    def train(self, day: int, metric: float = GOOD) -> int:
        """Begin a day and judge its model; returns the day's id."""
        begun = self.begin(day)
        checkpoint = self.checkpoint(begun.model_dir)
        trained = Trained(begun.model_dir, checkpoint, metric, {"auc_is_like": metric})
        return self.engine.judge(begun.day, trained)[0].id

    def promote(self, *days: int) -> None:
        for day in days:
            self.engine.promote(self.train(day), by="test")

    def checkpoint(self, model_dir: str) -> str:
        for name in ("model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001", "pipeline.config"):
            self.services.objects.write(f"{model_dir}/{name}", b"x")
        return f"{model_dir}/model.ckpt-10"


def run_of(day: int) -> RunKey:
    return RunKey("daily_finetune_movielens", f"june{day}")


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    plan = FinetunePlan.load(MODEL)
    changes = {"start_from": ORIGIN, "learning_rate": "unchanged"}
    settings = plan.settings.model_copy(update={"finetune": plan.finetune.model_copy(update=changes)})
    told: list[Notice] = []
    with ExperimentStore.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        services = Services(
            store=store,
            jobs=MemoryJobs(),
            objects=MemoryObjects(),
            tables=MemoryTables({}),
            make_tuner=lambda _: pytest.fail("no search here"),
            make_assessor=lambda _: None,
            tell=told.append,
        )
        days = Days(services, replace(plan, settings=settings), told)
        days.checkpoint(ORIGIN)
        yield days


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


def test_a_rollback_is_told_with_who_and_why(days):
    days.promote(1, 2)

    roll_back(days.services, days.plan, to=1, by="ada", reason="clicks fell")

    notice = days.told[-1]
    assert notice.heading == "EasyRec movielens: rolled back, to 2022-06-01"
    assert "20220601_model" in notice.lines[0]
    assert "by: ada, clicks fell" in notice.lines


def test_a_day_that_waits_for_a_failed_one_says_which(days):
    days.promote(1)
    days.begin(2)
    days.engine.finish(run_of(2), "a task failed")

    with pytest.raises(DayBeforeUnfinishedError):
        days.begin(3)

    notice = days.told[-1]
    assert (notice.kind, notice.title) == (Kind.DAY_WAITS, "2022-06-03")
    assert "2022-06-02 (failed)" in notice.lines[0]
    assert notice.run == ("daily_finetune_movielens", "june3")


def test_a_hole_that_is_passed_over_is_told_once(days):
    days.promote(1)
    finetune = days.plan.finetune.model_copy(update={"on_gap": "last_good"})
    days.plan = replace(days.plan, settings=days.plan.settings.model_copy(update={"finetune": finetune}))

    days.begin(4)
    days.begin(4)  # a retry

    (notice,) = [n for n in days.told if n.kind is Kind.CHAIN_GAP]
    assert "2022-06-02, 2022-06-03" in notice.lines[0]


def test_a_day_after_a_refused_one_has_no_hole_before_it(days):
    days.promote(1)
    days.train(2, BAD)

    days.begin(3)

    assert [n.kind for n in days.told] == [Kind.PROMOTED, Kind.GATE_FAILED]
