"""The lease of a model's chain: schedule, UI runs and backfill never train it side by side (design section 6).

Airflow alone can't serialize them: it counts the active runs of a backfill apart from the others.
"""

from __future__ import annotations

from datetime import date, datetime, timezone

from easyrec import runtime
from easyrec.task_state import AirflowTasks
from include.daily import by_hand, lease
from include.store import Lease, RunKey

POLL_SECONDS = 2.0


def claim(model: str, run: RunKey, bizdate: date) -> str:
    """Take the model's lease for ``run``, or say in words who is in the way; empty when it is ours.

    A holder whose DAG run is over (it was marked failed, or deleted) loses it here, and so does a person's
    command that was killed.
    """
    other = lease.claim(runtime.open_store(), model, run=run, bizdate=bizdate, is_over=is_over)
    if other is None:
        return ""
    if other.run.dag_id == by_hand.DAG_ID:
        return f"the lease of {model}: {other.run.run_id} changes what serves, from the command line"
    what = "trains" if other.held else "waits to train"
    return f"the lease of {model}: run {other.run.run_id} {what} {other.bizdate}"


def is_over(held: Lease) -> bool:
    """Whether the lease's DAG run, or the person's command, is gone for good."""
    dead = by_hand.is_dead(held, datetime.now(timezone.utc))
    if dead is not None:
        return dead
    return AirflowTasks().is_over(held.run)
