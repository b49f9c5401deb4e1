"""Faults on request: what goes wrong on the wire and in jobs when a test or a curious user says so.

They live in memory: a restarted sandbox has none.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from include.errors import ConfigError

CONTROL = "/_sandbox"
"""Paths of the sandbox's own door, where nothing ever goes wrong."""
WIRE_KINDS = ("status", "throttle", "reset_before", "reset_after_commit", "slow", "cut_body")
JOB_SERVICE = "job"
SERVICES = ("odps", "oss", JOB_SERVICE)
_TYPES: dict[str, type] = {"count": int, "status": int, "seconds": float, "options": dict}
_THROTTLED = {"odps": (429, "TooManyRequests"), "oss": (429, "QpsLimitExceeded")}


@dataclass(frozen=True)
class Fault:
    """One kind of trouble, injected ``count`` times.

    ``service`` is ``odps``, ``oss`` or ``job``. On the wire ``method`` (empty: any) and ``path`` (a regular
    expression searched in path and query) choose the requests, and ``kind`` is one of

    - ``status``: answer ``status`` with ``code`` and ``message`` (403 with ``NoPermission`` or OSS's
      ``AccessDenied``: a missing right), or with ``body`` as a gateway's HTML page;
    - ``throttle``: 429 the way the service says it;
    - ``reset_before``, ``reset_after_commit``: the connection is reset before or after the request is
      carried out;
    - ``slow``: ``seconds`` pass first (``seconds`` may be combined with any other kind);
    - ``cut_body``: half of the answer, then the end of the connection.

    For ``job``, ``path`` is searched in the job's ``model_dir`` and ``kind`` and ``options`` are the
    trainer's (``include.sandbox.trainer.job.Fault``): they reach it in ``job.json``.
    """

    service: str
    kind: str
    method: str = ""
    path: str = ""
    count: int = 1
    status: int = 503
    code: str = "ServiceUnavailable"
    message: str = "injected by the sandbox"
    body: str = ""
    seconds: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Fault:
        """From JSON. Raises ConfigError naming the nearest known option, service or kind."""
        known = [each.name for each in fields(cls)]
        for name in values:
            _check(name, known, "option of a fault")
        for name, value in values.items():
            kind = _TYPES.get(name, str)
            if not isinstance(value, (int, float) if kind is float else kind):
                raise ConfigError(f"{name} of a fault is {value!r}", hint=f"give a {kind.__name__}")
        if "service" not in values or "kind" not in values:
            raise ConfigError("a fault needs a service and a kind", hint=f"services: {', '.join(SERVICES)}")
        _check(values["service"], SERVICES, "service")
        if values["service"] != JOB_SERVICE:
            _check(values["kind"], WIRE_KINDS, "kind of fault")
        if values["kind"] == "throttle" and values["service"] in _THROTTLED:
            status, code = _THROTTLED[values["service"]]
            values = {"status": status, "code": code, **values, "kind": "status"}
        if values.get("count", 1) < 1:
            raise ConfigError(f"a fault can't happen {values['count']} times", hint="count is 1 or more")
        try:
            re.compile(values.get("path", ""))
        except re.error as error:
            raise ConfigError(
                f"path {values['path']!r} is not a regular expression", hint=str(error)
            ) from error
        return cls(**values)


class FaultBook:
    """Faults still to be injected, and how many were. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int]] = []
        self._injected: dict[str, int] = {}

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append((fault, fault.count))

    def clear(self) -> None:
        """Forget the faults to come and the counts."""
        with self._lock:
            self._waiting.clear()
            self._injected.clear()

    def take(self, service: str, method: str, target: str) -> Fault | None:
        """The first fault that applies, used up by one."""
        if target.startswith(f"{CONTROL}/"):
            return None
        with self._lock:
            for index, (fault, _) in enumerate(self._waiting):
                if fault.service == service and _applies(fault, method, target):
                    return self._use(index)
        return None

    def take_for_job(self, model_dir: str) -> list[Fault]:
        """Every job fault that applies to a job that starts now, each used up by one."""
        with self._lock:
            hits = [
                index
                for index, (fault, _) in enumerate(self._waiting)
                if fault.service == JOB_SERVICE and re.search(fault.path, model_dir)
            ]
            return [self._use(index) for index in reversed(hits)][::-1]

    def state(self) -> dict[str, Any]:
        """``waiting`` faults with what is left of their counts, and ``injected`` counts by service.kind."""
        with self._lock:
            waiting = [{**asdict(fault), "count": left} for fault, left in self._waiting]
            return {"waiting": waiting, "injected": dict(self._injected)}

    def _use(self, index: int) -> Fault:
        fault, left = self._waiting[index]
        if left > 1:
            self._waiting[index] = (fault, left - 1)
        else:
            del self._waiting[index]
        name = f"{fault.service}.{fault.kind}"
        self._injected[name] = self._injected.get(name, 0) + 1
        return fault


def _applies(fault: Fault, method: str, target: str) -> bool:
    return (not fault.method or fault.method == method) and bool(re.search(fault.path, target))


def _check(given: str, known: tuple[str, ...] | list[str], what: str) -> None:
    if given not in known:
        near = difflib.get_close_matches(str(given), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"there is no {what} {given!r}", hint=hint)
