"""MaxCompute's instances: what was submitted, what state it is in, what happened to it.

The state model only: no HTTP, no XML. Every change is on disk (one JSON file per instance, and a line in
the ledger) before it is answered.
"""

from __future__ import annotations

import enum
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from include.errors import NotFoundError, StateError
from include.sandbox.jobs import JobEnd, Jobs
from include.sandbox.ledger import Ledger


class TaskStatus(str, enum.Enum):
    """State of an instance's only task; all but RUNNING are final."""

    RUNNING = "Running"
    SUCCESS = "Success"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Kind(str, enum.Enum):
    XFLOW = "XFlow"
    TRAIN = "PS"
    """The part of an xflow that trains."""
    SQL = "SQL"


@dataclass
class Instance:
    """Times in seconds since the epoch. ``source`` is the XML as it was submitted."""

    id: str
    project: str
    owner: str
    kind: Kind
    task: str
    started: float
    source: str = ""
    guid: str = ""
    status: TaskStatus = TaskStatus.RUNNING
    ended: float | None = None
    result: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    settings: str = ""
    max_seconds: float = 0.0
    """How long it may train; 0 without limit."""
    parent: str = ""
    train: str = ""
    """Id of the sub-instance that trains, once it has started."""
    stopped_by: str = ""

    @property
    def is_terminated(self) -> bool:
        return self.status is not TaskStatus.RUNNING

    @classmethod
    def load(cls, path: Path) -> Instance:
        values = json.loads(path.read_bytes())
        return cls(**{**values, "kind": Kind(values["kind"]), "status": TaskStatus(values["status"])})


