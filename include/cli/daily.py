"""The commands ``days``, ``promote`` and ``rollback``: a model's daily chain and what serves (reference R27)."""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.cli.groups import Commands, add_oss_option, add_store_option, objects, open_store, table, user
from include.errors import ConfigError, NotFoundError
from include.notices import Tell, tell_nobody

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import date

    from include.daily.plan import FinetunePlan
    from include.ports import ObjectStore
    from include.store import Day, ExperimentStore, Promotion

_FOLDER = "e.g. include/models/movielens"
_BY_HAND = (
    " Runs of the model's DAG wait meanwhile; while one of them is at work, this is refused. "
    "Nobody is told and no asset event is made: the DAG promotion_<model> does that as well."
)


@dataclass(frozen=True)
class _ByHand:
    store: ExperimentStore
    objects: ObjectStore
    tell: Tell = tell_nobody


def add_to(commands: Commands) -> None:
    days = commands.add_parser(
        "days",
        help="show a model's daily chain, and what serves",
        description="Exit code 1 when what serves is older than --max-age-hours: for monitoring.",
        allow_abbrev=False,
    )
    days.add_argument("model", help="its name")
    days.add_argument("--max-age-hours", type=float, metavar="H", help="since the newest promotion")
    days.add_argument("--json", action="store_true", help="for scripts")
    add_store_option(days)
    days.set_defaults(run=_days)
    promote = commands.add_parser(
        "promote",
        help="let a day serve that the gate refused",
        description="Also publishes a promotion again." + _BY_HAND,
        allow_abbrev=False,
    )
    promote.add_argument("folder", type=Path, help=_FOLDER)
    promote.add_argument("date", help="business date, e.g. 20220617")
    promote.set_defaults(run=_promote)
    rollback = commands.add_parser(
        "rollback",
        help="serve an earlier promotion again",
        description="The next day continues from it. Its number: see days." + _BY_HAND,
        allow_abbrev=False,
    )
    rollback.add_argument("folder", type=Path, help=_FOLDER)
    rollback.add_argument("--to", type=int, required=True, metavar="N", help="number of the promotion")
    rollback.set_defaults(run=_rollback)
    for command in (promote, rollback):
        command.add_argument("--reason", required=True, help="for the record")
        command.add_argument(
            "--ended-run",
            default="",
            metavar="RUN_ID",
            help="this DAG run is over (marked failed, or deleted) and still has the lease: end its hold",
        )
        add_oss_option(command)
        add_store_option(command)


def _days(arguments: argparse.Namespace) -> int:
    from include.daily.promotion import age_hours
    from include.experiments.report import json_ready
    from include.experiments.services import utc_now

    most = arguments.max_age_hours
    if most is not None and not (math.isfinite(most) and most > 0):
        raise ConfigError(f"{most:g} hours make no sense", where="--max-age-hours", hint="more than 0")
    store, model = open_store(arguments), arguments.model
    chain, serving = store.current_chain(model), store.serving(model)
    if chain is None:
        known = ", ".join(dict.fromkeys(c.model for c in store.chains())) or "none"
        raise NotFoundError(f"model {model} has no daily chain yet", hint=f"models that have one: {known}")
    days, age = store.days(model, chain_id=chain.id), age_hours(serving, utc_now())
    too_old = "" if most is None else _too_old(model, age, most)
    if arguments.json:
        said = {
            "model": model,
            "chain": {"id": chain.id, "checkpoint": chain.origin.checkpoint},
            "days": [_as_dict(day) for day in days],
            "serves": None if serving is None else {**_promotion(serving), "age_hours": age},
            "too_old": bool(too_old),
        }
        print(json.dumps(json_ready(said), indent=2, ensure_ascii=False))
    else:
        print(f"chain {chain.id} from {chain.origin.checkpoint}")
        print(table([_row(day) for day in days]) if days else "no day yet")
        print("nothing serves yet" if serving is None or age is None else _serves(serving, age))
    if too_old:
        print(f"error: {too_old}", file=sys.stderr)
    return int(bool(too_old))


