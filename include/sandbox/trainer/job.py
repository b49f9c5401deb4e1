"""A job as the service hands it to the trainer: read once, checked, frozen."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from include.errors import ConfigError

FAULTS: tuple[str, ...] = ("job_fail", "job_hang", "torn_event", "corrupt_event", "late_events")
FAULTS += ("rotate_events", "missing_tag", "nan_metric", "slow")
_EVAL_METHODS = ("none", "master", "separate")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong on purpose.

    ``job_fail``/``job_hang``: at ``step`` the job dies, or lives on without doing anything.
    ``torn_event``/``corrupt_event``: the evaluation record of the first checkpoint from ``step`` on stays
    half written until the next one, or has a wrong checksum. ``late_events``: evaluation records appear when
    the job ends. ``rotate_events``: each evaluation goes to a new file. ``missing_tag``: ``tag`` is never
    reported. ``nan_metric``: ``tag`` is NaN from ``step`` on. ``slow``: the job takes ``factor`` times as
    long.
    """

    kind: str
    step: int = 0
    tag: str = ""
    factor: float = 1.0

    @classmethod
    def read(cls, body: Mapping[str, Any] | str) -> Fault:
        if isinstance(body, str):
            body = {"kind": body}
        elif "options" in body:
            # As the sandbox's fault book hands it over: the rest of it is the book's own business.
            body = {"kind": body.get("kind"), **body["options"]}
        known = {item.name for item in fields(cls)}
        for key in body:
            if key not in known:
                raise ConfigError(f"unknown option {key!r} of a fault", hint=_nearest(key, known))
        if body.get("kind") not in FAULTS:
            kind = str(body.get("kind"))
            raise ConfigError(f"unknown fault {kind!r}", hint=_nearest(kind, FAULTS))
        return cls(**body)


@dataclass(frozen=True)
class Job:
    """``parameters`` are the xflow's, without ``-D``.

    ``speed``: 0 trains as fast as possible; otherwise training is stretched to at least
    ``2.5 / speed`` seconds, so that people can watch a curve grow. ``seed`` decides everything random.
    """

    job_id: str
    parameters: Mapping[str, str]
    oss_root: Path
    tables_root: Path
    log: Path | None = None
    speed: float = 1.0
    seed: int = 0
    faults: tuple[Fault, ...] = field(default=())

    @classmethod
    def read(cls, text: str) -> Job:
        """Raises ConfigError for unknown or missing keys."""
        body = json.loads(text)
        known = {item.name for item in fields(cls)}
        for key in body:
            if key not in known:
                raise ConfigError(f"unknown key {key!r}", where="job.json", hint=_nearest(key, known))
        try:
            return cls(
                job_id=str(body["job_id"]),
                parameters={key: str(value) for key, value in body["parameters"].items()},
                oss_root=Path(body["oss_root"]),
                tables_root=Path(body["tables_root"]),
                log=Path(body["log"]) if body.get("log") else None,
                speed=float(1.0 if body.get("speed") is None else body["speed"]),
                seed=int(body.get("seed") or 0),
                faults=tuple(Fault.read(fault) for fault in body.get("faults") or ()),
            )
        except KeyError as error:
            raise ConfigError(f"key {error} is missing", where="job.json") from error

    def parameter(self, name: str, default: str = "") -> str:
        return self.parameters.get(name) or default

    def fault(self, kind: str) -> Fault | None:
        return next((fault for fault in self.faults if fault.kind == kind), None)

    @property
    def workers(self) -> int:
        """Workers of ``-Dcluster``; an evaluator named there counts as one. ConfigError when unreadable."""
        text = self.parameter("cluster")
        if not text:
            return 1
        try:
            cluster = json.loads(text)
            return sum(
                int(cluster[role].get("count", 1)) for role in ("worker", "evaluator") if role in cluster
            )
        except (ValueError, AttributeError, TypeError) as error:
            raise ConfigError(f"not a cluster: {error}", where="-Dcluster") from error

    @property
    def eval_method(self) -> str:
        """``none``, ``master`` or ``separate``; the last needs a worker that does nothing else."""
        method = self.parameter("eval_method", "separate")
        if self.parameter("with_evaluator", "0") not in ("0", "false", "False"):
            method = "separate"
        if method not in _EVAL_METHODS:
            raise ConfigError(f"invalid eval_method {method}", hint=f"one of {', '.join(_EVAL_METHODS)}")
        if method == "separate" and self.workers < 2:
            raise ConfigError(
                f"eval_method=separate needs at least 2 workers, the cluster has {self.workers}",
                where="-Dcluster",
                hint='one of them evaluates: {"worker":{"count":2,…}}, or eval_method=master',
            )
        return method


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
