"""Thirty days of finetune by one backfill, with a killed worker, triggerer and scheduler in the middle.

    python -m benchmarks.backfill_under_kills [--days 30] [--kill worker=5 triggerer=12 scheduler=20]

Starts the sandbox and an Airflow on Postgres, creates the backfill beside the working scheduler and kills
(-9) at the given days: the training task's process with its supervisor while it submits, the triggerer while
it watches the day's job, the scheduler with all its tasks while a training is being submitted. What ends is
started again as by a service manager. The audit reads the sandbox's own books: one job a day, each from the
day before's checkpoint, none running. Exit code 1 when anything else is found. (MovieLens has days without any
rating, for whose partitions the backfill would wait: the synthetic stream has none.)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.chain_audit import Training, trainings, undisturbed_chain
from benchmarks.chaos.lab import FIRST_DAY, Lab, LabError, running_lab, task_processes
from include.pipeline_config import values_at
from include.store import DayState, RunKey, current_days
from scripts.ending import end_in_order_on_signals

MODEL = "movielens"
DAG_ID = f"daily_finetune_{MODEL}"
SETTINGS = f"""
poll_seconds: 0.5
max_training_hours: 0.1
lost_answer_seconds: 5
finetune:
  timezone: UTC
  start_from: oss://sandbox-bucket/{MODEL}/origin
  last_bizdate: 1998-04-21
  pipeline_config: origin
  wait_poll_seconds: 2
"""
CHECKPOINT = "train_config.fine_tune_checkpoint"
console = Console(width=110, highlight=False)


def main() -> int:
    arguments = _arguments()
    end_in_order_on_signals()
    wanted = [FIRST_DAY + timedelta(days=n) for n in range(arguments.days)]
    began = time.monotonic()
    folder: Path = arguments.folder or Path(tempfile.mkdtemp(prefix="backfill"))
    with running_lab(folder, {MODEL: SETTINGS}, data=arguments.data) as lab:
        origin = lab.train_origin(MODEL)
        lab.turn_on(DAG_ID)
        lab.airflow.backfill(DAG_ID, wanted[0], wanted[-1], active_runs=arguments.active_runs)
        since = time.monotonic()
        kills = {wanted[day - 1]: KILLS[kind] for kind, day in arguments.kill}
        for day in sorted(kills):
            what = kills[day](lab, day)
            console.print(f"{_ago(began)} {what}")
        outcomes = _follow(lab, wanted)
        seconds = time.monotonic() - since
        found = [_with_checkpoint(lab, each) for each in trainings(lab.sandbox.books(), MODEL)]
        wrong = undisturbed_chain(found, wanted, origin) + _aftermath(lab, wanted, outcomes)
        _print(found, lab, seconds)
    for each in wrong:
        console.print(f"[red]wrong: {each}")
    console.print(f"{len(wrong)} violations; {seconds:.0f} s for the backfill, {_ago(began)} in all")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    default = [("worker", 5), ("triggerer", 12), ("scheduler", 20)]
    parser.add_argument("--kill", type=_kill, nargs="*", default=default, help="KIND=DAY, days from 1")
    parser.add_argument("--active-runs", type=int, default=3, help="runs that Airflow starts at once")
    parser.add_argument("--data", choices=("movielens", "synthetic"), default="synthetic")
    parser.add_argument("--folder", type=Path, help="kept afterwards; made anew at each start")
    return parser.parse_args()


def _kill(text: str) -> tuple[str, int]:
    kind, _, day = text.partition("=")
    if kind not in KILLS or not day.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(f'{k}=DAY' for k in KILLS)}")
    return kind, int(day)


def kill_worker(lab: Lab, day: date) -> str:
    """The process that submits the day's job, and the one that supervises it."""
    pid = _while_it_submits(lab, day)
    for each in reversed(task_processes(pid)):  # the supervisor first: nobody reports the task's end
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    return f"killed the training task of {day} and its supervisor while it submitted"


def kill_triggerer(lab: Lab, day: date) -> str:
    _wait_until_begun(lab, day)

    def watched() -> bool:
        train = lab.task(DAG_ID, _run_of(lab, day), "train")
        return train is not None and train["state"] == "deferred"

    lab.wait(watched, f"the training of {day} is watched", every=0.2)
    lab.airflow.send("triggerer")
    return f"killed the triggerer while it watched the job of {day}"


