"""The lease of a model's chain: schedule, UI runs and backfill never train it side by side (design section 6).

Airflow alone can't serialize them: it counts the active runs of a backfill apart from the others.
"""

from __future__ import annotations

import logging
from datetime import date, timedelta

from easyrec import runtime
from include.store import RunKey

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
_LIVE_FOR = timedelta(seconds=90)
"""A waiter that has not asked for this long waits no more: its triggerer is down or its run is over."""


def claim(model: str, run: RunKey, bizdate: date) -> str:
    """Take the model's lease for ``run``, or say in words who is in the way; empty when it is ours.

    A holder whose DAG run is over (it was marked failed, or deleted) loses it here.
    """
    store = runtime.open_store()
    answer = store.try_lease(model, run=run, bizdate=bizdate, live_for=_LIVE_FOR)
    other = answer.in_the_way
    if not answer.held and other is not None and other.held and _is_over(other.run):
        log.warning("run %s is over and still had the lease of %s: taken over", other.run, model)
        store.take_over_lease(model, from_run=other.run, run=run, seen_at=other.seen_at)
        answer = store.try_lease(model, run=run, bizdate=bizdate, live_for=_LIVE_FOR)
        other = answer.in_the_way
    if answer.held or other is None:
        return ""
    what = "trains" if other.held else "waits to train"
    return f"the lease of {model}: run {other.run.run_id} {what} {other.bizdate}"


def _is_over(run: RunKey) -> bool:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    alive = RuntimeTaskInstance.get_dr_count(
        dag_id=run.dag_id, run_ids=[run.run_id], states=["queued", "running"]
    )
    return alive == 0
