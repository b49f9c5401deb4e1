"""What goes wrong and when, from a seed: pure, the same seed gives the same plan."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

WIRE, JOB = "wire", "job"
EVENTS: Mapping[str, int] = {
    "kill task": 5,
    "kill supervisor": 4,
    "kill triggerer": 3,
    "kill scheduler": 2,
    "kill api-server": 2,
    "kill sandbox": 3,
    "freeze triggerer": 1,
    "clear trial": 2,
    "fail trial": 2,
    "fail trial unwatched": 1,
    "clear day": 2,
    "fail day": 1,
    "fail run": 1,
    "store locked": 1,
    "store down": 1,
    "disk full": 1,
    "clock step": 2,
}
"""How often each happens in a plan of full size."""


@dataclass(frozen=True)
class Action:
    """``at``: share of the work that has ended when it happens, from 0 to 1."""

    at: float
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


def make_plan(seed: int, *, wire: int = 200, events: Mapping[str, int] = EVENTS) -> tuple[Action, ...]:
    """``wire`` faults on the wire, an eighth as many in jobs, and ``events``, in order of time."""
    dice = random.Random(seed)
    actions = [Action(dice.uniform(0.0, 0.9), WIRE, _wire_fault(dice)) for _ in range(wire)]
    actions += [Action(dice.uniform(0.0, 0.9), JOB, _job_fault(dice)) for _ in range(wire // 8)]
    for kind, count in events.items():
        # Apart from each other: each meets work in another state.
        slots = [(n + dice.uniform(0.1, 0.9)) / max(count, 1) for n in range(count)]
        actions += [Action(0.03 + 0.87 * slot, kind, {"seed": dice.randrange(2**31)}) for slot in slots]
    return tuple(sorted(actions, key=lambda action: (action.at, action.kind)))


def summary(plan: tuple[Action, ...]) -> Counter[str]:
    return Counter(action.kind for action in plan)


def _wire_fault(dice: random.Random) -> dict[str, Any]:
    service = dice.choice(("odps", "oss"))
    return {"service": service, **dice.choice(_WIRE_KINDS)(dice)}


def _burst(dice: random.Random) -> dict[str, Any]:
    status, code = dice.choice(((500, "InternalError"), (503, "ServiceUnavailable"), (502, "BadGateway")))
    return {"kind": "status", "status": status, "code": code}


_WIRE_KINDS: tuple[Callable[[random.Random], dict[str, Any]], ...] = (
    _burst,
    lambda _: {"kind": "throttle"},
    lambda _: {"kind": "reset_before"},
    lambda _: {"kind": "reset_after_commit"},
    lambda dice: {"kind": "slow", "seconds": round(dice.uniform(0.5, 4.0), 1)},
    lambda _: {"kind": "cut_body", "method": "GET"},
    lambda _: {"kind": "status", "status": 502, "body": "<html>a gateway's page</html>"},
    # The requests that cost money: an answer to a submit or a stop that never arrives.
    lambda _: {"kind": "reset_after_commit", "method": "POST", "path": "/instances", "service": "odps"},
    lambda _: {"kind": "reset_before", "method": "PUT", "path": "/instances/", "service": "odps"},
)


def _job_fault(dice: random.Random) -> dict[str, Any]:
    kind, options = dice.choice(_JOB_KINDS)(dice)
    path = dice.choice(("/model/", "/model/", "/finetune/"))
    return {"service": "job", "kind": kind, "path": path, "options": options}


_JOB_KINDS: tuple[Callable[[random.Random], tuple[str, dict[str, Any]]], ...] = (
    lambda _: ("job_fail", {"step": 2}),
    lambda _: ("job_hang", {"step": 2}),
    lambda _: ("torn_event", {"step": 1}),
    lambda _: ("torn_event", {"step": 1}),
    lambda _: ("late_events", {}),
    lambda _: ("late_events", {}),
    lambda _: ("rotate_events", {}),
    lambda dice: ("slow", {"factor": round(dice.uniform(1.5, 3.0), 1)}),
)
