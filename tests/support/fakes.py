"""In-memory stand-ins of the ports; they pass the contract tests of the real adapters (tests/contract)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from include import names
from include.errors import (
    AlreadyExistsError,
    EasyRecAutoMLError,
    NotFoundError,
    OutcomeUnknownError,
    RetryableError,
)
from include.ports import JobPayload, JobState, JobStatus, ObjectInfo, OwnedJob


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class MemoryObjects:
    """An ObjectStore in a dict. ``fail_next`` and ``fail_write`` make calls raise."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._failures: list[Exception] = []
        self._writes_to_fail: dict[str, Exception] = {}
        self.requests: list[tuple[str, str]] = []
        """Every call as (method, URL), in order."""

    def fail_next(self, *errors: Exception) -> None:
        self._failures += errors

    def fail_write(self, ending: str, error: Exception) -> None:
        """The next write of a URL that ends so raises, and nothing is written."""
        self._writes_to_fail[ending] = error

    def append(self, url: str, data: bytes) -> None:
        """Grow an object the way a training job does."""
        before = self._objects.get(url, (b"",))[0]
        self._objects[url] = (before + data, self._now())

    def read(self, url: str) -> bytes:
        self._called("read", url)
        return self._get(url)

    def read_from(self, url: str, offset: int) -> bytes | None:
        self._called("read_from", url)
        data = self._get(url)
        return data[offset:] if offset < len(data) else None

    def write(self, url: str, data: bytes, *, overwrite: bool = True) -> None:
        self._called("write", url)
        names.split_oss_url(url)
        if not overwrite and url in self._objects:
            raise AlreadyExistsError("the object exists", where=url)
        self._objects[url] = (bytes(data), self._now())

    def info(self, url: str) -> ObjectInfo | None:
        self._called("info", url)
        return self._info(url) if url in self._objects else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._called("list", prefix)
        names.split_oss_url(prefix)
        yield from [self._info(url) for url in sorted(self._objects) if url.startswith(prefix)]

    def delete(self, url: str) -> None:
        self._called("delete", url)
        self._objects.pop(url, None)

    def _called(self, method: str, url: str) -> None:
        self.requests.append((method, url))
        if self._failures:
            raise self._failures.pop(0)
        for ending in [e for e in self._writes_to_fail if method == "write" and url.endswith(e)]:
            raise self._writes_to_fail.pop(ending)

    def _get(self, url: str) -> bytes:
        names.split_oss_url(url)
        if url not in self._objects:
            raise NotFoundError("no such object", where=url)
        return self._objects[url][0]

    def _info(self, url: str) -> ObjectInfo:
        data, modified = self._objects[url]
        return ObjectInfo(url, len(data), hashlib.md5(data).hexdigest().upper(), modified)


@dataclass
class MemoryJob:
    """One job of ``MemoryJobs``; tests move it along with ``status``."""

    job_id: str
    payload: JobPayload
    submission_key: str
    store_uuid: str
    created_at: datetime
    status: JobStatus = field(default_factory=lambda: JobStatus(JobState.WAITING))
    stops: int = 0


