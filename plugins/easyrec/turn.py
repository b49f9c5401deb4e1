"""Whose turn it is in a model's chain: schedule, UI runs and backfill train it one after another (design section 6).

Airflow alone can't see to that: it counts the active runs of a backfill apart from the others, and its
``depends_on_past`` says nothing of what it waits for and never gives way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timezone

from easyrec import runtime
from easyrec.task_state import AirflowTasks
from include.daily import by_hand, lease
from include.daily.chain import waits_for
from include.store import Lease, RunKey

POLL_SECONDS = 2.0
EARLIER_RUN_POLL_SECONDS = 10.0
"""Of every waiting day but the next one: nobody waits for it yet."""


@dataclass(frozen=True)
class InTheWay:
    """What a run waits for, in ``words``. ``run``: the DAG run that has to go on first; None: a person's command."""

    words: str
    run: RunKey | None


def claim(model: str, run: RunKey, bizdate: date) -> InTheWay | None:
    """Take the model's lease for ``run``; None when it is ours.

    A holder whose DAG run is over (it was marked failed, or deleted) loses it here, and so does a person's
    command that was killed.
    """
    other = lease.claim(runtime.open_store(), model, run=run, bizdate=bizdate, is_over=is_over)
    if other is None:
        return None
    if other.run.dag_id == by_hand.DAG_ID:
        who = f"{other.run.run_id} changes what serves, from the command line"
        return InTheWay(f"the lease of {model}: {who}", None)
    what = "trains" if other.held else "waits to train"
    return InTheWay(f"the lease of {model}: run {other.run.run_id} {what} {other.bizdate}", other.run)


def is_over(held: Lease) -> bool:
    """Whether the lease's DAG run, or the person's command, is gone for good."""
    dead = by_hand.is_dead(held, datetime.now(timezone.utc))
    if dead is not None:
        return dead
    return AirflowTasks().is_over(held.run)


def day_before(model: str, bizdate: date) -> InTheWay | None:
    """The begun days before ``bizdate`` that have no result."""
    unfinished = waits_for(runtime.open_store(), model, bizdate)
    return None if unfinished is None else InTheWay(unfinished.message, unfinished.run)


def earlier_run(run: RunKey, task_id: str, *, also_failed: bool) -> InTheWay | None:
    """An earlier run whose ``task_id`` (which decides what its day continues from) has not decided yet.

    ``also_failed``: wait also when that run has failed before, until a person clears it.
    """
    tasks = AirflowTasks()
    if tasks.has_passed(run, task_id):
        return None
    if not tasks.is_over(run):
        return InTheWay(f"run {run.run_id}, which comes first", run)
    if also_failed and tasks.has_failed(run):
        return InTheWay(
            f"run {run.run_id}, which failed before its day began: clear its failed task, or mark the run success "
            "to leave its day out",
            run,
        )
    return None
