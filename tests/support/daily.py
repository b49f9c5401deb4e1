"""Runs of a daily finetune without Airflow and without training; the objects are real where a test wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.daily.day import DailyFinetune, DayInputs, Trained
from include.daily.plan import FinetunePlan
from include.experiments.services import Services
from include.notices import Notice
from include.ports import ObjectStore
from include.store import ExperimentStore, RunKey
from tests.support.fakes import MemoryJobs, MemoryTables

ORIGIN = "oss://sandbox-bucket/movielens/first"
GOOD, BAD = 0.7, 0.5
"""The model's gate wants an auc_is_like of at least 0.55."""


def june(day: int) -> date:
    return date(2022, 6, day)


@dataclass
class Days:
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


@contextmanager
def opened_days(folder: Path, store_file: Path, objects: ObjectStore) -> Iterator[Days]:
    """``folder``: the model's; its chain starts from ORIGIN."""
    plan = FinetunePlan.load(folder)
    changes = {"start_from": ORIGIN, "learning_rate": "unchanged"}
    settings = plan.settings.model_copy(update={"finetune": plan.finetune.model_copy(update=changes)})
    told: list[Notice] = []
    with ExperimentStore.open(f"sqlite:///{store_file}") as store:
        services = Services(
            store=store,
            jobs=MemoryJobs(),
            objects=objects,
            tables=MemoryTables({}),
            make_tuner=lambda _: pytest.fail("no search here"),
            make_assessor=lambda _: None,
            tell=told.append,
        )
        days = Days(services, replace(plan, settings=settings), told)
        days.checkpoint(ORIGIN)
        yield days
