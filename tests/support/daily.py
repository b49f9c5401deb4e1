"""A daily finetune without any cloud: memory ports (or real objects), a real store, models nobody trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.daily.day import DailyFinetune, DayInputs, Trained
from include.daily.plan import FinetunePlan
from include.daily.promotion import CURRENT
from include.experiments.closing import close_experiment
from include.experiments.plan import Plan
from include.experiments.services import Services
from include.experiments.trial_starter import Assignment, TrialStarter
from include.notices import Notice
from include.pipeline_config import edit_text
from include.ports import ObjectStore
from include.store import Day, ExperimentStore, RunKey, TaskKey, current_days
from tests.support.fakes import MemoryJobs, MemoryObjects, MemoryTables
from tests.unit.experiments.conftest import Clock, Lab, Verdict

MODEL = Path(__file__).resolve().parents[2] / "include" / "models" / "movielens"
ORIGIN = "oss://sandbox-bucket/movielens/first"
FOLDER = "oss://sandbox-bucket/movielens/finetune"
GOOD, BAD = 0.7, 0.5
"""The model's gate wants an auc_is_like of at least 0.55."""


def june(day: int) -> date:
    return date(2022, 6, day)


def run_of(day: object) -> RunKey:
    return RunKey("daily_finetune_movielens", f"june{day}")


def model_of(day: int, repeat: str = "") -> str:
    """The checkpoint that a day's training leaves."""
    return f"{FOLDER}/202206{day:02}_model{repeat}/model.ckpt-10"


@dataclass
class Days:
    """Runs of a daily finetune without Airflow and without training."""

    services: Services
    plan: FinetunePlan
    told: list[Notice] = field(default_factory=list)

    @property
    def engine(self) -> DailyFinetune:
        return DailyFinetune(self.services, self.plan)

    @property
    def store(self) -> ExperimentStore:
        return self.services.store

    def set(self, **changes: Any) -> None:
        """Change the ``finetune`` section of ``model.yml``."""
        finetune = type(self.plan.finetune).model_validate({**self.plan.finetune.model_dump(), **changes})
        self.plan = replace(self.plan, settings=self.plan.settings.model_copy(update={"finetune": finetune}))

    def begin(self, day: int, *, who: object = None, tries: int = 3, **changes: Any) -> DayInputs:
        run = run_of(day if who is None else who)
        return self.engine.begin(june(day), run=run, task_max_tries=tries, by="test", **changes)

    def train(self, day: int, metric: float = GOOD, **changes: Any) -> int:
        """Begin a day and judge its model; returns the day's id."""
        return self.judge(self.begin(day, **changes), metric).id

    def judge(self, begun: DayInputs, metric: float = GOOD) -> Day:
        checkpoint = self.checkpoint(begun.model_dir)
        trained = Trained(begun.model_dir, checkpoint, metric, {"auc_is_like": metric})
        return self.engine.judge(begun.day, trained)[0]

    def promote(self, *days: int, **changes: Any) -> None:
        for day in days:
            self.engine.promote(self.train(day, **changes), by="test")

    def fail(self, day: int) -> None:
        """A day is begun, and its training fails."""
        self.begin(day)
        self.engine.finish(run_of(day), "a task failed")

    def checkpoint(self, model_dir: str, step: int = 10, *, config: str | None = None) -> str:
        """What a training leaves in its model_dir."""
        prefix = f"{model_dir}/model.ckpt-{step}"
        for url in (f"{prefix}.index", f"{prefix}.data-00000-of-00001"):
            self.services.objects.write(url, b"x")
        text = config or (MODEL / "pipeline.config").read_text(encoding="utf-8")
        self.services.objects.write(f"{model_dir}/pipeline.config", text.encode())
        return prefix

    def states(self) -> dict[int, str]:
        """What counts, by day of June, in the current chain."""
        chain = self.store.current_chain("movielens")
        assert chain is not None
        days = current_days(self.store.days("movielens", chain_id=chain.id))
        return {day.day: each.state.value for day, each in days.items()}

    def pointer(self, name: str = CURRENT) -> dict[str, Any]:
        """A published pointer."""
        body = self.services.objects.read(self.plan.promotions_prefix + name)
        return dict(json.loads(body))

    def search(self, name: str, step: int = 50, value: float = GOOD) -> str:
        """A begin search of one trial that ends well, and its checkpoint; returns the experiment."""
        jobs, objects, clock = self.services.jobs, self.services.objects, self.services.now
        assert isinstance(jobs, MemoryJobs)
        assert isinstance(objects, MemoryObjects)
        assert isinstance(clock, Clock)
        lab = Lab(self.services, Plan.load(MODEL), jobs, objects, clock, Verdict())
        experiment = lab.open(run_id=name, trials=1).experiment.id
        task = TaskKey("dag", name, "trial", 0)
        trial = TrialStarter(self.services, lab.plan).start(
            Assignment(experiment), task=task, task_max_tries=3
        )
        ran = edit_text((MODEL / "pipeline.config").read_text(encoding="utf-8"), trial.parameters)
        self.checkpoint(lab.job(-1).payload.parameters["model_dir"], step, config=ran)
        clock.sleep(60)
        _finish(lab, value)
        close_experiment(self.services, experiment, dag_id="dag", run_id=name, by="test")
        return experiment


def _finish(lab: Lab, value: float) -> None:
    job = lab.job(-1)
    lab.jobs.run(job.job_id)
    lab.evaluate(job, 10, auc_is_like=value, auc_is_love=value)
    lab.jobs.succeed(job.job_id)
    lab.watcher().poll()


@contextmanager
def opened_days(folder: Path, store_file: Path, objects: ObjectStore) -> Iterator[Days]:
    """``folder``: the model's; its chain starts from ORIGIN."""
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
        days = Days(services, FinetunePlan.load(folder), told)
        days.set(start_from=ORIGIN, learning_rate="unchanged")
        days.checkpoint(ORIGIN)
        yield days
