"""What broken inputs are given to, in memory: a search, a daily run, the page, and a store."""

from __future__ import annotations

import copy
import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.adapters import engines
from include.experiments.control import Control
from include.experiments.opening import OpenRequest, open_experiment
from include.experiments.plan import Plan
from include.experiments.services import Services, utc_now
from include.experiments.trial_starter import Assignment, TrialStarter
from include.search.trial import TrialState
from include.store import ExperimentStore, TaskKey
from tests.support.fakes import MemoryJobs, MemoryObjects, MemoryTables, MemoryWorkflow
from tests.support.page import PageClient

MODEL = Path(__file__).resolve().parents[2] / "include" / "models" / "movielens"
CONFIG_URL = "oss://sandbox-bucket/movielens/pipeline.config"
ORIGIN = "oss://sandbox-bucket/movielens/first"
TABLES = {
    ("sandbox", "ratings_train"): (),
    ("sandbox", "ratings_eval"): (),
    ("sandbox", "ratings_daily"): tuple(f"dt=199801{day}" for day in range(14, 20)),
}


@dataclass
class Case:
    """``what``: the file or request; ``damage``: what is wrong with it."""

    what: str
    damage: str
    run: Callable[[], None]


class Lab:
    """What a search, a daily run and the page touch, in memory, and a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self._prepared: dict[int, tuple[str, Path, Any]] = {}
        self._template = folder / "template.db"
        ExperimentStore.open(f"sqlite:///{self._template}").close()
        self.model = folder / "movielens"
        self.source, self.target = folder / "pipeline.config", folder / "patched.config"
        # Their imports take seconds, of Airflow and NNI.
        importlib.import_module("easyrec.operators.begin_search")
        engines.make_tuner(Plan.load(MODEL))
        self.page = PageClient(self.control)
        self.fresh()

    def fresh(self) -> None:
        """An empty world, and the model's folder as it is shipped."""
        self._made += 1
        self._file = self._folder / f"store{self._made}.db"
        shutil.copy(self._template, self._file)
        self.store = ExperimentStore.open(f"sqlite:///{self._file}")
        self.store.record_pool("movielens_trials", 4)
        self.jobs, self.objects, self.workflow = MemoryJobs(utc_now), MemoryObjects(utc_now), MemoryWorkflow()
        self.objects.write(CONFIG_URL, (MODEL / "pipeline.config").read_bytes())
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.copytree(MODEL, self.model)
        self.target.unlink(missing_ok=True)
        self.settle()

    def settle(self) -> None:
        """What is there now was to be made; all that comes is by the input."""
        self._settled = self._things()

    def services(self) -> Services:
        return Services(
            store=self.store,
            jobs=self.jobs,
            objects=self.objects,
            tables=MemoryTables(TABLES),
            make_tuner=engines.make_tuner,
            make_assessor=engines.make_assessor,
        )

    def control(self) -> Control:
        return Control(self.store, self.workflow, "bench")

    def open(self, **request: Any) -> str:
        plan = Plan.load(self.model)
        wanted = OpenRequest(**{"trials": 2, **request})
        return open_experiment(
            self.services(), plan, wanted, dag_id="dag", run_id="run", by="bench"
        ).experiment.id

    def open_with_trials(self, failed: int = 1) -> str:
        """A search whose first trials have failed and whose next one trains; made once, then copied."""
        if failed not in self._prepared:
            experiment = self._make_trials(failed)
            file = self._folder / f"prepared{failed}.db"
            shutil.copy(self._file, file)
            self._prepared[failed] = experiment, file, copy.deepcopy((self.jobs, self.objects))
        experiment, file, memory = self._prepared[failed]
        self.store.close()
        shutil.copy(file, self._file)
        self.store = ExperimentStore.open(f"sqlite:///{self._file}")
        self.jobs, self.objects = copy.deepcopy(memory)
        self.settle()
        return experiment

    def _make_trials(self, failed: int) -> str:
        experiment = self.open(trials=failed + 1)
        plan = Plan.from_snapshot(self.store.experiment(experiment).snapshot)
        for index in range(failed + 1):
            task = TaskKey("dag", "run", "trial", index)
            trial = TrialStarter(self.services(), plan).start(
                Assignment(experiment), task=task, task_max_tries=1
            )
            if index < failed:
                self.store.move_trial(
                    experiment, index, epoch=trial.epoch, to=TrialState.FAILED, reason="x", by="bench"
                )
        return experiment

    def save_model(self, config: bytes) -> None:
        """A checkpoint, and what EasyRec says that it ran."""
        for name in ("model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"):
            self.objects.write(f"{ORIGIN}/{name}", b"x")
        self.objects.write(f"{ORIGIN}/pipeline.config", config)
        self.settle()

    def touched(self) -> str:
        """What a refusal has left behind; empty as it should be."""
        return ", ".join(sorted(self._things() - self._settled))

    def _things(self) -> set[str]:
        requests = [r for e in self.store.experiments() for r in self.store.waiting_requests(e.id)]
        return {
            *(f"job {job}" for job in self.jobs.jobs),
            *(each.url for each in self.objects.list("oss://sandbox-bucket/")),
            *(f"run {run}" for run in self.workflow.confs),
            *(f"request {request.run_id}" for request in requests),
            *(f"chain {chain.id}" for chain in self.store.chains()),
            *(f"{self.target}" for _ in range(self.target.exists())),
        }
