"""What people are told of a model's days: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from include.daily.chain import Continuation
from include.finetune.gate import Verdict
from include.notices import Kind, Notice, number
from include.store import Chain, Day, Promotion, RunKey

WHAT_TO_DO_WITH_LEFT = (
    "clear the failed task of its run, or promote it by hand (DAG promotion_<model>, or the command promote)"
)


def gate_refused(day: Day, verdict: Verdict, serving: Promotion | None) -> Notice:
    """The day's model does not serve; the one before does."""
    kept = "no model yet" if serving is None else f"{serving.checkpoint} of {serving.bizdate}"
    return Notice(
        Kind.GATE_FAILED,
        day.model,
        title=day.bizdate.isoformat(),
        lines=(
            f"gate: {verdict}",
            f"still serves: {kept}",
            f"refused: {day.checkpoint_out}",
            "to do: look at the day's data; the next day goes on from the last good one by itself. To let this "
            "one serve all the same, promote it by hand; to train it again, clear its run",
        ),
        run=_run(day.run),
    )


def day_promoted(day: Day, promotion: Promotion, stale: Sequence[Day]) -> Notice:
    """Another model serves since now."""
    return Notice(
        Kind.PROMOTED,
        day.model,
        title=day.bizdate.isoformat(),
        lines=(
            f"promotion {promotion.number}: {promotion.checkpoint}",
            f"metric: {number(promotion.metric)}",
            _by(promotion.by, promotion.reason),
            _about_stale(stale),
        ),
        run=_run(day.run),
    )


def chain_mended(
    day: Day, serving: Promotion | None, stale: Sequence[Day], *, by: str, reason: str
) -> Notice:
    """A day counts from now on, and what serves is a later one's model, as before."""
    serves = "none" if serving is None else f"{serving.checkpoint} of {serving.bizdate}"
    return Notice(
        Kind.CHAIN_MENDED,
        day.model,
        title=day.bizdate.isoformat(),
        lines=(
            f"part of the chain now: {day.checkpoint_out}",
            f"metric: {number(day.metric)}",
            f"still serves: {serves}",
            _by(by, reason),
            _about_stale(stale),
        ),
        run=_run(day.run),
    )


def rolled_back(promotion: Promotion, chain: Chain | None) -> Notice:
    """A person went back to an earlier model. ``chain``: the model's current one."""
    do = "nothing; the next day goes on from this model"
    if chain is not None and chain.id != promotion.chain_id:
        do = (
            f"this model is of {promotion.chain_id}, the days go on in {chain.id}; to let them go on from it, "
            f"run the next day with start_from {promotion.checkpoint}"
        )
    return Notice(
        Kind.ROLLED_BACK,
        promotion.model,
        title=f"to {promotion.bizdate}",
        lines=(
            f"promotion {promotion.number}: {promotion.checkpoint} serves again",
            _by(promotion.by, promotion.reason),
            f"to do: {do}",
        ),
    )


def day_waits(model: str, bizdate: date, why: str, run: RunKey) -> Notice:
    """``why``: which days it waits for and what to do about them."""
    return Notice(
        Kind.DAY_WAITS,
        model,
        title=bizdate.isoformat(),
        lines=(why, "to do: mend the earlier day; this one goes on by itself after that"),
        run=_run(run),
    )


def day_left(day: Day, why: str) -> Notice:
    """It has a model, its run is over, and it was neither promoted nor refused: later days wait for it."""
    return Notice(
        Kind.DAY_LEFT,
        day.model,
        title=day.bizdate.isoformat(),
        lines=(why, f"its model: {day.checkpoint_out}", f"to do: {WHAT_TO_DO_WITH_LEFT}"),
        run=_run(day.run),
    )


def gap_passed_over(model: str, bizdate: date, found: Continuation, run: RunKey) -> Notice:
    """Days are missing, and the model's ``on_gap`` says to go on all the same."""
    return Notice(
        Kind.CHAIN_GAP,
        model,
        title=bizdate.isoformat(),
        lines=(
            found.note,
            "to do: nothing (on_gap is last_good); to fill the gap, backfill the missing days",
        ),
        run=_run(run),
    )


def _about_stale(stale: Sequence[Day]) -> str:
    later = ", ".join(str(d.bizdate) for d in stale)
    return f"to do: {f'run these stale days again (retrain_later): {later}' if stale else 'nothing'}"


def _by(who: str, reason: str) -> str:
    return f"by: {who}{f', {reason}' if reason else ''}"


def _run(run: RunKey) -> tuple[str, str]:
    return run.dag_id, run.run_id
