"""One sandbox and one whole Airflow for all end-to-end tests, and words to talk about a search."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from include import names
from include.sandbox import Endpoints, Sandbox
from include.sandbox.data import load
from include.store import ExperimentStore, Step, Trial
from scripts import sandbox_connections
from scripts.local_airflow import ROOT, AirflowDidNotStart, LocalAirflow
from tests.support.postgres import running_postgres

MODEL = "movielens"
DAG_ID = f"begin_search_{MODEL}"
POOL = f"{MODEL}_trials"
SETTINGS = """
poll_seconds: 0.5
max_training_hours: 0.006
max_trial_retries: 1
lost_answer_seconds: 5
"""
"""Jobs of this size take seconds; the deadline is 21.6 s."""


@dataclass
class Search:
    """One DAG run of the begin search and the experiment it makes."""

    world: World
    run_id: str
    experiment: str
    dag_id: str
    store: ExperimentStore

    def model_dirs(self) -> str:
        """Regular expression for the model_dirs of this experiment's trials."""
        return rf"{self.experiment}_\d"

    def start(self, **conf: Any) -> Search:
        self.world.airflow.trigger(self.dag_id, conf, self.run_id)
        return self

    def trials(self) -> list[Trial]:
        return self.store.trials(self.experiment)

    def steps(self) -> list[Step]:
        return self.store.steps(self.experiment)

    def jobs(self) -> list[dict[str, Any]]:
        """What the service itself knows of this experiment's jobs."""
        every = self.world.control("GET", "/books")["instances"]
        return [i for i in every if f"/{self.experiment}_" in i["parameters"].get("model_dir", "")]

    def tasks(self, task_id: str = "trial") -> list[dict[str, Any]]:
        """The task instances with this id, as the REST API shows them."""
        found = self.world.airflow.task_instances(self.dag_id, self.run_id)
        return sorted((t for t in found if t["task_id"] == task_id), key=lambda t: t["map_index"])

    def task(self, task_id: str = "trial") -> dict[str, Any]:
        """The first one of them."""
        return self.tasks(task_id)[0]

    def buttons(self, trial: Trial) -> dict[str, str | None]:
        """What the buttons on the trial's task lead to."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/trial/links"
        found = self.world.airflow.api("GET", f"{path}?map_index={trial.task.map_index}")
        return dict(found["extra_links"])

    def log_of(self, task_id: str) -> str:
        """The first try's log, as the UI shows it."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/logs/1"
        return json.dumps(self.world.airflow.api("GET", path), ensure_ascii=False)

    def page(self, path: str, method: str = "GET") -> requests.Response:
        """What the page inside Airflow asks the experiment for."""
        return self.world.airflow.request(
            method, f"/experiments/{self.experiment}{path}", below="/easyrec/api"
        )

    def wait_for_trial(self, condition: Callable[[Trial], Any], what: str) -> Trial:
        def there() -> Trial | None:
            trials = self.trials()
            return trials[0] if trials and condition(trials[0]) else None

        return self.world.wait(there, f"trial 0 of {self.experiment} {what}")

    def wait_for_end(self) -> str:
        def ended() -> str | None:
            state = self.world.airflow.run_state(self.dag_id, self.run_id)
            return state if state in ("success", "failed") else None

        return str(self.world.wait(ended, f"{self.run_id} ends"))

    def change_task(self, new_state: str) -> None:
        """Mark trial 0's task as a user does in the UI."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/trial/0"
        self.world.airflow.api("PATCH", path, {"new_state": new_state})

    def clear_task(self) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": self.run_id,
            "task_ids": [["trial", 0]],
            "only_failed": False,
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self.world.airflow.api("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)


@dataclass
class World:
    airflow: LocalAirflow
    database: str
    """Airflow's own, on Postgres: SQLite makes its tasks and the REST API wait for each other for seconds."""
    sandbox: Sandbox
    endpoints: Endpoints
    store: ExperimentStore
    models: Path
    _runs: int = field(default=0)

    def search(self, model: str = MODEL, store: ExperimentStore | None = None) -> Search:
        """A DAG run that has not been started yet: its experiment's id is known before it exists."""
        self._runs += 1
        run_id, dag_id = f"test-{self._runs}", f"begin_search_{model}"
        store = store or self.store
        return Search(self, run_id, names.experiment_id(model, store.uuid, dag_id, run_id), dag_id, store)

    def add_models(self, **settings: str) -> None:
        """Copies of the model's folder with a ``model.yml`` of their own; returns when their DAGs are there."""
        for name, text in settings.items():
            shutil.copytree(self.models / MODEL, self.models / name)
            (self.models / name / "model.yml").write_text(SETTINGS + text)
        token = self.airflow.api("GET", f"/dags/{DAG_ID}")["file_token"]
        self.airflow.api("PUT", f"/parseDagFile/{token}")
        for name in settings:
            self.airflow.wait_for_dag(f"begin_search_{name}")

    def slots(self, number: int) -> float:
        """Change the pool's slots as a person does in the UI; returns when that was (epoch seconds)."""
        body = {"pool": POOL, "slots": number, "include_deferred": True}
        self.airflow.api("PATCH", f"/pools/{POOL}?update_mask=slots", body)
        return time.time()

    def pool(self) -> dict[str, int]:
        """How many tasks wait deferred in the pool, and how many want a slot."""
        found = self.airflow.api("GET", f"/pools/{POOL}")
        return {"deferred": found["deferred_slots"], "scheduled": found["scheduled_slots"]}

    def fault(self, **fault: Any) -> None:
        self.control("POST", "/faults", fault)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, self.endpoints.control + path, json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 150) -> Any:
        try:
            return self.airflow.wait(condition, seconds, what, every=0.4)
        except AirflowDidNotStart as error:
            unfinished = "\n".join(self._unfinished())
            raise AirflowDidNotStart(f"{error}\ntasks that have not ended well:\n{unfinished}") from error

    def _unfinished(self) -> list[str]:
        found = self.airflow.task_instances("~", "~")
        return [
            f"{t['dag_id']} {t['dag_run_id']} {t['task_id']}[{t['map_index']}]: {t['state']}, try {t['try_number']}"
            for t in found
            if t["state"] not in ("success", "skipped")
        ]


@pytest.fixture(scope="session", autouse=True)
def end_in_order_when_told_to() -> None:
    """``kill`` ends a test run as Ctrl-C does, so that no Airflow is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    models = folder / "models"
    shutil.copytree(ROOT / "include" / "models" / MODEL, models / MODEL)
    (models / MODEL / "model.yml").write_text(SETTINGS)
    sandbox = Sandbox(folder / "sandbox", capacity=4, speed=0)
    load("synthetic", sandbox.tables, cache=folder / "cache")
    with sandbox as endpoints, running_postgres() as new_database:
        config = (models / MODEL / "pipeline.config").read_bytes()
        sandbox.buckets.write(endpoints.bucket, "movielens/pipeline.config", config)
        environment = {
            "EASYREC_AUTOML_MODELS": str(models),
            **sandbox_connections.environment(endpoints),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # a test that adds models says so
        }
        database = new_database().render_as_string(hide_password=False)
        with LocalAirflow(folder / "airflow", environment=environment, database_url=database) as airflow:
            airflow.wait_for_dag(DAG_ID)
            store = ExperimentStore.open(f"sqlite:///{airflow.home / 'easyrec_automl.db'}")
            yield World(airflow, database, sandbox, endpoints, store, models)


@pytest.fixture(autouse=True)
def no_faults_left(world: World) -> Iterator[None]:
    yield
    world.control("DELETE", "/faults")
