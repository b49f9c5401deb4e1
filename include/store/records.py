"""What the store keeps, as frozen records. All times are timezone-aware and in UTC."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.errors import ConfigError, StateError
from include.names import StepId
from include.ports import TrialRecord
from include.search.trial import TrialState

SEARCHES = ("begin", "finetune")
"""Kinds of experiments that search."""
_KINDS = (*SEARCHES, "job")


class ExperimentState(enum.Enum):
    """``RUNNING ⇄ PAUSED → FINISHED | FAILED | CANCELLED``; an extension run goes back to RUNNING."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        return self in (ExperimentState.FINISHED, ExperimentState.FAILED, ExperimentState.CANCELLED)

    def to(self, new: ExperimentState) -> ExperimentState:
        """``new`` if this transition exists, StateError otherwise. Staying is always allowed."""
        if self.is_terminal and new not in (self, ExperimentState.RUNNING):
            raise StateError(
                f"an experiment can't go from {self.value} to {new.value}",
                hint=f"from {self.value} it can only go on ({ExperimentState.RUNNING.value})",
            )
        return new


class StepState(enum.Enum):
    """A step's states: ``INTENDED → SUBMITTED → RUNNING → SUCCEEDED | FAILED | STOPPED``."""

    INTENDED = "INTENDED"
    """About to be submitted. The job may exist although its id is not known yet: look the key up."""
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"

    @property
    def is_terminal(self) -> bool:
        return self in (StepState.SUCCEEDED, StepState.FAILED, StepState.STOPPED)


@dataclass(frozen=True)
class TaskKey:
    """The Airflow task instance that owns a trial: the part that no retry and no clear changes."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.run_id}/{self.task_id}[{self.map_index}]"


@dataclass(frozen=True)
class NewExperiment:
    """What ``create_experiment`` is given.

    ``snapshot``: everything the search runs with (search space, ini, pipeline config, tuner…) as
    plain JSON values. ``max_trials`` and ``deadline``: None for no limit.
    """

    id: str
    model: str
    kind: str
    """``begin`` or ``finetune``; ``job`` for a PAI job outside of a search: one trial, nothing to choose."""
    dag_id: str
    run_id: str
    seed: int
    optimize_mode: str
    """``maximize`` or ``minimize``."""
    max_trials: int | None
    deadline: datetime | None
    snapshot: Mapping[str, Any]
    created_by: str

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, _KINDS)
        _one_of("optimize_mode", self.optimize_mode, ("maximize", "minimize"))
        check_limits(self.max_trials, self.deadline)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"the seed is {self.seed}", hint="a number from 0 to 2**63 - 1")


@dataclass(frozen=True)
class Experiment(NewExperiment):
    """One search. ``asks``: how many trials it has; the next one gets this number."""

    state: ExperimentState
    reason: str
    asks: int
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class WorkInProgress:
    """Of the DAG runs at work on an experiment.

    ``since``: when the newest of them began, or began anew; durations count from there. ``idle_tasks``: how
    many of their mapped tasks have not asked yet and were not skipped: so many can still come.
    None when nobody said how many tasks there are.
    """

    since: datetime
    idle_tasks: int | None


@dataclass(frozen=True)
class LimitsChange:
    """``waiting``: trials that runs bring which were asked for before and have not opened the experiment yet.
    ``request``: the run that is missing for the maximum; None when what is there will do."""

    experiment: Experiment
    waiting: int
    request: RunRequest | None


@dataclass(frozen=True)
class RunRequest:
    """A DAG run that a person wants for an experiment: recorded first, then triggered, then opened.

    ``conf``: of the run, as the trigger form has it; ``conf["trials"]`` more trials.
    """

    experiment_id: str
    dag_id: str
    run_id: str
    conf: Mapping[str, Any]
    by: str
    at: datetime

    @property
    def trials(self) -> int:
        return int(self.conf["trials"])


@dataclass(frozen=True)
class Trial:
    """One set of parameters, and how it went in its current epoch.

    ``seen``: how many ended trials the ask knew. ``metric``: the final objective, None before the end or
    without any. ``metrics``: its parts by tag.
    """

    experiment_id: str
    number: int
    task: TaskKey
    task_max_tries: int
    epoch: int
    parameters: Mapping[str, Any]
    source: str
    seen: int
    state: TrialState
    reason: str
    metric: float | None
    metrics: Mapping[str, float]
    asked_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Step:
    """One job of a trial. ``worker_seconds``: what it cost, where the service says so."""

    id: StepId
    submission_key: str
    model_dir: str
    payload: Mapping[str, Any]
    job_id: str | None
    state: StepState
    reason: str
    worker_seconds: float | None
    intended_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Result:
    """One evaluation. ``wall_time``: when it was made, in seconds since 1970 (as in event files)."""

    global_step: int
    objective: float
    metrics: Mapping[str, float]
    wall_time: float


@dataclass(frozen=True)
class RecordedResult(Result):
    """A result with the step it belongs to and when the store got it."""

    step: StepId
    recorded_at: datetime


@dataclass(frozen=True)
class Event:
    """Who did what and when. ``trial`` and ``experiment_id``: None for what concerns none."""

    id: int
    experiment_id: str | None
    trial: int | None
    at: datetime
    by: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """All a tuner or assessor may know at one moment.

    ``asks`` is what ``record_ask`` expects back. ``ended`` is in the order in which trials ended.
    ``objectives`` maps each trial with results to its values in step order.
    """

    asks: int
    ended: tuple[TrialRecord, ...]
    pending: tuple[TrialRecord, ...]
    objectives: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


def check_limits(max_trials: int | None, deadline: datetime | None) -> None:
    """ConfigError unless the limits make sense."""
    if max_trials is not None and max_trials < 1:
        raise ConfigError(f"the maximum number of trials is {max_trials}", hint="at least 1, or none at all")
    if deadline is not None and deadline.tzinfo is None:
        raise ConfigError(f"the deadline {deadline} has no time zone", hint="give an aware datetime")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}", hint=f"one of {', '.join(allowed)}")
