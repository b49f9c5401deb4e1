"""Processes that are killed or frozen, and how to see that work goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import psutil
import requests

from benchmarks.chaos.lab import Lab, task_processes
from benchmarks.chaos.recovery import Recoveries

_FREEZE_S = 16.0
"""Past the lab's health threshold of 10 s."""
_TAKE_OVER_S = 60.0
"""Another triggerer takes this long to start on a busy machine."""


class Kills:
    def __init__(self, lab: Lab, recoveries: Recoveries) -> None:
        self._lab = lab
        self._recoveries = recoveries

    def task(self, dice: random.Random, *, supervisor: bool) -> str:
        """One running task; with its supervisor nobody is left who could report its end."""
        found = [t for t in self._lab.task_instances("running") if t["pid"]]
        while found:
            task = found.pop(dice.randrange(len(found)))
            try:
                pid, parent = task_processes(int(task["pid"]))
            except psutil.NoSuchProcess:
                continue
            with contextlib.suppress(ProcessLookupError):
                if supervisor:
                    os.kill(parent, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
                kind = "task and its supervisor" if supervisor else "task"
                self._recoveries.watch(kind, partial(self._tried_again, task))
                return f"{task['dag_id']}/{task['task_id']}[{task['map_index']}]"
        return ""

    def _tried_again(self, task: Mapping[str, Any]) -> bool:
        now = self._lab.task_instance(task)
        later = now["try_number"] > task["try_number"] and now["state"] in ("running", "deferred")
        return later or now["state"] in ("success", "skipped")

    def component(self, name: str) -> str:
        """The scheduler (with its tasks), the triggerer or the API server."""
        watched = self._lab.task_instances("deferred") if name == "triggerer" else []
        killed = time.time()
        self._lab.airflow.send(name)
        if name == "scheduler":
            self._recoveries.watch(name, lambda: self._a_task_started_after(killed))
        elif name == "api-server":
            time.sleep(1.0)  # until the port is really closed
            self._recoveries.watch(name, self._api_answers)
        elif watched:
            self._recoveries.watch(name, lambda: self._taken_over(watched))
        return name

    def freeze_triggerer(self, _: random.Random) -> str:
        """It stands still past the threshold, another one takes its triggers over, then it goes on."""
        airflow, frozen_at = self._lab.airflow, time.monotonic()
        watched = self._lab.task_instances("deferred")
        if not watched:
            return ""
        airflow.send("triggerer", signal.SIGSTOP)
        airflow.start("triggerer", "triggerer@2")
        try:
            time.sleep(_FREEZE_S)
            self._lab.wait(lambda: self._taken_over(watched), "its triggers are taken over", _TAKE_OVER_S)
        finally:
            airflow.send("triggerer", signal.SIGCONT)
            time.sleep(8)
            airflow.stop("triggerer@2")
        return f"{time.monotonic() - frozen_at:.0f} s, with {len(watched)} tasks to watch"

    def sandbox(self, _: random.Random) -> str:
        sandbox = self._lab.sandbox
        sandbox.kill()
        self._recoveries.watch("sandbox", lambda: bool(sandbox.control("GET", "/health", seconds=0)))
        return "its jobs live on"

    def _a_task_started_after(self, moment: float) -> bool:
        return any(
            t["start_date"] and datetime.fromisoformat(t["start_date"]).timestamp() > moment
            for t in self._lab.task_instances("running")
        )

    def _api_answers(self) -> bool:
        return requests.get(f"{self._lab.airflow.url}/api/v2/monitor/health", timeout=5).ok

    def _taken_over(self, before: list[dict[str, Any]]) -> bool:
        """Every task that was watched has ended or is watched by a living triggerer."""
        now = {t["id"]: t for t in self._lab.task_instances("deferred")}
        return all(
            t["id"] not in now or _triggerer(now[t["id"]]) not in (None, _triggerer(t)) for t in before
        )


def _triggerer(task: Mapping[str, Any]) -> Any:
    return (task.get("triggerer_job") or {}).get("id")
