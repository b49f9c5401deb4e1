"""What the core needs from the outside, as small protocols.

Each adapter (``include.adapters``) and each stand-in passes the same contract tests
(``tests/contract``). Implementations raise only classes of ``include.errors``.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


class JobState(enum.Enum):
    """State of a remote job as the core sees it."""

    WAITING = "waiting"
    """Accepted, but its training part has not started (queue, resources)."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class JobPayload:
    """Exactly what ``run_xflow`` submits (reference R4): keys of ``parameters`` without ``-D``."""

    xflow_name: str
    xflow_project: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment. ``sub_instances`` maps names (``train``, …) to instance ids.

    ``started_at`` and ``ended_at``: of the training where the service tells, else of the whole job.
    """

    state: JobState
    message: str = ""
    sub_instances: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True)
class OwnedJob:
    """One of this store's jobs as the service lists it."""

    job_id: str
    submission_key: str
    state: JobState
    started_at: datetime | None


class JobService(Protocol):
    """Submits and follows PAI jobs. Every call is one bounded attempt with bounded internal retries."""

    def check(self) -> str:
        """The project that jobs run in, once its name and the keys have proved right and jobs can be listed.

        Starts nothing. Raises CredentialsError, AccessError, NotFoundError.
        """
        ...

    def submit(self, payload: JobPayload, *, submission_key: str, store_uuid: str) -> str:
        """Start a job and return its id. The same submission key never starts a second job.

        Raises OutcomeUnknownError when the answer was lost: call ``find`` before anything else.
        """
        ...

    def find(self, *, submission_key: str, store_uuid: str, since: datetime) -> str | None:
        """The id of the job that carries this key, if the service knows one started after ``since``."""
        ...

    def status(self, job_id: str) -> JobStatus: ...

    def stop(self, job_id: str) -> None:
        """Stop the job and its sub-instances. A job that has already ended is a success."""
        ...

    def logview(self, job_id: str, *, hours: int = 1) -> Mapping[str, str]:
        """Short-lived links by (sub-)instance name. They carry tokens: show, never store or log them."""
        ...

    def list_owned(self, *, store_uuid: str, since: datetime, unended: bool = False) -> Sequence[OwnedJob]:
        """All jobs started after ``since`` whose settings token carries this store's UUID.

        ``unended``: only those that have not ended, at the price of those alone.
        """
        ...


@dataclass(frozen=True)
class ObjectInfo:
    url: str
    size: int
    etag: str
    modified_at: datetime


class ObjectStore(Protocol):
    """Objects by ``oss://bucket/key`` URLs."""

    def read(self, url: str) -> bytes:
        """The whole object; NotFoundError when there is none."""
        ...

    def read_from(self, url: str, offset: int) -> bytes | None:
        """Bytes from ``offset`` to the end; None when the object is not longer than ``offset``.

        Never returns bytes from before ``offset`` (``x-oss-range-behavior: standard``).
        Raises NotFoundError when there is no such object.
        """
        ...

    def write(self, url: str, data: bytes, *, overwrite: bool = True) -> None:
        """Write the whole object at once; AlreadyExistsError when it exists and ``overwrite`` is False."""
        ...

    def info(self, url: str) -> ObjectInfo | None:
        """None only when the object certainly does not exist; trouble is an error."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose URL starts with ``prefix``, in key order."""
        ...

    def delete(self, url: str) -> None: ...


class TableCatalog(Protocol):
    """What exists in MaxCompute."""

    def project_exists(self, project: str) -> bool: ...

    def table_exists(self, project: str, table: str) -> bool: ...

    def partition_exists(self, project: str, table: str, spec: str) -> bool:
        """``spec`` as in table URLs, e.g. ``dt=20240101`` or ``dt=20240101/hour=03``."""
        ...


Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class TrialRecord:
    """What a tuner may know of one earlier trial."""

    number: int
    parameters: Parameters
    value: float | None
    """Objective the trial is told with (final, or best so far of an early-stopped one); None without any."""
    succeeded: bool = True


class Tuner(Protocol):
    """Chooses parameters. Deterministic: the same arguments give the same answer in any process."""

    def ask(
        self, history: Sequence[TrialRecord], pending: Sequence[TrialRecord], seed: int
    ) -> dict[str, Any]:
        """Parameters of the next trial.

        ``history``: ended trials in the order in which they ended; ``pending``: asked, not ended.
        Raises ExhaustedError when a finite space is used up.
        """
        ...


@dataclass(frozen=True)
class Decision:
    """An assessor's verdict on one trial, with the reason a person reads."""

    stop: bool
    reason: str


class Assessor(Protocol):
    def assess(
        self,
        trial: int,
        histories: Mapping[int, Sequence[float]],
        *,
        finished: Collection[int] | None = None,
    ) -> Decision:
        """Judge ``trial`` by all trials' objective values so far, finished ones included.

        ``histories`` maps trial number to its values in step order. ``finished``: the trials that ran to
        their end, for assessors that compare with those only; None when that isn't known.
        """
        ...


class Workflow(Protocol):
    """What only Airflow can do for a search that runs."""

    def pool_slots(self, name: str) -> int | None:
        """Slots of a pool, -1 for no limit; None when there is no such pool."""
        ...

    def set_pool_slots(self, name: str, slots: int) -> None:
        """Change the slots; a missing pool is made. It counts deferred tasks from now on (design section 4)."""
        ...

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any], *, by: str) -> bool:
        """Start a DAG run; False when one with this id is there already.

        Raises NotFoundError for an unknown DAG, StateError for one that is paused, ConfigError for a form it refuses.
        """
        ...

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """``queued``, ``running``, ``success`` or ``failed``; None when there is no such run."""
        ...
