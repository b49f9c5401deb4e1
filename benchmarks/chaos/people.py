"""What people do in the UI while everything else goes wrong: clear, mark failed, fail a run, mend a failed day."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.chaos.lab import Lab
from scripts.local_airflow import LocalAirflow

_CLEARS_OF_A_RUN = 6


class People:
    """``acted_on``: every task that one of them touched."""

    def __init__(self, lab: Lab, *, search: str, days: str) -> None:
        """``search``, ``days``: the DAG ids of the search and of the daily finetune."""
        self._lab = lab
        self._search = search
        self._days = days
        self.acted_on: set[tuple[str, str, str, int]] = set()
        self._cleared: dict[str, int] = {}
        self._side_runs = 0

    def clear(self, dice: random.Random, dag_id: str, task_id: str) -> str:
        return self._on_one(dice, dag_id, task_id, self._clear)

    def fail(self, dice: random.Random, dag_id: str, task_id: str) -> str:
        return self._on_one(dice, dag_id, task_id, lambda task: self._mark(task, "failed"))

    def fail_unwatched(self, dice: random.Random) -> str:
        """While no triggerer is alive: nothing of ours hears of it, until reconcile looks."""
        airflow: LocalAirflow = self._lab.airflow
        airflow.stop("triggerer", signal.SIGKILL)
        done = self._on_one(dice, self._search, "trial", lambda task: self._mark(task, "failed"))
        time.sleep(3)
        airflow.start("triggerer")
        return done

    def fail_run(self, _: random.Random) -> str:
        """Somebody's second search is failed as a whole, in the middle of its trials."""
        self._side_runs += 1
        run_id = self._lab.airflow.trigger(self._search, {"trials": 3}, f"side-{self._side_runs}")

        def watched() -> bool:
            tasks = self._lab.airflow.task_instances(self._search, run_id)
            return any(t["state"] == "deferred" for t in tasks)

        self._lab.wait(watched, "a trial of the second search is watched", seconds=240)
        for task in self._lab.airflow.task_instances(self._search, run_id):
            self._note(task)
        self._lab.airflow.api("PATCH", f"/dags/{self._search}/dagRuns/{run_id}", {"state": "failed"})
        return run_id

    def mend_failed_days(self) -> int:
        """A failed day stops the chain until somebody clears it; how many were cleared now."""
        count = 0
        for run in self._lab.runs(self._days):
            run_id = run["dag_run_id"]
            if run["state"] != "failed" or self._cleared.get(run_id, 0) >= _CLEARS_OF_A_RUN:
                continue
            for task in self._lab.airflow.task_instances(self._days, run_id):
                if task["state"] in ("failed", "upstream_failed"):
                    self._note(task)
            body = {"dry_run": False, "dag_run_id": run_id, "only_failed": True, "reset_dag_runs": True}
            self._lab.airflow.api("POST", f"/dags/{self._days}/clearTaskInstances", body)
            self._cleared[run_id] = self._cleared.get(run_id, 0) + 1
            count += 1
        return count

    def _on_one(
        self, dice: random.Random, dag_id: str, task_id: str, act: Callable[[Mapping[str, Any]], None]
    ) -> str:
        """On a task that is being watched, or else runs; empty when there is none now."""
        for state in ("deferred", "running"):
            found = [
                t for t in self._lab.task_instances(state) if (t["dag_id"], t["task_id"]) == (dag_id, task_id)
            ]
            if found:
                task = dice.choice(found)
                self._note(task)
                act(task)
                return f"{task['dag_id']}/{task['task_id']}[{task['map_index']}], {state}"
        return ""

    def _mark(self, task: Mapping[str, Any], state: str) -> None:
        path = f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        if task["map_index"] >= 0:
            path += f"/{task['map_index']}"
        self._lab.airflow.api("PATCH", path, {"new_state": state})

    def _clear(self, task: Mapping[str, Any]) -> None:
        mapped = task["map_index"] >= 0
        body = {
            "dry_run": False,
            "dag_run_id": task["dag_run_id"],
            "task_ids": [[task["task_id"], task["map_index"]] if mapped else task["task_id"]],
            "only_failed": False,
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self._lab.airflow.api("POST", f"/dags/{task['dag_id']}/clearTaskInstances", body)

    def _note(self, task: Mapping[str, Any]) -> None:
        self.acted_on.add((task["dag_id"], task["dag_run_id"], task["task_id"], task["map_index"]))
