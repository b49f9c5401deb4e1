"""What serves: the store decides, numbered objects on OSS tell everybody else (design section 6).

``<prefix>000012.json`` is written once and never again, so a reader never sees half of one and the history
stays; ``<prefix>current.json`` is the newest of them under a fixed name.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Protocol

from include import names
from include.daily.plan import FinetunePlan
from include.daily.telling import chain_mended, day_promoted, rolled_back
from include.errors import AlreadyExistsError, NotFoundError, PermanentError
from include.experiments.checkpoints import find_checkpoint
from include.experiments.report import json_ready
from include.notices import Tell
from include.ports import ObjectStore
from include.store import Day, DayState, ExperimentStore, Promotion, current_days

CURRENT = "current.json"


class Publisher(Protocol):
    """What a promotion needs of ``Services``: no jobs, no tables."""

    @property
    def store(self) -> ExperimentStore: ...

    @property
    def objects(self) -> ObjectStore: ...

    @property
    def tell(self) -> Tell: ...


def publish(services: Publisher, plan: FinetunePlan, promotion: Promotion) -> bool:
    """Write the promotion's pointer, and let ``current.json`` name what serves. Safe to repeat.

    Returns whether readers could not see it before. Raises PermanentError when its number was published by
    another store.
    """
    is_new = _write_once(services, plan, promotion)
    current = names.join_url(plan.promotions_prefix, CURRENT)
    while True:
        serving = services.store.serving(plan.model)
        if serving is None:
            return is_new
        if serving.number != promotion.number:
            _write_once(services, plan, serving)
        body = _body(services, serving)
        there = _read(services, current)
        if there != body:
            services.objects.write(current, body)
            known = there is not None and _identity(there) == _identity(body)
            is_new = is_new or (serving.number == promotion.number and not known)
        newest = services.store.serving(plan.model)
        # One that was promoted meanwhile may have been published before our write, which then hid it.
        if newest is not None and newest.number == serving.number:
            return is_new


def _write_once(services: Publisher, plan: FinetunePlan, promotion: Promotion) -> bool:
    """Whether the numbered pointer was not there before."""
    url = names.join_url(plan.promotions_prefix, f"{promotion.number:06d}.json")
    body = _body(services, promotion)
    try:
        services.objects.write(url, body, overwrite=False)
    except AlreadyExistsError:
        published = _identity(services.objects.read(url))
        if published is None or published != _identity(body):
            raise PermanentError(
                "this promotion was published by another installation",
                where=url,
                hint="give each installation a folder of its own: finetune.promotions in model.yml",
            ) from None
        return False
    return True


_IDENTITY = ("model", "number", "kind", "bizdate", "checkpoint", "promoted_at", "store")
"""What tells a promotion from every other one; further fields may be written otherwise by other releases."""


def _identity(body: bytes) -> tuple[Any, ...] | None:
    """None for what is no pointer."""
    try:
        pointer = json.loads(body)
        return tuple(pointer[key] for key in _IDENTITY)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _read(services: Publisher, url: str) -> bytes | None:
    try:
        return services.objects.read(url)
    except NotFoundError:
        return None


def promote(
    services: Publisher,
    plan: FinetunePlan,
    day: Day,
    *,
    by: str,
    reason: str = "",
    export_dir: str | None = None,
) -> tuple[Promotion | None, list[Day]]:
    """Let a trained day serve: record it, publish the pointer, tell people. Safe to repeat.

    Also returns later days that were trained on what it replaces. No promotion (None) when a later day of
    the chain serves already.
    """
    config = names.saved_pipeline_config(day.model_dir)
    promotion, stale = services.store.promote_day(
        day.id, by=by, reason=reason, export_dir=export_dir, config_url=config
    )
    if promotion is None:
        if day.state is not DayState.PROMOTED:  # else it was told before
            serving = services.store.serving(plan.model)
            services.tell(chain_mended(day, serving, stale, by=by, reason=reason))
    elif publish(services, plan, promotion):
        services.tell(day_promoted(day, promotion, stale))
    return promotion, stale


def roll_back(services: Publisher, plan: FinetunePlan, *, to: int, by: str, reason: str) -> Promotion:
    """Serve an earlier promotion again; tomorrow's training continues from it. Safe to repeat.

    One of an older chain only serves: the current chain's next day starts from that chain's origin. What
    serves is published first, so that keys that OSS refuses change nothing. Raises NotFoundError for an
    unknown number or a model that was removed, StateError when it serves already for another reason.
    """
    promotion = _rollback_that_serves(services.store, plan.model, to, by, reason)
    if promotion is None:
        target = next((p for p in services.store.promotions(plan.model) if p.number == to), None)
        if target is not None:
            find_checkpoint(services.objects, target.checkpoint)  # it may have been removed (keep_days)
        _publish_serving(services, plan)
        promotion = services.store.roll_back(plan.model, to=to, by=by, reason=reason)
    if publish(services, plan, promotion):
        services.tell(rolled_back(promotion, services.store.current_chain(plan.model)))
    return promotion


def _rollback_that_serves(
    store: ExperimentStore, model: str, to: int, by: str, reason: str
) -> Promotion | None:
    """The same rollback, if an earlier try recorded it; it may have died before the pointer was written."""
    serving = store.serving(model)
    if serving is None or (serving.kind, serving.by, serving.reason) != ("rollback", by, reason):
        return None
    target = next((p for p in store.promotions(model) if p.number == to), None)
    same = target is not None and target.checkpoint == serving.checkpoint
    return serving if same else None


def promote_day(
    services: Publisher, plan: FinetunePlan, bizdate: Any, *, by: str, reason: str
) -> Promotion | None:
    """A person lets a day serve that the gate refused (or publishes a promotion again).

    What serves is published first, so that keys that OSS refuses change nothing.
    Raises NotFoundError when the current chain has no trained model of that day, or it was removed.
    """
    store = services.store
    chain = store.current_chain(plan.model)
    days = current_days(store.days(plan.model, chain_id=chain.id)) if chain is not None else {}
    day = days.get(bizdate)
    if day is None or day.checkpoint_out is None or day.state is DayState.FAILED:
        there = ", ".join(f"{d} ({r.state.value.lower()})" for d, r in days.items()) or "none"
        raise NotFoundError(f"model {plan.model} has no trained model of {bizdate}", hint=f"days: {there}")
    if day.state is not DayState.PROMOTED:  # else an earlier try may have died before it published
        find_checkpoint(services.objects, day.checkpoint_out)
        _publish_serving(services, plan)
    promotion, _ = promote(services, plan, day, by=by, reason=reason)
    return promotion


def _publish_serving(services: Publisher, plan: FinetunePlan) -> None:
    serving = services.store.serving(plan.model)
    if serving is not None:
        publish(services, plan, serving)


def age_hours(promotion: Promotion | None, now: datetime) -> float | None:
    """Hours since the last promotion; None when nothing was ever promoted."""
    return None if promotion is None else (now - promotion.at).total_seconds() / 3600


def _body(services: Publisher, promotion: Promotion) -> bytes:
    return json.dumps(_pointer(services.store.uuid, promotion), indent=2, ensure_ascii=False).encode()


def _pointer(store_uuid: str, promotion: Promotion) -> dict[str, Any]:
    pointer = {
        "model": promotion.model,
        "number": promotion.number,
        "kind": promotion.kind,
        "bizdate": promotion.bizdate.isoformat(),
        "checkpoint": promotion.checkpoint,
        "model_dir": promotion.model_dir,
        "export_dir": promotion.export_dir,
        "pipeline_config": promotion.config_url,
        "metric": promotion.metric,
        "metrics": dict(promotion.metrics),
        "promoted_at": promotion.at.isoformat(),
        "by": promotion.by,
        "reason": promotion.reason,
        "store": store_uuid,
    }
    ready: dict[str, Any] = json_ready(pointer)
    return ready
