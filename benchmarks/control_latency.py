"""How long each action on a running search takes to show: from the command's start to what the service itself sees.

    python -m benchmarks.control_latency

Starts the sandbox and an Airflow on Postgres. Jobs stay in the service's queue, so trials hold their slots until an
action ends them. Every action is the command line in a process of its own, as a person calls it; its effect is read
from the sandbox's books (jobs submitted and ended) or, for tasks that start no trial, from Airflow. The baseline is
Airflow's own way from a triggered run to the first job. Exit code 1 when an effect takes longer than ten seconds more
than the command itself (``docs/control.md`` promises ten seconds).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.lab import Lab, running_lab
from include import names
from include.store import Experiment, ExperimentState, Trial
from scripts.ending import end_in_order_on_signals
from scripts.local_airflow import ROOT

MODEL = "clicks"
DAG_ID, RUN, POOL = f"begin_search_{MODEL}", "measured", f"{MODEL}_trials"
SETTINGS = """
poll_seconds: 1
max_waiting_hours: 1
max_trial_retries: 0
lost_answer_seconds: 5
"""
PROMISED_SECONDS = 10.0
_PAUSED = ExperimentState.PAUSED
console = Console(width=110, highlight=False)


@dataclass(frozen=True)
class Measured:
    """``command``: seconds until the command returned; ``effect``: until it showed, from the command's start."""

    action: str
    shows: str
    command: float
    effect: float

    @property
    def is_late(self) -> bool:
        return self.effect - self.command > PROMISED_SECONDS


class Person:
    """Acts on the search by commands, and looks at the service's books."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._id = names.experiment_id(MODEL, lab.store.uuid, DAG_ID, RUN)
        self.measured: list[Measured] = []

    def capacity(self, jobs: int) -> None:
        """How many jobs the service runs at once; the others wait in its queue."""
        url = f"{self._lab.sandbox.endpoints.control}/settings"
        requests.post(url, json={"capacity": jobs}, timeout=10).raise_for_status()

    def slots(self, number: int) -> None:
        body = {"pool": POOL, "slots": number, "include_deferred": True}
        self._lab.airflow.api("PATCH", f"/pools/{POOL}?update_mask=slots", body)

    def jobs(self, *, live: bool = False) -> int:
        books = requests.get(f"{self._lab.sandbox.endpoints.control}/books", timeout=10).json()["instances"]
        mine = [job for job in books if f"/{self._id}_" in job["parameters"].get("model_dir", "")]
        return sum(not (live and job["ended"]) for job in mine)

    def experiment(self) -> Experiment:
        return self._lab.store.experiment(self._id)

    def trials(self) -> list[Trial]:
        return self._lab.store.trials(self._id)

    def skipped(self) -> int:
        found = self._lab.airflow.task_instances(DAG_ID, RUN)
        return sum(task["task_id"] == "trial" and task["state"] == "skipped" for task in found)

    def start(self, trials: int, jobs: int) -> None:
        began = time.monotonic()
        self._lab.airflow.trigger(DAG_ID, {"trials": trials, "seed": 1}, RUN)
        self._lab.wait(lambda: self.jobs() >= 1, "the first job")
        self.measured.append(
            Measured("baseline: a run is triggered", "first job", 0.0, time.monotonic() - began)
        )
        self._lab.wait(lambda: self.jobs() == jobs, f"{jobs} jobs")

    def act(self, action: str, *options: str, shows: str, when: Callable[[], Any]) -> None:
        began = time.monotonic()
        self.command(action, *options)
        returned = time.monotonic() - began
        self._lab.wait(when, f"{action}: {shows}", seconds=90, every=0.2)
        shown = " ".join((action, *options))
        short = shown if len(shown) < 40 else f"{action} …"
        self.measured.append(Measured(short, shows, returned, time.monotonic() - began))
        console.print(f"{short}: {shows} after {self.measured[-1].effect:.1f} s")

    def command(self, action: str, *options: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "include.cli", action, self._id, *options],
            env={
                **self._lab.airflow.environment,
                "EASYREC_AUTOML_STORE": self._lab.store_url.render_as_string(hide_password=False),
            },
            cwd=ROOT,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    end_in_order_on_signals()
    with running_lab(Path(tempfile.mkdtemp(prefix="control")), {MODEL: SETTINGS}) as lab:
        person = Person(lab)
        _measure(person)
    _print(person.measured)
    return int(any(each.is_late for each in person.measured))


def _measure(person: Person) -> None:
    """Every action of ``docs/control.md`` once. Trial 0 and 1 run at first, of eight."""
    jobs = person.jobs
    person.capacity(0)
    person.slots(2)
    person.start(trials=8, jobs=2)

    person.act("limits", "--concurrency", "3", shows="a third job", when=lambda: jobs() == 3)
    person.act("pause", shows="recorded", when=lambda: person.experiment().state is _PAUSED)
    person.act("stop", "--trial", "0", shows="its job is stopped", when=lambda: jobs(live=True) == 2)
    person.act("resume", shows="the next job", when=lambda: jobs() == 4)

    person.command("limits", "--trials", "4")
    person.act("stop", "--trial", "1", shows="a task beyond the maximum skipped", when=person.skipped)
    person.slots(9)
    person.act("limits", "--trials", "5", shows="one more job", when=lambda: jobs() == 5)
    person.act("retry", "--trial", "0", shows="its job", when=lambda: jobs() == 6)
    person.act("clone", "2", shows="its job", when=lambda: jobs() == 7)
    given = json.dumps(dict(person.trials()[3].parameters))
    person.act("add", given, shows="its job", when=lambda: jobs() == 8)
    person.act("extend", "1", shows="its job", when=lambda: jobs() == 9)
    person.act("stop", shows="every job is stopped", when=lambda: jobs(live=True) == 0)


def _print(measured: list[Measured]) -> None:
    table = Table(title=f"Control of a running search; load {os.getloadavg()[0]:.1f}")
    for head in ("command", "shows", "command, s", "shows after, s", "of the baseline"):
        table.add_column(head, justify="left" if head in ("command", "shows") else "right")
    baseline = measured[0].effect
    for each in measured:
        late = " late" if each.is_late else ""
        table.add_row(
            each.action,
            each.shows,
            f"{each.command:.1f}",
            f"{each.effect:.1f}{late}",
            f"{each.effect / baseline:.2f}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
