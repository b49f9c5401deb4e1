"""The sandbox as a process of its own, which can be killed and is started again as a service manager would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from include.sandbox import Endpoints
from include.sandbox.oss.storage import BucketStorage
from include.sandbox.tables import TableStorage

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 240
_PROGRAM = """
import os, runpy
os.environ.pop("LD_PRELOAD", None)
runpy.run_module("include.sandbox", None, "__main__", True)
"""
"""``python -m include.sandbox`` whose jobs keep the machine's clock: libfaketime breaks Python's ``time.sleep``."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class SandboxDidNotStart(RuntimeError):
    """It ended, or did not answer in time; the message shows the end of its log."""


class SandboxProcess:
    """Context manager. ``folder`` keeps everything, so that a killed one goes on where it was."""

    def __init__(
        self, folder: Path, *, data: str, capacity: int, speed: float, faketime: bool = False
    ) -> None:
        """``data``: ``movielens`` or ``synthetic``. ``faketime``: its clock can be set, see ``clock``."""
        self.folder = folder.resolve()
        self.buckets = BucketStorage(self.folder / "oss")
        self.tables = TableStorage(self.folder / "tables")
        self.clock: Path | None = self.folder.with_name("clock") if faketime and FAKETIME.exists() else None
        """What libfaketime reads the service's clock from (``+30s``), where there is one."""
        self._command = [sys.executable, "-c", _PROGRAM, "--folder", str(self.folder)]
        self._command += ["--capacity", str(capacity), "--speed", str(speed)]
        self._data = data
        self._log = self.folder.with_suffix(".log")
        self._endpoints_file = self.folder.with_name("endpoints.json")
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.starts: list[float] = []

    def __enter__(self) -> SandboxProcess:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self._endpoints_file.unlink(missing_ok=True)
        if self.clock is not None:
            self.clock.write_text("+0s\n")
        self._start("--data", self._data)
        try:
            until = time.monotonic() + _START_SECONDS
            while not self._endpoints_file.exists():
                if self.process.poll() is not None or time.monotonic() > until:
                    raise SandboxDidNotStart(f"the sandbox did not start:\n{self._log.read_text()[-3000:]}")
                time.sleep(0.1)
        except BaseException:
            self.stop()
            raise
        self.endpoints = Endpoints(**json.loads(self._endpoints_file.read_text()))
        threading.Thread(target=self._keep_up, name="sandbox-manager", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise SandboxDidNotStart("the sandbox was never started")
        return self._process

    def kill(self) -> None:
        """``kill -9`` to the service; its jobs live on, as PAI's would."""
        self.process.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        self._over.set()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def control(self, method: str, path: str, body: Any = None, *, seconds: float = 30) -> Any:
        """Speak to the sandbox's own door; waits ``seconds`` for one that is being started again."""
        until = time.monotonic() + seconds
        while True:
            try:
                answer = requests.request(method, self.endpoints.control + path, json=body, timeout=20)
            except requests.RequestException:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
                continue
            if not answer.ok:
                raise requests.HTTPError(f"{method} {path}: {answer.text[:500]}", response=answer)
            return answer.json()

    def fault(self, *faults: Mapping[str, Any]) -> None:
        self.control("POST", "/faults", [dict(fault) for fault in faults])

    def books(self) -> dict[str, Any]:
        return dict(self.control("GET", "/books"))

    def read(self, url: str) -> bytes:
        """An object, past the wire and its faults."""
        bucket, _, key = url.removeprefix("oss://").partition("/")
        return self.buckets.read(bucket, key)

    def write(self, url: str, data: bytes) -> None:
        bucket, _, key = url.removeprefix("oss://").partition("/")
        self.buckets.write(bucket, key, data)

    def _start(self, *arguments: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--endpoints-file", str(self._endpoints_file), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._faketime()},
                cwd=ROOT,
                start_new_session=True,
            )
        self.starts.append(time.time())

    def _faketime(self) -> dict[str, str]:
        if self.clock is None:
            return {}
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def _keep_up(self) -> None:
        while not self._over.wait(1.0):
            if self.process.poll() is not None and not self._over.is_set():
                self._start()
