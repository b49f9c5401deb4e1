"""The lease of a model's chain: schedule, UI runs and backfill never train it side by side (design section 6).

Airflow alone can't serialize them: it counts the active runs of a backfill apart from the others.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta, timezone

from easyrec import runtime
from include.daily import by_hand
from include.store import Lease, RunKey

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
_LIVE_FOR = timedelta(seconds=90)
"""A waiter that has not asked for this long waits no more: its triggerer is down or its run is over."""


def claim(model: str, run: RunKey, bizdate: date) -> str:
    """Take the model's lease for ``run``, or say in words who is in the way; empty when it is ours.

    A holder whose DAG run is over (it was marked failed, or deleted) loses it here, and so does a person's
    command that was killed.
    """
    store = runtime.open_store()
    answer = store.try_lease(model, run=run, bizdate=bizdate, live_for=_LIVE_FOR)
    other = answer.in_the_way
    if not answer.held and other is not None and other.held and _is_over(other):
        log.warning("run %s is over and still had the lease of %s: taken over", other.run, model)
        store.take_over_lease(model, from_run=other.run, run=run, seen_at=other.seen_at)
        answer = store.try_lease(model, run=run, bizdate=bizdate, live_for=_LIVE_FOR)
        other = answer.in_the_way
    if answer.held or other is None:
        return ""
    if other.run.dag_id == by_hand.DAG_ID:
        return f"the lease of {model}: {other.run.run_id} changes what serves, from the command line"
    what = "trains" if other.held else "waits to train"
    return f"the lease of {model}: run {other.run.run_id} {what} {other.bizdate}"


def _is_over(lease: Lease) -> bool:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    dead = by_hand.is_dead(lease, datetime.now(timezone.utc))
    if dead is not None:
        return dead
    run = lease.run
    alive = RuntimeTaskInstance.get_dr_count(
        dag_id=run.dag_id, run_ids=[run.run_id], states=["queued", "running"]
    )
    return alive == 0
