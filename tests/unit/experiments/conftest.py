"""A search without any cloud: memory ports, a real store, the shipped model, time that tests move."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2

from include.experiments.opening import Opened, OpenRequest, open_experiment
from include.experiments.plan import Plan
from include.experiments.services import Services
from include.experiments.trial_starter import Assignment, TrialStarter
from include.experiments.trial_watcher import TrialWatcher
from include.ports import Decision, JobPayload
from include.sandbox.trainer.events import record
from include.store import ExperimentStore, TaskKey, Trial
from tests.support.fakes import MemoryJob, MemoryJobs, MemoryObjects, MemoryTables, MemoryWorkflow

MODEL = Path(__file__).resolve().parents[3] / "include" / "models" / "movielens"
CONFIG_URL = "oss://sandbox-bucket/movielens/pipeline.config"
TABLES = {("sandbox", "ratings_train"): (), ("sandbox", "ratings_eval"): ()}


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 5, 1, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class CountingTuner:
    """Suggests a different batch size each time: a function of the number of asks, as ours are."""

    def ask(self, history: Any, pending: Any, seed: int) -> dict[str, Any]:
        asks = len(history) + len(pending)
        return {"data_config.batch_size": (64, 128, 256, 512)[asks % 4], "train_config.num_steps": 100 + asks}


@dataclass
class Verdict:
    """An assessor that says what the test told it."""

    stop: bool = False
    reason: str = "fine"

    def assess(self, trial: int, histories: Any, finished: Any = None) -> Decision:
        return Decision(self.stop, self.reason)


@dataclass
class Lab:
    services: Services
    plan: Plan
    jobs: MemoryJobs
    objects: MemoryObjects
    clock: Clock
    verdict: Verdict
    opened: Opened | None = None
    _tasks: int = field(default=0)

    @property
    def store(self) -> ExperimentStore:
        return self.services.store

    @property
    def experiment(self) -> str:
        assert self.opened is not None
        return self.opened.experiment.id

    def open(self, run_id: str = "run", **request: Any) -> Opened:
        self.opened = open_experiment(
            self.services, self.plan, OpenRequest(**request), dag_id="dag", run_id=run_id, by="test"
        )
        kept = Plan.from_snapshot(self.opened.experiment.snapshot)
        self.plan = replace(kept, settings=self.plan.settings)
        return self.opened

    def task(self, index: int = 0) -> TaskKey:
        return TaskKey("dag", "run", "trial", index)

    def start(self, index: int = 0, *, max_tries: int = 3, assignment: Assignment | None = None) -> Trial:
        starter = TrialStarter(self.services, self.plan)
        assignment = assignment or Assignment(self.experiment)
        return starter.start(assignment, task=self.task(index), task_max_tries=max_tries)

    def watcher(self, trial: int = 0, epoch: int = 0) -> TrialWatcher:
        return TrialWatcher(self.services, self.plan, experiment=self.experiment, trial=trial, epoch=epoch)

    def job(self, number: int = 0) -> MemoryJob:
        return list(self.jobs.jobs.values())[number]

    def evaluate(self, job: MemoryJob, step: int, **metrics: float) -> None:
        """What the job's evaluator writes."""
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in metrics.items()]
        event = event_pb2.Event(wall_time=1.0, step=step, summary=summary_pb2.Summary(value=values))
        url = job.payload.parameters["model_dir"] + "/eval_val/events.out.tfevents.1.host"
        self.objects.append(url, record(event.SerializeToString()))

    def finish(self, number: int = 0, value: float = 0.7) -> Trial:
        """Let a job run, evaluate once and succeed; returns its trial as the watcher leaves it."""
        job = self.job(number)
        self.jobs.run(job.job_id)
        self.evaluate(job, 10, auc_is_like=value, auc_is_love=value)
        self.jobs.succeed(job.job_id)
        return self.watcher(number).poll()

    def payload(self) -> JobPayload:
        return JobPayload("easy_rec_ext", "algo_public", {"cmd": "train"})


@pytest.fixture
def lab(tmp_path: Path, empty_store: Path) -> Iterator[Lab]:
    shutil.copy(empty_store, tmp_path / "store.db")
    clock, verdict = Clock(), Verdict()
    jobs, objects = MemoryJobs(clock), MemoryObjects(clock)
    objects.write(CONFIG_URL, (MODEL / "pipeline.config").read_bytes())
    with ExperimentStore.open(f"sqlite:///{tmp_path / 'store.db'}", clock=clock) as store:
        store.record_pool("movielens_trials", 4)
        services = Services(
            store=store,
            jobs=jobs,
            objects=objects,
            tables=MemoryTables(TABLES),
            make_tuner=lambda plan: CountingTuner(),
            make_assessor=lambda plan: verdict,
            now=clock,
            sleep=clock.sleep,
        )
        yield Lab(services, Plan.load(MODEL), jobs, objects, clock, verdict)


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> MemoryWorkflow:
    """What the command line takes for Airflow."""
    workflow = MemoryWorkflow()
    monkeypatch.setattr("include.adapters.airflow_workflow.AirflowWorkflow", lambda: workflow)
    return workflow
