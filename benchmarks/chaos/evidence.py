"""What an audit looks at: plain records, so that audits can be tested without any process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """One training of the sandbox's own books. ``key``: the submission key it came with."""

    id: str
    key: str
    model_dir: str
    status: str
    """``Running``, ``Success``, ``Failed`` or ``Cancelled``, as the service says it."""
    started: int
    ended: int | None
    """Lines of the service's ledger: its order holds when clocks are set back, too."""
    processes: int
    """How many times a process was started for it."""
    trains: bool = True
    stopped: bool = False
    """Whether somebody asked to stop it, or the part of it that trains (then the service says ``Failed``)."""
    by_store: bool = True
    """Whether it was submitted by the store under audit, not by hand."""


@dataclass(frozen=True)
class StepRow:
    """One job as the product's store knows it."""

    key: str
    experiment: str
    trial: int
    epoch: int
    attempt: int
    job_id: str | None
    state: str
    reason: str
    model_dir: str


@dataclass(frozen=True)
class TrialRow:
    """``is_search``: False for a single job (a day's training). ``told``: its value counts for the tuner."""

    experiment: str
    number: int
    task: tuple[str, str, str, int]
    epoch: int
    state: str
    reason: str
    metric: float | None
    is_search: bool = True
    told: bool = False


@dataclass(frozen=True)
class DayRow:
    bizdate: str
    state: str
    checkpoint_in: str
    checkpoint_out: str
    model_dir: str


@dataclass(frozen=True)
class Evidence:
    """``evaluations``: objective by global step, by model_dir, read from the event files on the service's disk.
    ``results``: what the store holds, as (global step, objective), by submission key. ``trained_from``: by
    model_dir, the checkpoint in the config that trained it. ``acted_on``: tasks that the suite's person
    cleared, marked or whose run they failed."""

    jobs: Sequence[Job]
    steps: Sequence[StepRow]
    trials: Sequence[TrialRow]
    evaluations: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    results: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    processes_alive: int = 0
    days: Sequence[DayRow] = ()
    days_wanted: Sequence[str] = ()
    origin: str = ""
    trained_from: Mapping[str, str] = field(default_factory=dict)
    promotions: Sequence[int] = ()
    leases: Sequence[str] = ()
    acted_on: frozenset[tuple[str, str, str, int]] = frozenset()
    runs: Mapping[str, str] = field(default_factory=dict)
    """State of every DAG run by its name."""
