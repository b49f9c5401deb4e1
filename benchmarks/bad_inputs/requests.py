"""Requests that make no sense: form fields, control actions, and what the page is sent."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks.bad_inputs.damage import DAMAGES, VALUES
from benchmarks.bad_inputs.lab import Case, Lab
from include.errors import EasyRecAutoMLError
from include.experiments import control
from include.experiments.control import Control
from include.experiments.limits import change_limits
from include.experiments.opening import open_experiment
from include.experiments.plan import Plan

FORM: dict[str, Any] = {
    "max_duration_hours": (int, float),
    "seed": int,
    "experiment": str,
    "custom_parameters": (list, dict),
}
"""Fields and the types that Airflow lets through; it checks the others' ranges, too."""


def _form_case(lab: Lab, rng: random.Random) -> Case:
    from easyrec.operators.begin_search import open_request  # needs Airflow

    name, extends = rng.choice(list(FORM)), rng.random() < 0.3
    value = rng.choice([value for value in VALUES if isinstance(value, FORM[name])])
    form: dict[str, Any] = dict.fromkeys(FORM)

    def run() -> None:
        if extends:
            form["experiment"] = lab.open()
            lab.settle()
        request = open_request({**form, "trials": 2, name: value})
        plan = Plan.load(lab.model)
        open_experiment(lab.services(), plan, request, dag_id="dag", run_id="run", by="bench")

    return Case(f"form field {name}", f"{value!r:.30}", run)


NUMBERS: tuple[int, ...] = (0, 1, -1, 2, 1001, 10**6, 10**30, 10**400)
HOURS: tuple[Any, ...] = (0.0, -1.0, float("nan"), float("inf"), 1e300, 10**400)
PARAMETERS: tuple[dict[str, Any], ...] = (
    *(v for v in VALUES if isinstance(v, dict)),
    {"data_config.batch_size": float("nan")}, {"data_config.batch_size": {"_name": "x"}}, {"": 1}, {"a[": 1},
    {"x" * 5000: 1}, {"data_config.batch_size": 10**400}, {"\ud800": 1}, {"data_config.batch_size": "\0"},
)  # fmt: skip
SEARCHES: tuple[str, ...] = ("", "movielens-00000000", "../..", "\0", "\ud800", "x" * 10_000)


def _control_case(lab: Lab, rng: random.Random) -> Case:
    number, hours, parameters = rng.choice(NUMBERS), rng.choice(HOURS), rng.choice(PARAMETERS)
    numbers, sets = rng.choice(([], [number], [0, 0, number], [1] * 10_000)), rng.choice((1, 3, 10_000))
    elsewhere = rng.choice(SEARCHES) if rng.random() < 0.2 else None
    calls: dict[str, Callable[[Control, str], object]] = {
        "set_concurrency": lambda c, e: control.set_concurrency(c, e, number),
        "change_limits trials": lambda c, e: change_limits(c, e, trials=number),
        "change_limits hours": lambda c, e: change_limits(c, e, hours=hours),
        "change_limits both": lambda c, e: change_limits(c, e, trials=number, hours=hours),
        "stop_trials": lambda c, e: control.stop_trials(c, e, numbers),
        "stop_search": control.stop_search,
        "add_trials": lambda c, e: control.add_trials(c, e, [parameters] * sets),
        "clone_trial": lambda c, e: control.clone_trial(c, e, number, parameters),
        "retry_failed": lambda c, e: control.retry_failed(c, e, numbers),
        "extend": lambda c, e: control.extend(c, e, number),
        "resume": control.resume,
        "pause": control.pause,
    }
    name = rng.choice(list(calls))

    def run() -> None:
        experiment = lab.open_with_trials()
        calls[name](lab.control(), experiment if elsewhere is None else elsewhere)

    given = hours if "hours" in name else parameters if "add" in name else number
    return Case(f"control {name}", f"{given!r:.30}", run)


BODIES: dict[str, dict[str, Any]] = {
    "concurrency": {"slots": 3},
    "limits": {"trials": 9, "hours": 2.5},
    "pause": {},
    "resume": {},
    "stop": {},
    "extend": {"trials": 1},
    "add": {"parameters": [{"data_config.batch_size": 64}]},
    "retry": {"numbers": [0]},
    "stop-trials": {"numbers": [1]},
    "trials/0/clone": {"changes": {"data_config.batch_size": 64}},
    "trials/0/adopt": {"reason": "better"},
}
"""What the page posts below a search."""


def _body_case(lab: Lab, rng: random.Random) -> Case:
    path, value = rng.choice(list(BODIES)), rng.choice(VALUES)
    body = dict(BODIES[path])
    damage = f"{value!r:.30}"
    if rng.random() < 0.6:
        body[rng.choice([*body, "no_such_field"])] = value if rng.random() < 0.7 else [value]
        sent = json.dumps(body).encode()
    else:
        damage = rng.choice(list(DAMAGES))
        sent = DAMAGES[damage](json.dumps(body, indent=1).encode(), rng)
    kind = rng.choice(("application/json", "application/json; charset=utf-16", "text/plain", ""))

    def run() -> None:
        _answered(lab.page.post(f"/api/experiments/{lab.open_with_trials()}/{path}", sent, kind))

    return Case(f"page POST {path}", damage, run)


def _address_case(lab: Lab, rng: random.Random) -> Case:
    first, second = (
        quote(
            rng.choice((b"\0", b"\xff", b"", b"x", b"-1", b"9" * 30, b"9" * 5000, b"nan", b"../..", b"[")), ""
        )
        for _ in range(2)
    )
    path = rng.choice(
        ("experiments?model={a}", "experiments/{a}", "experiments/{a}/trials", "task?dag_id={a}&run_id={b}&task_id=t",
         "task?dag_id=d&run_id=r&task_id=t&map_index={a}", "models/{a}/days?chain={b}", "dags/{a}/runs/{b}",
         "{search}/trials/{a}", "{search}/plots/{a}", "{search}/plots/intermediate?trials={a}",
         "{search}/plots/slice?parameter={a}&parameter={b}", "{search}/plots/intermediate?trials=0,{a}",
         "{search}/trials/{a}/events.zip", "{search}/files?x={a}")
    )  # fmt: skip

    def run() -> None:
        search = f"experiments/{lab.open_with_trials()}"
        _answered(lab.page.get("/api/" + path.format(a=first, b=second, search=search)))

    return Case(f"page GET {path}", f"{first:.20} {second:.20}", run)


def _answered(answer: httpx.Response) -> None:
    """A refusal as the error it tells; anything but a refusal or a success is a fault of ours."""
    if answer.status_code >= 500:
        raise AssertionError(f"{answer.status_code}: {answer.text[:200]}")
    if answer.status_code >= 400:
        detail = answer.json()["detail"]
        raise EasyRecAutoMLError(detail if isinstance(detail, str) else f"Traceback? {detail}")


CASES = (*[_form_case] * 2, *[_control_case] * 3, *[_body_case] * 3, *[_address_case] * 2)
