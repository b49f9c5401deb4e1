"""The sandbox put together: two servers, their state in one folder, and the jobs."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from include.errors import StateError
from include.sandbox.control import PREFIX, WithControl
from include.sandbox.faults import FaultBook
from include.sandbox.jobs import TRAINER, Jobs, JobSettings
from include.sandbox.ledger import Ledger
from include.sandbox.maxcompute.instances import Instances
from include.sandbox.maxcompute.service import BASE, MaxComputeService
from include.sandbox.oss.service import OssService
from include.sandbox.oss.storage import BucketStorage
from include.sandbox.server import Served, Service, ServiceServer
from include.sandbox.signatures import Account, Accounts
from include.sandbox.tables import TableStorage

log = logging.getLogger(__name__)

PROJECT = "sandbox"
BUCKET = "sandbox-bucket"
_REMEMBERED_REQUESTS = 10_000


@dataclass(frozen=True)
class Endpoints:
    """Where the sandbox is and how to get in. ``control`` is its own door for faults and books."""

    maxcompute: str
    oss: str
    access_key_id: str
    access_key_secret: str = field(repr=False)
    project: str
    bucket: str
    control: str


class Sandbox:
    """A MaxCompute and an OSS on loopback, as a context manager.

    ``folder`` keeps everything: buckets, tables, instances, keys, ports. The same folder again continues
    where the last sandbox stopped or was killed. ``runner`` replaces the trainer (it is called with
    ``--job JOBDIR/job.json``). ``ports`` (MaxCompute, OSS): 0 takes the folder's last port if it is free,
    else any. ``orphan_grace``: seconds jobs may go on when this process is killed; leaving the context
    stops them all at once.

    Starting raises StateError when another sandbox serves the folder, or a fixed port is taken.
    """

    def __init__(
        self,
        folder: Path | str,
        capacity: int = 4,
        runner: Sequence[str] | None = None,
        *,
        ports: tuple[int, int] = (0, 0),
        orphan_grace: float = 0.0,
        speed: float = 1.0,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.tables = TableStorage(self.folder / "tables")
        self.buckets = BucketStorage(self.folder / "oss")
        self.faults = FaultBook()
        self._capacity = capacity
        self._settings = JobSettings(
            oss_root=self.buckets.root,
            tables_root=self.tables.root,
            runner=tuple(runner or TRAINER),
            speed=speed,
            orphan_grace=orphan_grace,
        )
        self._ports = ports
        self._servers: list[ServiceServer] = []

    def __enter__(self) -> Endpoints:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Endpoints:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._lock_folder()
        try:
            return self._start()
        except BaseException:
            while self._servers:
                self._servers.pop().server_close()
            self._lock.close()
            raise

    def _start(self) -> Endpoints:
        self.buckets.create_bucket(BUCKET)
        account = self._account()
        accounts = Accounts(account)
        ledger = Ledger(self.folder / "books.jsonl")
        served: deque[Served] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.instances = Instances(self.folder / "instances", ledger)
        self._jobs = Jobs(
            self.folder / "jobs",
            self._capacity,
            self._settings,
            self.faults,
            self.instances.job_started,
            self.instances.job_ended,
        )
        front = WithControl(
            MaxComputeService((PROJECT,), self.instances, self.tables, accounts),
            instances=self.instances,
            jobs=self._jobs,
            faults=self.faults,
            accounts=accounts,
            ledger=ledger,
            served=served,
        )
        last = self._read("ports.json") or {"odps": 0, "oss": 0}
        services: list[tuple[Service, int]] = [
            (front, self._ports[0]),
            (OssService(self.buckets, accounts), self._ports[1]),
        ]
        for service, port in services:
            self._servers.append(_bind(service, port, last[service.name], self.faults, served))
        self._write("ports.json", {server.service.name: server.port for server in self._servers})
        self.instances.attach(self._jobs)
        self._jobs.start()
        for server in self._servers:
            server.start()
        root, oss = (f"http://127.0.0.1:{server.port}" for server in self._servers)
        log.info("sandbox in %s: MaxCompute %s, OSS %s", self.folder, root + BASE, oss)
        self.endpoints = Endpoints(
            maxcompute=root + BASE,
            oss=oss,
            access_key_id=account.key_id,
            access_key_secret=account.secret,
            project=PROJECT,
            bucket=BUCKET,
            control=root + PREFIX,
        )
        return self.endpoints

    def stop(self) -> None:
        """Stop every job, then the servers. Nothing of the sandbox runs when this returns."""
        self.instances.abandon_running()
        self._jobs.close()
        while self._servers:
            self._servers.pop().stop()
        self._lock.close()

    def _lock_folder(self) -> BinaryIO:
        """Held until ``stop`` or the end of this process."""
        lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            hint = "stop it, or use another folder"
            raise StateError(f"another sandbox serves {self.folder}", hint=hint) from None
        return lock

    def _account(self) -> Account:
        """Keys are made once per folder."""
        known = self._read("credentials.json")
        if known is None:
            known = {"id": f"SANDBOX{secrets.token_hex(8)}", "secret": secrets.token_hex(16)}
            self._write("credentials.json", known)
        return Account(known["id"], known["secret"])

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            values: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None
        return values

    def _write(self, name: str, values: dict[str, Any]) -> None:
        temporary = self.folder / f"{name}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(values, stream)
        temporary.replace(self.folder / name)


def _bind(service: Service, port: int, last: int, faults: FaultBook, served: deque[Served]) -> ServiceServer:
    if port:
        try:
            return ServiceServer(service, port, faults, served)
        except OSError as error:
            raise StateError(f"port {port} can't be had: {error}", hint="0 takes any") from error
    try:
        return ServiceServer(service, last, faults, served)
    except OSError:
        return ServiceServer(service, 0, faults, served)
