"""The lease of a model's chain: who changes it, one at a time (design section 6)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta

from include.store import ExperimentStore, Lease, RunKey

log = logging.getLogger(__name__)

LIVE_FOR = timedelta(seconds=90)
"""A waiter that has not asked for this long waits no more: its triggerer is down or its run is over."""


def claim(
    store: ExperimentStore, model: str, *, run: RunKey, bizdate: date, is_over: Callable[[Lease], bool]
) -> Lease | None:
    """Take the model's lease for ``run``; None when it is ours, else who is in the way.

    ``is_over``: whether the holder of this lease is gone for good; then it loses the lease here.
    """
    other = store.try_lease(model, run=run, bizdate=bizdate, live_for=LIVE_FOR).in_the_way
    if other is not None and other.held and is_over(other):
        log.warning("%s is over and still had the lease of %s: taken over", other.run, model)
        store.take_over_lease(model, from_run=other.run, run=run, seen_at=other.seen_at)
        other = store.try_lease(model, run=run, bizdate=bizdate, live_for=LIVE_FOR).in_the_way
    return other
