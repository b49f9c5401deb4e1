"""A whole Airflow on this machine: API server, scheduler, triggerer and DAG processor as child processes.

Loopback only, free ports, its own home folder. For the demo and for tests; not a deployment.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": (),
    # Log servers listen on every interface; the API server reads the same files itself.
    "scheduler": ("--skip-serve-logs",),
    "triggerer": ("--skip-serve-logs",),
    "dag-processor": (),
}
USER = "admin"
_RESTART_EVERY_S = 1.0


class AirflowDidNotStart(RuntimeError):
    """A component ended or did not answer in time; the message shows the end of its log."""


class LocalAirflow:
    """Context manager. ``environment`` is added to every component's (e.g. ``AIRFLOW_CONN_…``).

    ``restarts``: a component that ends is started again, and what is left of its children is killed, as a
    service manager does; without it, ``wait`` fails when one has ended.
    """

    def __init__(
        self,
        home: Path,
        *,
        environment: Mapping[str, str] | None = None,
        database_url: str | None = None,
        parallelism: int = 8,
        restarts: bool = False,
    ) -> None:
        self.home = home.resolve()
        self.port = _free_port()
        self.password = secrets.token_urlsafe(9)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts = restarts
        self._changing = threading.RLock()
        """Held while ``_processes`` changes."""
        self._over = threading.Event()
        self._token = ""
        self.environment = self._make_environment(environment or {}, database_url, parallelism)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> LocalAirflow:
        try:
            self.migrate()
            for component in COMPONENTS:
                self.start(component)
            if self._restarts:
                threading.Thread(target=self._keep_up, name="service-manager", daemon=True).start()
            self.wait_for_api()
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def migrate(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({USER: self.password}))
        passwords.chmod(0o600)
        self.run_cli("db", "migrate")

    def run_cli(self, *arguments: str) -> str:
        """Run ``airflow <arguments>`` to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AirflowDidNotStart(f"airflow {' '.join(arguments)}:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def start(self, component: str, name: str = "") -> int:
        """Start one component and return its process id; with a ``name`` (``triggerer@2``) one more of its kind."""
        with self._changing, (self.home / f"{component}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", component, *COMPONENTS[component]],
                env=self.environment,
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # its children go with it when its group is ended
            )
            self._processes[name or component] = process
        return process.pid

    def send(self, component: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Signal a component and all its children, behind the service manager's back."""
        _signal_group(self.pid(component), how)

    def _keep_up(self) -> None:
        while not self._over.wait(_RESTART_EVERY_S):
            with self._changing:
                if self._over.is_set():  # what is stopped meanwhile stays so
                    return
                ended = {c: p for c, p in self._processes.items() if p.poll() is not None}
                for component, process in ended.items():
                    _signal_group(process.pid, signal.SIGKILL)
                    self.start(component.partition("@")[0], component)

    def stop(self, component: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a component with all its children; ``SIGKILL`` for a crash."""
        with self._changing:
            process = self._processes.pop(component)
        _signal_group(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()

    def stop_all(self) -> None:
        self._over.set()
        with self._changing:
            for process in self._processes.values():
                _signal_group(process.pid, signal.SIGTERM)
        for component in list(self._processes):
            self.stop(component)

    def pid(self, component: str) -> int:
        return self._processes[component].pid

    def wait_for_api(self, seconds: float = 90) -> None:
        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).ok
            return False

        self.wait(answers, seconds, "the API server answers")

    def wait(self, condition: Callable[[], Any], seconds: float, what: str, every: float = 0.3) -> Any:
        """Poll until ``condition`` gives something true; AirflowDidNotStart with the logs otherwise."""
        until = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            ended = [c for c, p in list(self._processes.items()) if p.poll() is not None]
            ended = [] if self._restarts else ended
            if ended or time.monotonic() > until:
                shown = ended or [c for c in COMPONENTS if (self.home / f"{c}.log").exists()]
                why = f"{', '.join(ended)} ended" if ended else f"not within {seconds:.0f} s"
                logs = "\n".join(f"--- {c}\n{self.log_tail(c)}" for c in shown)
                raise AirflowDidNotStart(f"waiting until {what}: {why}\n{logs}")
            time.sleep(every)

    def log_tail(self, component: str, characters: int = 2500) -> str:
        return (self.home / f"{component}.log").read_text(errors="replace")[-characters:]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """One call of Airflow's public REST API as the admin user; raises on an error status."""
        answer = self.request(method, path, body)
        if not answer.ok:
            raise requests.HTTPError(
                f"{method} {path}: {answer.status_code} {answer.text[:500]}", response=answer
            )
        return answer.json() if answer.content else None

    def request(
        self, method: str, path: str, body: Any = None, *, below: str = "/api/v2"
    ) -> requests.Response:
        """As ``api``, whatever the status; ``below`` another root than the REST API's."""
        if not self._token:
            answer = requests.post(
                f"{self.url}/auth/token", json={"username": USER, "password": self.password}, timeout=30
            )
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        return requests.request(method, f"{self.url}{below}{path}", json=body, headers=headers, timeout=30)

    def wait_for_dag(self, dag_id: str, seconds: float = 90) -> None:
        def known() -> bool:
            try:
                self.api("GET", f"/dags/{dag_id}")
            except requests.HTTPError:
                return False
            return True

        self.wait(known, seconds, f"DAG {dag_id} is there")

    def trigger(self, dag_id: str, conf: Mapping[str, Any], run_id: str | None = None) -> str:
        """Start a DAG run as the UI's button does; returns its run id."""
        run_id = run_id or f"manual__{uuid.uuid4()}"
        body = {"logical_date": None, "conf": dict(conf), "dag_run_id": run_id}
        for _ in range(5):
            try:
                self.api("POST", f"/dags/{dag_id}/dagRuns", body)
                break
            except requests.HTTPError as error:
                # SQLite refuses at once to write after reading what another process has changed since.
                if error.response is None or error.response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
        else:
            raise AirflowDidNotStart(f"Airflow does not take a run of {dag_id}")
        return run_id

    def backfill(self, dag_id: str, first: date, last: date, *, active_runs: int) -> None:
        """Create a backfill of business dates in UTC as the UI's form does.

        SQLite refuses to write beside a scheduler that works: tried again then. Let the DAG be paused until it
        is there, so that none of its runs begins before.
        """
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T23:59:59Z",
            "run_backwards": False,
            "dag_run_conf": {},
            "max_active_runs": active_runs,
            "reprocess_behavior": "failed",
        }
        for _ in range(10):
            answer = self.request("POST", "/backfills", body)
            if answer.ok:
                return
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
            self.cancel_backfills(dag_id)
        raise requests.HTTPError(
            f"POST /backfills: {answer.status_code} {answer.text[:500]}", response=answer
        )

    def cancel_backfills(self, dag_id: str) -> None:
        """End those of the DAG that are not done: one that could not be created wholly is in the way of the next."""
        for left in self.api("GET", f"/backfills?dag_id={dag_id}")["backfills"]:
            if left["completed_at"] is None:
                self.api("PUT", f"/backfills/{left['id']}/cancel")

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000"
        return list(self.api("GET", path)["task_instances"])

    def _make_environment(
        self, extra: Mapping[str, str], database_url: str | None, parallelism: int
    ) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {
            **kept,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            # SQLite's own 5 s run out on a busy machine: "database is locked".
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url
            or f"sqlite:///{self.home / 'airflow.db'}?timeout=60",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            # A task that was deferred can go on only so much later (easyrec.triggers.threads).
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "15",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **extra,
        }


def _signal_group(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, how)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
