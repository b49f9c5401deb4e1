"""A sandbox and a whole Airflow on Postgres, all of whose parts may be killed and come back by themselves."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import requests
import sqlalchemy as sa

from benchmarks.chaos.sandbox_process import SandboxProcess
from include.adapters.connections import MaxComputeCredentials
from include.adapters.maxcompute import MaxComputeJobs
from include.errors import EasyRecAutoMLError
from include.finetune import calendar
from include.jobs import ini
from include.ports import JobPayload
from include.store import ExperimentStore
from scripts import sandbox_connections
from scripts.local_airflow import ROOT, LocalAirflow
from scripts.local_postgres import local_postgres

SOURCE = ROOT / "include" / "models" / "movielens"
FIRST_DAY = date(1997, 11, 19)
"""The demo model's search trains on the days before."""
QUICK_DETECTION = {
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
"""What a dead process costs in waiting, shortened: production's minutes teach nothing more."""
FEW_PARSES = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "600",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
}
"""DAG files don't change here; the processor time is needed for tasks."""


class LabError(RuntimeError):
    """Something that should have happened did not, in time."""


@dataclass
class Lab:
    airflow: LocalAirflow
    sandbox: SandboxProcess
    store_url: sa.URL
    airflow_url: sa.URL
    models: Path
    connected: ExperimentStore | None = field(default=None, repr=False)

    @property
    def store(self) -> ExperimentStore:
        """The product's own books, to know when to do what; the audit never believes them alone."""
        if self.connected is None:
            url = self.store_url.render_as_string(hide_password=False)
            self.connected = ExperimentStore.open(url)
        return self.connected

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 180, every: float = 0.4) -> Any:
        """Poll until it gives something true; parts that are being restarted just take longer."""
        until = time.monotonic() + seconds
        while True:
            try:
                found = condition()
            except (requests.RequestException, sa.exc.OperationalError, EasyRecAutoMLError):
                found = None
            if found:
                return found
            if time.monotonic() > until:
                raise LabError(f"not within {seconds:.0f} s: {what}")
            time.sleep(every)

    def turn_on(self, dag_id: str) -> None:
        self.airflow.api("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return list(self.airflow.api("GET", f"/dags/{dag_id}/dagRuns?limit=100&order_by=id")["dag_runs"])

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any] | None:
        found = self.airflow.task_instances(dag_id, run_id)
        return next((t for t in found if t["task_id"] == task_id), None)

    def task_instances(self, state: str) -> list[dict[str, Any]]:
        """All task instances in this state, of any DAG."""
        path = f"/dags/~/dagRuns/~/taskInstances?state={state}&limit=100"
        return list(self.airflow.api("GET", path)["task_instances"])

    def task_instance(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """The same task instance as it is now."""
        path = f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        mapped = f"/{task['map_index']}" if task["map_index"] >= 0 else ""
        return dict(self.airflow.api("GET", path + mapped))

    def train_origin(self, model: str) -> str:
        """A first model trained by hand; the model_dir that the chain starts from."""
        job = ini.load(self.models / model / "finetune" / "config_finetune.ini", for_search=False)
        folder = f"oss://{self.sandbox.endpoints.bucket}/{model}/origin"
        values = calendar.render_all(job.of("train"), calendar.previous(FIRST_DAY))
        values |= {"model_dir": folder, "edit_config_json": "{}"}
        extra = sandbox_connections.maxcompute_extra(self.sandbox.endpoints)
        jobs = MaxComputeJobs(MaxComputeCredentials.from_extra("maxcompute_default", extra))
        payload = JobPayload(job.xflow_name, job.xflow_project, values)
        job_id = jobs.submit(payload, submission_key=f"origin-{model}", store_uuid="by-hand")
        self.wait(lambda: jobs.status(job_id).state.is_terminal, "the first model is trained")
        return folder


def task_processes(pid: int) -> tuple[int, int]:
    """A task's process and the one that supervises it (with the LocalExecutor: its worker)."""
    return pid, psutil.Process(pid).ppid()


@contextmanager
def running_lab(
    folder: Path,
    models: Mapping[str, str],
    *,
    data: str = "synthetic",
    capacity: int = 4,
    speed: float = 0.0,
    faketime: bool = False,
    parallelism: int = 6,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Lab]:
    """``models``: text of ``model.yml`` by name of the copies that are made of the demo's model folder."""
    for name in ("models", "airflow"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name, settings in models.items():
        add_model(folder / "models", name, settings)
    with ExitStack() as stack:
        new_database = stack.enter_context(local_postgres())
        airflow_url, store_url = new_database(), new_database()
        sandbox = stack.enter_context(
            SandboxProcess(folder / "sandbox", data=data, capacity=capacity, speed=speed, faketime=faketime)
        )
        for name in models:
            config = (SOURCE / "pipeline.config").read_bytes()
            sandbox.write(f"oss://{sandbox.endpoints.bucket}/{name}/pipeline.config", config)
        airflow = LocalAirflow(
            folder / "airflow",
            environment={
                "EASYREC_AUTOML_MODELS": str(folder / "models"),
                **QUICK_DETECTION,
                **FEW_PARSES,
                **sandbox_connections.environment(sandbox.endpoints),
                "AIRFLOW_CONN_EASYREC_STORE": store_connection(store_url),
                **(environment or {}),
            },
            database_url=airflow_url.render_as_string(hide_password=False),
            parallelism=parallelism,
            restarts=True,
        )
        stack.enter_context(airflow)
        for name in models:
            airflow.wait_for_dag(f"daily_finetune_{name}")
        lab = Lab(airflow, sandbox, store_url, airflow_url, folder / "models")
        yield lab
        if lab.connected is not None:
            lab.connected.close()


def add_model(models: Path, name: str, settings: str) -> None:
    """A copy of the demo's model folder with OSS paths of its own; its days are not exported (one job a day)."""
    shutil.copytree(SOURCE, models / name)
    for path in (models / name).glob("*/*.ini"):
        text = path.read_text(encoding="utf-8").replace(
            "sandbox-bucket/movielens/", f"sandbox-bucket/{name}/"
        )
        sections = text.split("\n[")
        path.write_text("\n[".join(s for s in sections if not s.startswith("export")), "utf-8")
    (models / name / "model.yml").write_text(settings, encoding="utf-8")


def store_connection(url: sa.URL) -> str:
    return json.dumps(
        {
            "conn_type": "postgres",
            "login": url.username,
            "schema": url.database,
            "extra": {"host": url.query["host"]},
        }
    )