def _too_old(model: str, age: float | None, most: float) -> str:
    if age is None:
        return f"no model of {model} was ever promoted"
    return f"the last promotion of {model} is {age:.1f} hours old: more than {most:g}" if age > most else ""


def _serves(serving: Promotion, age: float) -> str:
    kind = "rollback to" if serving.kind == "rollback" else "day"
    return f"serves: promotion {serving.number} ({kind} {serving.bizdate}), {age:.1f} hours old, {serving.checkpoint}"


def _row(day: Day) -> dict[str, object]:
    return {
        "bizdate": day.bizdate,
        "repeat": day.repeat,
        "state": day.state.value,
        "metric": "" if day.metric is None else f"{day.metric:.5f}",
        "stale": "stale" if day.stale else "",
        "checkpoint": day.checkpoint_out or "",
        "reason": day.reason,
    }


def _as_dict(day: Day) -> dict[str, Any]:
    return {
        "bizdate": day.bizdate.isoformat(),
        "repeat": day.repeat,
        "state": day.state.value,
        "metric": day.metric,
        "metrics": dict(day.metrics),
        "stale": day.stale,
        "checkpoint": day.checkpoint_out,
        "model_dir": day.model_dir,
        "reason": day.reason,
        "run": str(day.run),
    }


def _promotion(serving: Promotion) -> dict[str, Any]:
    return {
        "promotion": serving.number,
        "kind": serving.kind,
        "bizdate": serving.bizdate.isoformat(),
        "checkpoint": serving.checkpoint,
        "promoted_at": serving.at.isoformat(),
        "by": serving.by,
        "reason": serving.reason,
    }


def _promote(arguments: argparse.Namespace) -> None:
    from include.daily.promotion import promote_day
    from include.finetune.calendar import parse_day

    bizdate = parse_day(arguments.date)
    by_hand, plan = _by_hand(arguments)
    with _lease(by_hand.store, plan.model, bizdate, arguments):
        promotion = promote_day(by_hand, plan, bizdate, by=user(), reason=arguments.reason)
        serving = by_hand.store.serving(plan.model)
    if promotion is None or serving is None or promotion.number != serving.number:
        print(f"{bizdate} is part of the chain; what serves did not change")
    if serving is not None:
        _published(plan, serving)
    print(f"days that were trained on another model are marked stale in: days {plan.model}")


def _rollback(arguments: argparse.Namespace) -> None:
    from include.daily.promotion import roll_back

    by_hand, plan = _by_hand(arguments)
    target = next((p for p in by_hand.store.promotions(plan.model) if p.number == arguments.to), None)
    if target is None:
        raise NotFoundError(
            f"model {plan.model} has no promotion {arguments.to}", hint=f"see: days {plan.model}"
        )
    with _lease(by_hand.store, plan.model, target.bizdate, arguments):
        promotion = roll_back(by_hand, plan, to=arguments.to, by=user(), reason=arguments.reason)
    _published(plan, promotion)


def _by_hand(arguments: argparse.Namespace) -> tuple[_ByHand, FinetunePlan]:
    """All that can be wrong before anything changes."""
    from include.daily.plan import FinetunePlan

    if not arguments.reason.strip():
        raise ConfigError("the reason is empty", where="--reason", hint="say in a few words why")
    user()
    plan = FinetunePlan.load(arguments.folder.resolve())
    return _ByHand(open_store(arguments), objects(arguments.oss_config)), plan


def _lease(
    store: ExperimentStore, model: str, bizdate: date, arguments: argparse.Namespace
) -> AbstractContextManager[None]:
    from include.daily.by_hand import lease_held, run_key
    from include.experiments.services import utc_now

    run = run_key(f"{user()}@{socket.gethostname()}:{os.getpid()}")
    return lease_held(store, model, run=run, bizdate=bizdate, now=utc_now(), ended_run=arguments.ended_run)


def _published(plan: FinetunePlan, serving: Promotion) -> None:
    print(f"promotion {serving.number} serves: {serving.bizdate}, {serving.checkpoint}")
    print(f"published: {plan.promotions_prefix}current.json")
