"""A finetune search without any cloud: memory ports, a real store, the shipped model, days nobody trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from include.experiments.chain_plan import ChainPlan
from include.experiments.opening import Opened, OpenRequest
from include.experiments.services import Services
from include.experiments.trial_starter import Assignment, TrialStarter
from include.experiments.trial_watcher import TrialWatcher
from include.finetune_search.opening import open_finetune_search
from include.ports import Decision
from include.store import ExperimentStore, TaskKey, Trial
from tests.support.fakes import MemoryJob, MemoryJobs, MemoryObjects, MemoryTables
from tests.unit.experiments.conftest import CONFIG_URL, Clock, Lab, Verdict

MODEL = Path(__file__).resolve().parents[3] / "include" / "models" / "movielens"
ORIGIN = "oss://sandbox-bucket/movielens/first"
PARTITIONS = tuple(f"dt=199801{day}" for day in range(15, 20))
RATE = (
    "train_config.optimizer_config[0].adam_optimizer.learning_rate.exponential_decay_learning_rate."
    "initial_learning_rate"
)


class Tuner:
    def ask(self, history: Any, pending: Any, seed: int) -> dict[str, Any]:
        asks = len(history) + len(pending)
        return {RATE: 1e-3 * (1 + asks), "data_config.batch_size": 64}


@dataclass
class Watched(Verdict):
    """Keeps what it was asked to judge."""

    seen: list[dict[int, list[float]]] = field(default_factory=list)

    def assess(self, trial: int, histories: Any, finished: Any = None) -> Decision:
        self.seen.append(
            {number: [round(value, 4) for value in values] for number, values in histories.items()}
        )
        return super().assess(trial, histories, finished)


@dataclass
class Chains:
    services: Services
    plan: ChainPlan
    jobs: MemoryJobs
    objects: MemoryObjects
    tables: MemoryTables
    verdict: Watched
    experiment: str = ""

    @property
    def store(self) -> ExperimentStore:
        return self.services.store

    def open(self, run: str = "run", *, start: str = "", end: str = "", **request: Any) -> Opened:
        opened = open_finetune_search(
            self.services,
            self.plan,
            OpenRequest(**request),
            start=start,
            end=end,
            dag_id="dag",
            run_id=run,
            by="test",
        )
        self.experiment = opened.experiment.id
        return opened

    @property
    def kept(self) -> ChainPlan:
        return ChainPlan.from_snapshot(self.store.experiment(self.experiment).snapshot)

    def start(self, index: int = 0, *, max_tries: int = 3) -> Trial:
        task = TaskKey("dag", "run", "trial", index)
        starter = TrialStarter(self.services, self.kept)
        return starter.start(Assignment(self.experiment), task=task, task_max_tries=max_tries)

    def watcher(self, trial: int = 0, epoch: int = 0) -> TrialWatcher:
        return TrialWatcher(self.services, self.kept, experiment=self.experiment, trial=trial, epoch=epoch)

    def job(self, number: int = -1) -> MemoryJob:
        return list(self.jobs.jobs.values())[number]

    def of(self, trial: int) -> MemoryJob:
        """The trial's newest job."""
        return self.jobs.jobs[str(self.store.steps(self.experiment, trial)[-1].job_id)]

    def dirs(self) -> list[str]:
        """model_dirs of all jobs, in the order they were submitted, without what is the same in each."""
        start = "oss://sandbox-bucket/movielens/finetune/"
        return [
            job.payload.parameters["model_dir"].removeprefix(start).replace(self.experiment, "exp")
            for job in self.jobs.jobs.values()
        ]

    def config(self, number: int = -1) -> str:
        return self.objects.read(self.job(number).payload.parameters["config"]).decode()

    def write_model(self, model_dir: str, config: str, step: int = 10) -> None:
        for ending in (".index", ".data-00000-of-00001"):
            self.objects.write(f"{model_dir}/model.ckpt-{step}{ending}", b"x")
        self.objects.write(f"{model_dir}/pipeline.config", config.encode())

    def train(self, job: MemoryJob, value: float | None = 0.7) -> None:
        """The job runs, evaluates once (unless None) and ends well; nobody has looked at it yet."""
        parameters = job.payload.parameters
        self.jobs.run(job.job_id)
        self.write_model(parameters["model_dir"], self.objects.read(parameters["config"]).decode())
        if value is not None:
            Lab.evaluate(self, job, 10, auc_is_like=value, auc_is_love=value)  # type: ignore[arg-type]
        self.jobs.succeed(job.job_id)

    def day(self, value: float | None = 0.7, *, trial: int = 0, epoch: int = 0) -> Trial:
        """The trial's newest job ends well and the watcher looks."""
        self.train(self.of(trial), value)
        return self.watcher(trial, epoch).poll()


@pytest.fixture
def chains(tmp_path: Path, empty_store: Path) -> Iterator[Chains]:
    shutil.copy(empty_store, tmp_path / "store.db")
    clock, verdict = Clock(), Watched()
    jobs, objects = MemoryJobs(clock), MemoryObjects(clock)
    tables = MemoryTables({("sandbox", "ratings_daily"): PARTITIONS})
    objects.write(CONFIG_URL, (MODEL / "pipeline.config").read_bytes())
    plan = ChainPlan.load(MODEL)
    finetune = plan.finetune.model_copy(update={"start_from": ORIGIN})
    plan = replace(plan, settings=plan.settings.model_copy(update={"finetune": finetune}))
    plan = replace(plan, texts={**plan.texts, "model.yml": f"finetune: {{start_from: '{ORIGIN}'}}"})
    with ExperimentStore.open(f"sqlite:///{tmp_path / 'store.db'}", clock=clock) as store:
        store.record_pool("movielens_trials", 4)
        services = Services(
            store=store,
            jobs=jobs,
            objects=objects,
            tables=tables,
            make_tuner=lambda plan: Tuner(),
            make_assessor=lambda plan: verdict,
            now=clock,
            sleep=clock.sleep,
        )
        made = Chains(services, plan, jobs, objects, tables, verdict)
        made.write_model(ORIGIN, (MODEL / "pipeline.config").read_text(encoding="utf-8"))
        yield made