class MemoryJobs:
    """A JobService that runs nothing: tests say what becomes of each job."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self.project = "sandbox"
        self.jobs: dict[str, MemoryJob] = {}
        """All jobs ever started, by id, in order."""
        self._answers_to_lose = 0
        self._requests_to_lose = 0

    def lose_answer(self, count: int = 1) -> None:
        """The next submits are carried out, and their answers are lost."""
        self._answers_to_lose += count

    def lose_request(self, count: int = 1) -> None:
        """The next submits never arrive, and nobody can tell."""
        self._requests_to_lose += count

    def run(self, job_id: str) -> None:
        self._move(
            job_id, JobState.RUNNING, sub_instances={"train": f"{job_id}-train"}, started_at=self._now()
        )

    def succeed(self, job_id: str) -> None:
        self._move(job_id, JobState.SUCCEEDED, ended_at=self._now())

    def fail(self, job_id: str, message: str = "ODPS-0123456: failed") -> None:
        self._move(job_id, JobState.FAILED, message=message, ended_at=self._now())

    def cancel(self, job_id: str) -> None:
        self._move(job_id, JobState.CANCELLED, message="cancelled", ended_at=self._now())

    def check(self) -> str:
        return self.project

    def submit(self, payload: JobPayload, *, submission_key: str, store_uuid: str) -> str:
        if self._requests_to_lose:
            self._requests_to_lose -= 1
            raise OutcomeUnknownError("the connection was reset")
        job = next((j for j in self.jobs.values() if j.submission_key == submission_key), None)
        if job is None:
            job_id = f"job-{next(self._numbers)}"
            job = MemoryJob(job_id, payload, submission_key, store_uuid, self._now())
            self.jobs[job_id] = job
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            raise OutcomeUnknownError("the answer was lost")
        return job.job_id

    def find(self, *, submission_key: str, store_uuid: str, since: datetime) -> str | None:
        for job in self._owned(store_uuid, since):
            if job.submission_key == submission_key:
                return job.job_id
        return None

    def status(self, job_id: str) -> JobStatus:
        return self._job(job_id).status

    def stop(self, job_id: str) -> None:
        job = self._job(job_id)
        job.stops += 1
        if not job.status.state.is_terminal:
            self.cancel(job_id)

    def logview(self, job_id: str, *, hours: int = 1) -> Mapping[str, str]:
        status = self.status(job_id)
        ids = {"job": job_id, **status.sub_instances}
        return {name: f"http://logview.invalid/?i={value}&hours={hours}" for name, value in ids.items()}

    def list_owned(self, *, store_uuid: str, since: datetime, unended: bool = False) -> Sequence[OwnedJob]:
        return [
            OwnedJob(job.job_id, job.submission_key, job.status.state, job.created_at)
            for job in self._owned(store_uuid, since)
            if not (unended and job.status.state.is_terminal)
        ]

    def _owned(self, store_uuid: str, since: datetime) -> list[MemoryJob]:
        return [j for j in self.jobs.values() if j.store_uuid == store_uuid and j.created_at >= since]

    def _job(self, job_id: str) -> MemoryJob:
        if job_id not in self.jobs:
            raise NotFoundError("no such job", where=job_id)
        return self.jobs[job_id]

    def _move(self, job_id: str, state: JobState, **changes: object) -> None:
        job = self._job(job_id)
        job.status = replace(job.status, state=state, **changes)  # type: ignore[arg-type]


class MemoryTables:
    """A TableCatalog made of ``{(project, table): partition specs}``."""

    def __init__(self, tables: Mapping[tuple[str, str], Sequence[str]], projects: Sequence[str] = ()) -> None:
        self.tables = {key: set(specs) for key, specs in tables.items()}
        self.projects = {project for project, _ in tables} | set(projects)
        self.fail_with: RetryableError | None = None

    def project_exists(self, project: str) -> bool:
        self._check()
        return project in self.projects

    def table_exists(self, project: str, table: str) -> bool:
        self._check()
        return (project, table) in self.tables

    def partition_exists(self, project: str, table: str, spec: str) -> bool:
        self._check()
        return spec in self.tables.get((project, table), set())

    def _check(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with


class MemoryWorkflow:
    """Airflow's pools and runs. ``states`` maps (DAG, run id) to a run's state; tests change it."""

    def __init__(self) -> None:
        self.pools: dict[str, int] = {}
        self.confs: dict[str, dict[str, Any]] = {}
        self.states: dict[tuple[str, str], str] = {}
        self.refuses: EasyRecAutoMLError | None = None
        self.lost: EasyRecAutoMLError | None = None
        """What the caller hears in place of the answer to the next run that is made."""

    def pool_slots(self, name: str) -> int | None:
        return self.pools.get(name)

    def set_pool_slots(self, name: str, slots: int) -> None:
        self.pools[name] = slots

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any], *, by: str) -> bool:
        if self.refuses is not None:
            raise self.refuses
        if (dag_id, run_id) in self.states:
            return False
        self.confs[run_id] = dict(conf)
        self.states[dag_id, run_id] = "queued"
        if self.lost is not None:
            lost, self.lost = self.lost, None
            raise lost
        return True

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        return self.states.get((dag_id, run_id))
