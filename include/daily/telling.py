"""What people are told of a model's days: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from include.daily.chain import Continuation
from include.finetune.gate import Verdict
from include.notices import Kind, Notice, number
from include.store import Chain, Day, Promotion, RunKey


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
    later = ", ".join(str(d.bizdate) for d in stale)
    do = f"run these stale days again (retrain_later): {later}" if stale else "nothing"
    return Notice(
        Kind.PROMOTED,
        day.model,
        title=day.bizdate.isoformat(),
        lines=(
            f"promotion {promotion.number}: {promotion.checkpoint}",
            f"metric: {number(promotion.metric)}",
            _by(promotion),
            f"to do: {do}",
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
            _by(promotion),
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


def _by(promotion: Promotion) -> str:
    return f"by: {promotion.by}{f', {promotion.reason}' if promotion.reason else ''}"


def _run(run: RunKey) -> tuple[str, str]:
    return run.dag_id, run.run_id