class Instances:
    """All instances of the sandbox. ``guid_dedup`` off: a service that ignores Guid."""

    def __init__(self, folder: Path, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self.guid_dedup = True
        self._folder = folder
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.RLock()
        self._by_id: dict[str, Instance] = {}
        self._guids: dict[tuple[str, str], str] = {}
        self._jobs: Jobs | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.json")):
            self._remember(Instance.load(path))

    def attach(self, jobs: Jobs) -> None:
        """Connect the processes; jobs of an earlier life go back to the queue or are adopted."""
        self._jobs = jobs
        with self._lock:
            unfinished = [each for each in self._by_id.values() if each.kind is Kind.XFLOW]
            for instance in sorted(unfinished, key=lambda each: each.started):
                if instance.is_terminated:
                    continue
                if jobs.was_spawned(instance.id):
                    jobs.adopt(instance.id)
                    if not instance.train:
                        self.job_started(instance.id)
                else:
                    jobs.submit(instance.id, instance.parameters, instance.max_seconds)

    # -- requests -----------------------------------------------------------------------------------

    def submit_xflow(
        self,
        project: str,
        owner: str,
        *,
        parameters: Mapping[str, str],
        source: str,
        guid: str = "",
        settings: str = "",
        max_seconds: float = 0.0,
    ) -> tuple[Instance, bool]:
        """The instance, and whether it is new: the same Guid gives the same instance."""
        with self._lock:
            known = self._known(project, guid)
            if known is not None:
                self._ledger.write("submitted_again", instance=known.id, guid=guid)
                return known, False
            instance = self._new(Kind.XFLOW, project, owner, "AnonymousXFlowTask", source, guid)
            instance.parameters = dict(parameters)
            instance.settings = settings
            instance.max_seconds = max_seconds
            self._save(instance)
            try:
                self._ledger.write(
                    "submitted",
                    instance=instance.id,
                    guid=guid,
                    model_dir=parameters.get("model_dir", ""),
                    settings=settings,
                )
            except OSError:  # a full disk: nothing was submitted
                self._path(instance).unlink()
                raise
            self._remember(instance)
            self._require_jobs().submit(instance.id, parameters, max_seconds)
            return instance, True

    def submit_sql(
        self, project: str, owner: str, task: str, source: str, guid: str, run: Callable[[], str]
    ) -> tuple[Instance, bool]:
        """``run`` gives the result as text, or raises ``SqlError``; it has ended when this returns."""
        with self._lock:
            known = self._known(project, guid)
            if known is not None:
                return known, False
            instance = self._new(Kind.SQL, project, owner, task, source, guid)
            self._remember(instance)
            try:
                self._finish(instance, TaskStatus.SUCCESS, run())
            except SqlError as error:
                self._finish(instance, TaskStatus.FAILED, str(error))
            return instance, True

    def get(self, project: str, instance_id: str) -> Instance:
        """Raises NotFoundError."""
        with self._lock:
            instance = self._by_id.get(instance_id)
        if instance is None or instance.project != project:
            raise NotFoundError(f"there is no instance {instance_id}")
        return instance

    def of_project(self, project: str) -> list[Instance]:
        """In the order in which they started."""
        with self._lock:
            found = [each for each in self._by_id.values() if each.project == project]
        return sorted(found, key=lambda each: (each.started, each.id))

    def stop(self, project: str, instance_id: str) -> None:
        """Raises NotFoundError, and StateError when it has ended."""
        with self._lock:
            instance = self.get(project, instance_id)
            if instance.is_terminated:
                raise StateError(f"instance {instance_id} has already ended")
            instance.stopped_by = "user"
            self._finish(instance, TaskStatus.CANCELLED, "cancelled by user")
            if instance.train:
                train = self._by_id[instance.train]
                if not train.is_terminated:
                    self._finish(train, TaskStatus.CANCELLED, "cancelled by user")
            if instance.parent:
                parent = self._by_id[instance.parent]
                message = f"ODPS-0421111: sub instance {instance.id} was cancelled"
                self._finish(parent, TaskStatus.FAILED, message)
            self._require_jobs().stop(instance.parent or instance.id)
            self._ledger.write("stopped", instance=instance.id, parent=instance.parent)
            if instance.parent:
                self._ledger.write("ended", instance=instance.parent, status=TaskStatus.FAILED.value)

    # -- what jobs report ---------------------------------------------------------------------------

    def job_started(self, job_id: str) -> None:
        with self._lock:
            instance = self._by_id[job_id]
            if instance.is_terminated:  # stopped in the moment in which it started
                self._require_jobs().stop(job_id)
                return
            if not instance.train:  # else the disk was full when this was first told
                train = self._new(Kind.TRAIN, instance.project, instance.owner, "train", "", "")
                train.parent = instance.id
                self._save(train)
                self._save(replace(instance, train=train.id))
                self._remember(train)
                instance.train = train.id
            self._ledger.write("started", instance=instance.id, train=instance.train)

    def job_ended(self, job_id: str, end: JobEnd) -> None:
        with self._lock:
            instance = self._by_id[job_id]
            self._ledger.write("process_ended", instance=job_id, code=end.code, reason=end.reason)
            if instance.is_terminated:
                return
            status = TaskStatus.SUCCESS if end.code == 0 else TaskStatus.FAILED
            tail = self._require_jobs().log_tail(job_id)
            if status is TaskStatus.FAILED:
                cause = end.reason or f"the training process ended with code {end.code}"
                tail = f"ODPS-0421111: Job failed - {cause}\n{tail}".rstrip()
            if instance.train:
                self._finish(self._by_id[instance.train], status, tail, end.ended)
            self._finish(instance, status, tail, end.ended)
            self._ledger.write("ended", instance=job_id, status=status.value)

    def abandon_running(self) -> None:
        """Before an orderly exit: jobs that run will be stopped, those that wait stay in the books."""
        with self._lock:
            for instance in self._by_id.values():
                if instance.kind is Kind.XFLOW and instance.train and not instance.is_terminated:
                    instance.stopped_by = "sandbox"
                    message = "ODPS-0421111: Job failed - the sandbox was stopped"
                    self._finish(self._by_id[instance.train], TaskStatus.FAILED, message)
                    self._finish(instance, TaskStatus.FAILED, message)
                    self._ledger.write("ended", instance=instance.id, status="Failed", by="sandbox")

    def log(self, instance: Instance) -> str:
        """What the training process wrote, as far as it got."""
        return self._require_jobs().log_tail(instance.parent or instance.id, lines=10_000)

    def books(self) -> list[dict[str, Any]]:
        """Every instance with its state, for audits."""
        with self._lock:
            every = [asdict(each) for each in self._by_id.values()]
        for each in every:
            del each["source"]
        return sorted(every, key=lambda each: (each["started"], each["id"]))

    # -- keeping ------------------------------------------------------------------------------------

    def _require_jobs(self) -> Jobs:
        if self._jobs is None:
            raise StateError("the sandbox is not running")
        return self._jobs

    def _known(self, project: str, guid: str) -> Instance | None:
        known = self._guids.get((project, guid)) if guid and self.guid_dedup else None
        return self._by_id[known] if known else None

    def _new(self, kind: Kind, project: str, owner: str, task: str, source: str, guid: str) -> Instance:
        now = self._clock()
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(now))
        instance_id = f"{stamp}{int(now * 1000) % 1000:03d}g{secrets.token_hex(4)}"
        return Instance(instance_id, project, owner, kind, task, now, source, guid)

    def _remember(self, instance: Instance) -> None:
        self._by_id[instance.id] = instance
        if instance.guid:
            self._guids[(instance.project, instance.guid)] = instance.id

    def _finish(
        self, instance: Instance, status: TaskStatus, result: str, ended: float | None = None
    ) -> None:
        change = {"status": status, "result": result, "ended": self._clock() if ended is None else ended}
        self._save(replace(instance, **change))  # type: ignore[arg-type]
        for name, value in change.items():  # once it is on disk: a full one must not end what still runs
            setattr(instance, name, value)

    def _path(self, instance: Instance) -> Path:
        return self._folder / f"{instance.id}.json"

    def _save(self, instance: Instance) -> None:
        path = self._path(instance)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(instance)))
        temporary.replace(path)


class SqlError(Exception):
    """A statement that fails the way MaxCompute reports it (an ODPS-… message)."""