def kill_scheduler(lab: Lab, day: date) -> str:
    _while_it_submits(lab, day)
    lab.airflow.send("scheduler")
    return f"killed the scheduler with all its tasks while the training of {day} was submitted"


KILLS: dict[str, Callable[[Lab, date], str]] = {
    "worker": kill_worker,
    "triggerer": kill_triggerer,
    "scheduler": kill_scheduler,
}


def _wait_until_begun(lab: Lab, day: date) -> None:
    def begun() -> bool:
        return any(each.bizdate == day for each in lab.store.days(MODEL))

    lab.wait(begun, f"{day} begins", seconds=1800, every=0.3)


def _while_it_submits(lab: Lab, day: date) -> int:
    """Wait for the submit of the day's training, answered slowly; the task's process id."""
    _wait_until_begun(lab, day)
    before = sum(lab.sandbox.control("GET", "/faults")["injected"].values())
    lab.sandbox.fault(
        {"service": "odps", "kind": "slow", "method": "POST", "path": "/instances", "seconds": 4.0}
    )
    lab.wait(
        lambda: sum(lab.sandbox.control("GET", "/faults")["injected"].values()) > before,
        f"the job of {day} is being submitted",
        every=0.1,
    )
    train = lab.task(DAG_ID, _run_of(lab, day), "train")
    if train is None or not train["pid"]:
        raise LabError(f"the training of {day} has no process")
    return int(train["pid"])


def _run_of(lab: Lab, day: date) -> str:
    owner: RunKey = next(each.run for each in reversed(lab.store.days(MODEL)) if each.bizdate == day)
    return owner.run_id


def _follow(lab: Lab, wanted: list[date]) -> dict[str, str]:
    """Wait for the end of all runs; their states by run id."""

    def ended() -> dict[str, str] | None:
        states = {run["dag_run_id"]: run["state"] for run in lab.runs(DAG_ID)}
        over = [state for state in states.values() if state in ("success", "failed")]
        return states if len(over) == len(wanted) else None

    return dict(lab.wait(ended, "all runs end", seconds=3600, every=2))


def _with_checkpoint(lab: Lab, training: Training) -> Training:
    config = lab.sandbox.read(f"{training.model_dir}/pipeline.config").decode()
    (checkpoint,) = values_at(config, CHECKPOINT)
    return replace(training, checkpoint_in=str(checkpoint))


def _aftermath(lab: Lab, wanted: list[date], outcomes: dict[str, str]) -> list[str]:
    wrong = [f"run {run} ended as {state}" for run, state in outcomes.items() if state != "success"]
    left = lab.sandbox.control("GET", "/health")
    wrong += [f"{left[kind]} jobs are {kind}" for kind in ("running", "waiting") if left[kind]]
    days = current_days(lab.store.days(MODEL))
    wrong += [
        f"{day} is {days[day].state.value if day in days else 'unknown'} in the store"
        for day in wanted
        if day not in days or days[day].state is not DayState.PROMOTED
    ]
    wrong += [f"a lease is left: {lease}" for lease in lab.store.leases(MODEL)]
    chains = {each.chain_id for each in lab.store.days(MODEL)}
    return wrong + ([] if len(chains) == 1 else [f"chains: {', '.join(sorted(chains))}"])


def _print(found: list[Training], lab: Lab, seconds: float) -> None:
    days: dict[date, Any] = dict(current_days(lab.store.days(MODEL)))
    table = Table(title=f"{len(found)} jobs in {seconds:.0f} s", title_justify="left")
    for column in ("day", "job", "ended as", "processes", "trained from", "metric"):
        table.add_column(column)
    for each in found:
        row = [str(each.bizdate), each.job_id, each.status, str(each.processes)]
        metric = days[each.bizdate].metric if each.bizdate in days else None
        row += ["/".join(each.checkpoint_in.rsplit("/", 2)[-2:])]
        table.add_row(*row, "" if metric is None else f"{metric:.4f}")
    console.print(table)


def _ago(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
