"""Which checkpoint a day continues from (design section 6): a pure decision on what is known of the days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from include.errors import StateError
from include.finetune.calendar import following, previous
from include.store import Chain, Day, DayState, ExperimentStore, RunKey, current_days

_GOOD = DayState.PROMOTED
_KEPT_OUT = (DayState.GATE_FAILED, DayState.ROLLED_BACK)
"""A day that ran and does not serve: the chain goes on from the last good one, and this is no hole."""


class ChainGapError(StateError):
    """Days before this one were not trained (reference section 2: the old chain went on from nothing)."""


class DayBeforeUnfinishedError(ChainGapError):
    """Days before this one were begun and have no result yet: a person mends them, or they still run.

    ``run``: of the first of them.
    """

    def __init__(self, message: str, *, run: RunKey, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.run = run


@dataclass(frozen=True)
class Continuation:
    """``checkpoint``: exact prefix. ``from_day``: whose it is; None for the chain's origin.
    ``note``: why it is not simply yesterday's; empty when it is. ``missing``: days before that are not trained."""

    checkpoint: str
    from_day: date | None
    note: str = ""
    missing: tuple[date, ...] = ()


def continue_from(
    bizdate: date, chain: Chain, days: Sequence[Day], *, on_gap: Literal["fail", "last_good"]
) -> Continuation:
    """The checkpoint that ``bizdate`` starts from; ``days`` are the chain's.

    The first day of a chain starts from its origin. After a failed gate or a rollback it is the last good
    day's. Raises ChainGapError for days that are missing and for a day before the chain's first, and
    DayBeforeUnfinishedError when all that is missing was begun; ``on_gap`` ``last_good`` goes on in both cases.
    """
    current = current_days(days)
    before = {day: record for day, record in current.items() if day < bizdate}
    if not before:
        if current and bizdate < min(current):
            raise ChainGapError(
                f"chain {chain.id} begins with {min(current)}: {bizdate} comes before it",
                hint="to train earlier days first, start a new chain (form field start_from)",
            )
        return Continuation(chain.origin.checkpoint, None, f"the first day of {chain.id}")
    last = last_good(before.values())
    missing = _missing(bizdate, before)
    if missing and on_gap == "fail":
        shown = ", ".join(_in_words(day, before.get(day)) for day in missing)
        if all(day in before for day in missing):
            raise DayBeforeUnfinishedError(
                f"{bizdate} waits for {shown}",
                run=before[missing[0]].run,
                hint="clear the failed task of that day's run",
            )
        raise ChainGapError(
            f"{len(missing)} day(s) before {bizdate} are not trained: {shown}",
            hint=f"run them first: backfill {missing[0]} to {missing[-1]}, or clear their failed tasks; "
            "or set on_gap: last_good",
        )
    if last is None or last.checkpoint_out is None:
        why = _why(bizdate, before.values(), missing, f"the origin of {chain.id}")
        return Continuation(chain.origin.checkpoint, None, why, tuple(missing))
    if last.bizdate == previous(bizdate):
        return Continuation(last.checkpoint_out, last.bizdate)
    since = [record for day, record in before.items() if day > last.bizdate]
    why = _why(bizdate, since, missing, str(last.bizdate))
    return Continuation(last.checkpoint_out, last.bizdate, why, tuple(missing))


def last_good(days: Iterable[Day]) -> Day | None:
    """The newest promoted one, which the next day goes on from; None: from the chain's origin.

    ``days``: those that count (``current_days``).
    """
    good = [day for day in days if day.state is _GOOD]
    return max(good, key=lambda day: day.bizdate, default=None)


def waits_for(store: ExperimentStore, model: str, bizdate: date) -> DayBeforeUnfinishedError | None:
    """The begun days before ``bizdate`` that have no result; None when it need not wait."""
    chain = store.current_chain(model)
    if chain is None:
        return None
    try:
        continue_from(bizdate, chain, store.days(model, chain_id=chain.id), on_gap="fail")
    except DayBeforeUnfinishedError as error:
        return error
    except ChainGapError:
        return None  # no waiting helps: the task says so
    return None


def _missing(bizdate: date, before: dict[date, Day]) -> list[date]:
    """Days without an outcome, back to the last day that has one."""
    ended = [day for day, record in before.items() if record.state in (_GOOD, *_KEPT_OUT)]
    day = following(max(ended)) if ended else min(before)
    missing = []
    while day < bizdate:
        missing.append(day)
        day = following(day)
    return missing


def _why(bizdate: date, since: Iterable[Day], missing: Sequence[date], source: str) -> str:
    reasons = [
        f"{record.bizdate} {record.state.value.lower()} ({record.reason})"
        for record in sorted(since, key=lambda record: record.bizdate)
        if record.state in _KEPT_OUT
    ][-1:]
    reasons += [f"not trained: {', '.join(map(str, missing))}"] if missing else []
    return f"{bizdate} continues from {source}: {'; '.join(reasons)}"


def _in_words(day: date, record: Day | None) -> str:
    return str(day) if record is None else f"{day} ({record.state.value.lower()})"
