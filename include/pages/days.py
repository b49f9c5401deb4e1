"""A model's daily finetune: its chain by day, with holes, gates, promotions and stale marks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from include.daily.promotion import age_hours
from include.errors import NotFoundError
from include.experiments.report import json_ready
from include.finetune.calendar import business_date, previous
from include.finetune.settings import FinetuneSettings
from include.pages.experiments import Readable
from include.store import Adoption, Chain, Day, ExperimentStore, Promotion, current_days

_MOST_DUE = 31
"""Squares of dates that have no day yet: a chain that ended years ago would have thousands."""


def models_with_days(store: ExperimentStore, may_read: Readable) -> list[str]:
    """Models that have a chain, as far as the person may read the DAGs of their days."""
    models = dict.fromkeys(chain.model for chain in store.chains())
    return [model for model in models if any(may_read(d.run.dag_id) for d in store.days(model))]


def dags_of(store: ExperimentStore, model: str) -> set[str]:
    """The DAGs that trained the model's days. Raises NotFoundError for a model without any."""
    found = {day.run.dag_id for day in store.days(model)}
    if not found:
        raise NotFoundError(f"model {model} has no day yet", hint="run its DAG daily_finetune_<model> first")
    return found


def last_due(settings: FinetuneSettings, now: datetime) -> date:
    """The last date whose day should have begun: its data is there, and that of the next day if it is judged by it."""
    complete = business_date(interval_start=None, run_after=now, timezone=settings.timezone)
    if settings.evaluation == "next_day":
        complete = previous(complete)
    return min(complete, settings.last_bizdate or complete)


def calendar(
    store: ExperimentStore,
    model: str,
    now: datetime,
    chain_id: str | None = None,
    *,
    due: date | None = None,
) -> dict[str, Any]:
    """The days of a chain (the current one without ``chain_id``), every repeat of them, and what serves.

    ``days``: one entry for each date from the chain's first to its last; a date without any day is a hole.
    ``due``: the last date that the current chain should have a day of. Those after its last day follow, at most
    31 of them, marked ``due``; ``overdue`` says since when, and how many there are.
    Raises NotFoundError.
    """
    chains = store.chains(model)
    wanted = [c for c in chains if chain_id in (None, c.id)]
    chain = wanted[-1] if wanted else None
    if chain is None:
        raise NotFoundError(f"model {model} has no chain {chain_id or ''}".rstrip())
    days, promotions = store.days(model, chain_id=chain.id), store.promotions(model)
    serving = store.serving(model)
    last = max((d.bizdate for d in days), default=None)
    missing = 0
    if due is not None and last is not None and chain == chains[-1]:
        missing = max(0, (due - last).days)
    said: dict[str, Any] = json_ready(
        {
            "model": model,
            "now": now,
            "chain": _chain(chain),
            "chains": [c.id for c in chains],
            "days": [*_by_date(days, promotions), *_due_after(last, min(missing, _MOST_DUE))],
            "overdue": {"since": last.isoformat(), "count": missing} if last and missing else None,
            "promotions": [_promotion(p) for p in promotions],
            "serves": _promotion(serving) if serving else None,
            "serves_age_hours": age_hours(serving, now),
            "adopted": _adoption(store.adoption(model)),
        }
    )
    return said


def _by_date(days: Sequence[Day], promotions: Sequence[Promotion]) -> list[dict[str, Any]]:
    if not days:
        return []
    current = current_days(days)
    first, last = min(d.bizdate for d in days), max(d.bizdate for d in days)
    numbers: dict[tuple[date, int], list[int]] = {}
    for promotion in promotions:
        numbers.setdefault((promotion.bizdate, promotion.repeat), []).append(promotion.number)
    entries = []
    for offset in range((last - first).days + 1):
        bizdate = first + timedelta(days=offset)
        tries = [_day(d, numbers.get((d.bizdate, d.repeat), [])) for d in days if d.bizdate == bizdate]
        counting = current.get(bizdate)
        shown = next((t for t in tries if counting and t["repeat"] == counting.repeat), None)
        entries.append({"bizdate": bizdate.isoformat(), "day": shown, "tries": tries, "due": False})
    return entries


def _due_after(last: date | None, count: int) -> list[dict[str, Any]]:
    dates = [last + timedelta(days=1 + n) for n in range(count)] if last else []
    return [{"bizdate": each.isoformat(), "day": None, "tries": [], "due": True} for each in dates]


def _day(day: Day, promotions: Sequence[int]) -> dict[str, Any]:
    return {
        "id": day.id,
        "repeat": day.repeat,
        "state": day.state.value,
        "reason": day.reason,
        "metric": day.metric,
        "metrics": day.metrics,
        "stale": day.stale,
        "promotions": list(promotions),
        "begun_at": day.begun_at,
        "seconds": (day.trained_at - day.begun_at).total_seconds() if day.trained_at else None,
        "checkpoint_in": day.checkpoint_in,
        "checkpoint_out": day.checkpoint_out,
        "model_dir": day.model_dir,
        "dag_id": day.run.dag_id,
        "run_id": day.run.run_id,
    }


def _chain(chain: Chain) -> dict[str, Any]:
    origin = chain.origin
    return {
        "id": chain.id,
        "number": chain.number,
        "checkpoint": origin.checkpoint,
        "experiment": origin.experiment,
        "trial": origin.trial,
        "learning_rates": list(origin.learning_rates),
        "created_at": chain.created_at,
        "created_by": chain.created_by,
    }


def _adoption(adoption: Adoption | None) -> dict[str, Any] | None:
    """None also when what was adopted was taken back."""
    if adoption is None or not adoption.edits:
        return None
    return {
        "number": adoption.number,
        "edits": dict(adoption.edits),
        "experiment": adoption.experiment,
        "trial": adoption.trial,
        "by": adoption.by,
        "reason": adoption.reason,
        "at": adoption.at,
    }


def _promotion(promotion: Promotion) -> dict[str, Any]:
    return {
        "number": promotion.number,
        "kind": promotion.kind,
        "bizdate": promotion.bizdate.isoformat(),
        "checkpoint": promotion.checkpoint,
        "metric": promotion.metric,
        "by": promotion.by,
        "reason": promotion.reason,
        "at": promotion.at,
    }
