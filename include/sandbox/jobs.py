"""Training jobs as processes of their own: a queue, a number of slots, and how each job ended.

Each job is a process group led by a ``supervisor``. A sandbox that exits in an orderly way stops its
jobs; one that is killed leaves them running for ``orphan_grace`` seconds, as PAI would, and its successor
on the same folder adopts them.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from include.sandbox.faults import FaultBook
from include.sandbox.supervisor import KILL_AFTER_S

log = logging.getLogger(__name__)

PROJECT_ROOT = Path(__file__).resolve().parents[2]
TRAINER = (sys.executable, "-m", "include.sandbox.trainer")
_POLL_S = 0.02
_LOG_TAIL_LINES = 30


@dataclass(frozen=True)
class JobEnd:
    """``code`` is the command's exit code, None when nobody knows (it died with its supervisor)."""

    code: int | None
    reason: str
    ended: float


@dataclass(frozen=True)
class JobSettings:
    """What jobs are told. ``speed``: 1.0 is demo speed, larger is faster."""

    oss_root: Path
    tables_root: Path
    runner: Sequence[str] = TRAINER
    speed: float = 1.0
    orphan_grace: float = 0.0
    """Seconds a job may go on when the sandbox was killed."""


class Jobs:
    """The queue and its slots. ``started(job_id)`` and ``ended(job_id, JobEnd)`` come from one thread."""

    def __init__(
        self,
        folder: Path,
        capacity: int,
        settings: JobSettings,
        faults: FaultBook,
        started: Callable[[str], None],
        ended: Callable[[str, JobEnd], None],
    ) -> None:
        self.settings = settings
        self._folder = folder
        self._capacity = capacity
        self._faults = faults
        self._started = started
        self._ended = ended
        self._changed = threading.Condition()
        self._waiting: dict[str, tuple[dict[str, str], float]] = {}
        self._running: dict[str, _Process] = {}
        self._reports: list[Callable[[], None]] = []
        """What ``started`` and ``ended`` are still to be told."""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="sandbox-jobs", daemon=True)

    # -- called by the service ----------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def submit(self, job_id: str, parameters: Mapping[str, str], max_seconds: float) -> None:
        """Queue a job. ``max_seconds`` 0 means no limit."""
        with self._changed:
            self._waiting[job_id] = (dict(parameters), max_seconds)
            self._changed.notify()

    def was_spawned(self, job_id: str) -> bool:
        """Whether this or an earlier sandbox on this folder has started the job's process."""
        return (self._folder / job_id / "alive").exists()

    def adopt(self, job_id: str) -> None:
        """Watch a job that an earlier sandbox started; one that has died is reported as ended."""
        with self._changed:
            self._running[job_id] = _Process.found(self._folder / job_id)
            self._changed.notify()

    def stop(self, job_id: str) -> None:
        """SIGTERM to the job's processes, SIGKILL two seconds later. Also takes it out of the queue."""
        with self._changed:
            self._waiting.pop(job_id, None)
            process = self._running.get(job_id)
            if process is not None:
                process.stop()
            self._changed.notify()

    def close(self) -> None:
        """Stop every job and forget the queue: nothing runs any more when this returns."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            for process in self._running.values():
                process.stop()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def capacity(self) -> int:
        return self._capacity

    @capacity.setter
    def capacity(self, slots: int) -> None:
        with self._changed:
            self._capacity = slots
            self._changed.notify()

    def counts(self) -> dict[str, int]:
        with self._changed:
            return {"capacity": self._capacity, "waiting": len(self._waiting), "running": len(self._running)}

    def log_tail(self, job_id: str, lines: int = _LOG_TAIL_LINES) -> str:
        try:
            text = (self._folder / job_id / "log.txt").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    # -- the watching thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closing and not self._running:
                    return
                if not self._may_start():
                    self._changed.wait(_POLL_S if self._running or self._reports else None)
                over = [(job_id, end) for job_id, each in self._running.items() if (end := each.poll())]
                for job_id, _ in over:
                    del self._running[job_id]
                due = self._may_start()
                for job_id in due:
                    try:
                        self._running[job_id] = self._spawn(job_id, *self._waiting.pop(job_id))
                    except OSError as error:
                        over.append((job_id, JobEnd(None, f"no process: {error}", time.time())))
                due = [job_id for job_id in due if job_id in self._running]
            self._reports += [partial(self._ended, job_id, end) for job_id, end in over]
            self._reports += [partial(self._started, job_id) for job_id in due]
            self._report()

    def _report(self) -> None:
        """In order. What can't be kept now (the disk is full) is told again in the next round."""
        while self._reports:
            try:
                self._reports[0]()
            except OSError as error:
                log.error("can't be kept now: %s", error)
                return
            del self._reports[0]

    def _may_start(self) -> list[str]:
        free = 0 if self._closing else max(0, self._capacity - len(self._running))
        return list(self._waiting)[:free]

    def _spawn(self, job_id: str, parameters: Mapping[str, str], max_seconds: float) -> _Process:
        folder = self._folder / job_id
        folder.mkdir(parents=True, exist_ok=True)
        settings = self.settings
        faults = self._faults.take_for_job(parameters.get("model_dir", ""))
        job = {
            "job_id": job_id,
            "parameters": parameters,
            "oss_root": str(settings.oss_root),
            "tables_root": str(settings.tables_root),
            "log": str(folder / "log.txt"),
            "speed": settings.speed,
            "faults": [{"kind": fault.kind, **fault.options} for fault in faults],
        }
        (folder / "job.json").write_text(json.dumps(job, indent=1))
        spec = {
            "command": [*settings.runner, "--job", str(folder / "job.json")],
            "cwd": str(PROJECT_ROOT),
            "environment": {"PYTHONPATH": _python_path()},
            "log": job["log"],
            "exit": str(folder / "exit.json"),
            "max_seconds": max_seconds,
            "orphan_grace": settings.orphan_grace,
        }
        (folder / "supervise.json").write_text(json.dumps(spec))
        return _Process.spawn(folder)


