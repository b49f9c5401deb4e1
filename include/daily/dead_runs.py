"""What DAG runs that are over left behind in a model's daily chain: the lease, and a day without a result.

``finish`` ends both in order. It doesn't run when a person cleared a failed task alone and it failed again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from include.daily.telling import WHAT_TO_DO_WITH_LEFT, day_left
from include.experiments.reconcile import GRACE, Report
from include.experiments.trial_job import RECONCILE
from include.experiments.unowned import Done, Finding
from include.notices import Tell, tell_nobody
from include.store import DayState, ExperimentStore, Lease, RunKey

_RECONCILE = RunKey("easyrec_reconcile", RECONCILE)


def end_dead_runs(
    store: ExperimentStore,
    report: Report,
    *,
    is_over: Callable[[RunKey], bool],
    lease_is_dead: Callable[[Lease], bool],
    now: datetime,
    grace: timedelta = GRACE,
    tell: Tell = tell_nobody,
) -> None:
    """End OPEN days of runs that are over as FAILED, then let others have their leases.

    A TRAINED day is left, for a person may still promote its model; that is noted with the day, and told, once.
    Adds to ``report``.
    """
    for day in store.days_in(DayState.TRAINED):
        with report.going_on(f"day {day.bizdate} of {day.model}"):
            if now - (day.trained_at or day.begun_at) < grace or not is_over(day.run):
                continue
            chain = store.current_chain(day.model)
            if chain is None or chain.id != day.chain_id:  # nothing waits for it, and it can't serve any more
                continue
            why = f"its DAG run {day.run.run_id} ended before it was promoted or refused"
            if store.note_left(day.id, why):
                report.add(
                    Finding(Done.LEFT, day.model, f"day {day.bizdate}", f"{why}; {WHAT_TO_DO_WITH_LEFT}")
                )
                tell(day_left(day, why))
    for day in store.days_in(DayState.OPEN):
        with report.going_on(f"day {day.bizdate} of {day.model}"):
            if now - day.begun_at < grace or not is_over(day.run):
                continue
            why = f"its DAG run {day.run.run_id} ended without it"
            store.end_day(day.id, DayState.FAILED, why)
            report.add(Finding(Done.CLOSED, day.model, f"day {day.bizdate} as FAILED", why))
    for lease in store.leases():
        with report.going_on(f"the lease of {lease.model}"):
            if not lease.held or now - lease.seen_at < grace or not lease_is_dead(lease):
                continue
            store.take_over_lease(lease.model, from_run=lease.run, run=_RECONCILE, seen_at=lease.seen_at)
            why = f"{lease.run} is over and still had it"
            report.add(Finding(Done.CLOSED, lease.model, f"the lease of {lease.model}", why))
