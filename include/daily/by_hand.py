"""What a person changes of a model's daily chain, outside of any DAG run: under the model's lease, like a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from include.daily.lease import claim
from include.errors import StateError
from include.store import ExperimentStore, Lease, RunKey

DAG_ID = "cli"
"""Stands for the DAG in the lease of a person's command: no DAG has this id in our installations."""
_TAKES_AT_MOST = timedelta(minutes=15)


def run_key(who: str) -> RunKey:
    """``who``: user, host and process, so that two commands of one person differ."""
    return RunKey(DAG_ID, who)


def is_dead(lease: Lease, now: datetime) -> bool | None:
    """Whether a person's command that holds a lease was killed; None for the lease of a DAG run.

    Nobody can ask about a process on another machine; a command is a few requests.
    """
    return now - lease.since > _TAKES_AT_MOST if lease.run.dag_id == DAG_ID else None


@contextmanager
def lease_held(
    store: ExperimentStore, model: str, *, run: RunKey, bizdate: date, now: datetime, ended_run: str = ""
) -> Iterator[None]:
    """Hold the model's lease inside the ``with``.

    ``ended_run``: id of a DAG run that is over, as the person says, and may lose the lease. Raises StateError
    that names who has the lease, or waits for it first.
    """

    def is_over(lease: Lease) -> bool:
        return lease.run.run_id == ended_run or bool(is_dead(lease, now))

    try:
        other = claim(store, model, run=run, bizdate=bizdate, is_over=is_over)
        if other is not None:
            raise StateError(_refusal(model, other), hint=_hint(other))
        yield
    finally:
        store.release_lease(model, run=run)


def _refusal(model: str, other: Lease) -> str:
    does = "has the lease" if other.held else "waits for the lease and comes first"
    return f"model {model}: {other.run} {does} for {other.bizdate}, since {other.since:%Y-%m-%d %H:%M:%S} UTC"


def _hint(other: Lease) -> str:
    if not other.held or other.run.dag_id == DAG_ID:
        return "nothing was changed; try again in a moment"
    return (
        "nothing was changed; wait for the end of that run. If it is over (marked failed, or deleted), "
        f"say so: --ended-run {other.run.run_id}"
    )