class _Process:
    """One job's process group, our child or one that we found."""

    def __init__(self, folder: Path, pid: int, child: subprocess.Popen[bytes] | None) -> None:
        self._folder = folder
        self._pid = pid
        self._child = child
        self._kill_at: float | None = None

    @classmethod
    def spawn(cls, folder: Path) -> _Process:
        # The lock is taken here and handed over: there is no moment in which a living job looks dead.
        with (folder / "alive").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            supervisor = Path(__file__).with_name("supervisor.py")
            command = [sys.executable, "-I", "-S", str(supervisor), str(folder / "supervise.json")]
            child = subprocess.Popen(
                [*command, str(lock.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
        (folder / "pid").write_text(str(child.pid))
        return cls(folder, child.pid, child)

    @classmethod
    def found(cls, folder: Path) -> _Process:
        try:
            pid = int((folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            pid = 0
        return cls(folder, pid, None)

    def poll(self) -> JobEnd | None:
        """None while it runs."""
        if self._is_alive():
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                self._signal(signal.SIGKILL)
            return None
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
        try:
            note = json.loads((self._folder / "exit.json").read_bytes())
        except FileNotFoundError:
            return JobEnd(None, "the job's processes were killed", time.time())
        return JobEnd(note["code"], note["reason"], note["ended"])

    def stop(self) -> None:
        if self._kill_at is None and self._is_alive():
            self._kill_at = time.monotonic() + KILL_AFTER_S
            self._signal(signal.SIGTERM)

    def _is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        try:
            with (self._folder / "alive").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def _signal(self, number: int) -> None:
        if self._pid:
            try:
                os.killpg(self._pid, number)
            except ProcessLookupError:
                log.debug("job %s had just ended", self._folder.name)


def _python_path() -> str:
    inherited = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, [str(PROJECT_ROOT), inherited]))
