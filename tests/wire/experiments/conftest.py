"""Searches with the real clients and the real trainer against one sandbox; no Airflow."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.adapters import engines
from include.adapters.maxcompute import MaxComputeJobs, MaxComputeTables
from include.adapters.oss import OssObjects
from include.experiments.chain_plan import plan_of
from include.experiments.closing import close_experiment
from include.experiments.opening import Opened, OpenRequest, open_experiment
from include.experiments.plan import Plan
from include.experiments.report import Report
from include.experiments.services import Services
from include.experiments.trial_starter import TrialStarter
from include.experiments.trial_watcher import TrialWatcher
from include.pipeline_config import edit_text
from include.sandbox import Endpoints, Sandbox
from include.sandbox.data import load
from include.store import ExperimentStore, Step, TaskKey, Trial
from tests.support.sandboxed import QUICK, control, maxcompute_credentials, oss_credentials

MODEL = Path(__file__).resolve().parents[3] / "include" / "models" / "movielens"
CONFIG_KEY = "movielens/pipeline.config"
DAG, RUN = "begin_search_movielens", "manual__2026-05-01"
SETTINGS = {"poll_seconds": 0.5, "max_training_hours": 1, "max_trial_retries": 0, "lost_answer_seconds": 1}
SMALL = {"train_config.num_steps": 30, "train_config.save_checkpoints_steps": 10}
"""Edits of the shipped config that let a job end after three evaluations."""

CAPACITY = 2
"""Jobs that train at the same time."""
Job = dict[str, Any]
"""An instance as the sandbox's own books show it."""


@dataclass
class World:
    """The cloud that all installations share. What it says of jobs comes from its own books."""

    sandbox: Sandbox
    endpoints: Endpoints
    folder: Path
    _installations: int = 0

    def install(self, *, odps: Mapping[str, str] = {}, oss: Mapping[str, str] = {}) -> Installation:
        """Another installation: its own store and model folder. ``odps``, ``oss``: changes of connections."""
        self._installations += 1
        home = self.folder / f"installation{self._installations}"
        shutil.copytree(MODEL, home / "movielens")
        (home / "movielens" / "model.yml").write_text(json.dumps(SETTINGS))
        store = ExperimentStore.open(f"sqlite:///{home / 'store.db'}")
        store.record_pool("movielens_trials", 4)
        maxcompute = maxcompute_credentials(self.endpoints, **odps)
        services = Services(
            store=store,
            jobs=MaxComputeJobs(maxcompute, retries=QUICK),
            objects=OssObjects(oss_credentials(self.endpoints, **oss), retries=QUICK),
            tables=MaxComputeTables(maxcompute, retries=QUICK),
            make_tuner=engines.make_tuner,
            make_assessor=engines.make_assessor,
        )
        return Installation(self, home, services)

    def books(self) -> dict[str, Any]:
        found: dict[str, Any] = control(self.endpoints, "books")
        return found

    def every_job(self) -> list[Job]:
        return [i for i in self.books()["instances"] if i["kind"] == "XFlow"]

    def instance(self, instance_id: str) -> Job:
        return next(i for i in self.books()["instances"] if i["id"] == instance_id)

    def stopped(self) -> set[str]:
        """Ids of all instances that anybody ever asked to stop."""
        return {e["instance"] for e in self.books()["ledger"] if e["event"] == "stopped"}

    def fault(self, **fault: Any) -> None:
        control(self.endpoints, "faults", fault)

    def set(self, **settings: Any) -> None:
        control(self.endpoints, "settings", settings)


@dataclass
class Installation:
    """One store with the real clients: what a team has."""

    world: World
    home: Path
    services: Services
    opened: Opened | None = None

    @property
    def folder(self) -> Path:
        return self.home / "movielens"

    @property
    def store(self) -> ExperimentStore:
        return self.services.store

    @property
    def experiment(self) -> str:
        assert self.opened is not None
        return self.opened.experiment.id

    @property
    def plan(self) -> Plan:
        """As every process gets it: from what was kept when the experiment was opened."""
        return plan_of(self.store.experiment(self.experiment).snapshot)

    def configure(self, **settings: Any) -> None:
        (self.folder / "model.yml").write_text(json.dumps({**SETTINGS, **settings}))

    def change(self, name: str, old: str, new: str) -> None:
        """Edit a file of the model's ``begin`` folder as a person does."""
        file = self.folder / "begin" / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def open(self, run_id: str = RUN, **request: Any) -> Opened:
        plan = Plan.load(self.folder)
        self.opened = open_experiment(
            self.services, plan, OpenRequest(**request), dag_id=DAG, run_id=run_id, by="test"
        )
        return self.opened

    def start(self, index: int = 0, *, max_tries: int = 3) -> Trial:
        assert self.opened is not None
        task = TaskKey(DAG, self.opened.experiment.run_id, "trial", index)
        assignment = self.opened.assignments[index]
        return TrialStarter(self.services, self.plan).start(assignment, task=task, task_max_tries=max_tries)

    def watcher(self, trial: Trial) -> TrialWatcher:
        return TrialWatcher(
            self.services, self.plan, experiment=self.experiment, trial=trial.number, epoch=trial.epoch
        )

    def finish(self, *trials: Trial) -> list[Trial]:
        """Poll each trial until it has ended."""
        watchers = [self.watcher(trial) for trial in trials]
        found = wait_until(lambda: all_ended([w.poll() for w in watchers]), "the trials end", every=0.1)
        return list(found)

    def run(self) -> list[Trial]:
        """Every assignment to its end, as many at a time as the sandbox has places."""
        assert self.opened is not None
        indexes = range(len(self.opened.assignments))
        return [
            t
            for at in indexes[::CAPACITY]
            for t in self.finish(*map(self.start, indexes[at : at + CAPACITY]))
        ]

    def close(self) -> Report:
        assert self.opened is not None
        run_id = self.opened.experiment.run_id
        return close_experiment(self.services, self.experiment, dag_id=DAG, run_id=run_id, by="test")

    def steps(self) -> list[Step]:
        return self.store.steps(self.experiment)

    def jobs(self) -> list[Job]:
        """This installation's jobs, by the store's UUID in the settings they were submitted with."""
        return [job for job in self.world.every_job() if self.store.uuid in job["settings"]]


def all_ended(trials: Sequence[Trial]) -> Sequence[Trial] | None:
    return trials if all(t.state.is_terminal for t in trials) else None


def wait_until(condition: Callable[[], Any], what: str, *, seconds: float = 60, every: float = 0.02) -> Any:
    """What the condition gives once it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(every)
    return found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("cloud")
    sandbox = Sandbox(folder / "sandbox", capacity=CAPACITY, speed=0)
    load("synthetic", sandbox.tables, cache=folder / "cache", days=6)
    with sandbox as endpoints:
        config = edit_text((MODEL / "pipeline.config").read_text(), SMALL)
        sandbox.buckets.write(endpoints.bucket, CONFIG_KEY, config.encode())
        yield World(sandbox, endpoints, folder)


@pytest.fixture
def world(cloud: World) -> Iterator[World]:
    yield cloud
    control(cloud.endpoints, "faults", method="DELETE")
    cloud.set(capacity=CAPACITY, guid_dedup=True)
    for instance in cloud.every_job():
        if instance["ended"] is None:
            cloud.sandbox.instances.stop(instance["project"], instance["id"])


@pytest.fixture
def installation(world: World) -> Installation:
    return world.install()
