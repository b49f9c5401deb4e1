"""A sandbox whose jobs are a few lines of Python, for contract tests of the real adapters."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.adapters.connections import MaxComputeCredentials, OssCredentials
from include.adapters.retries import Retries
from include.sandbox import Endpoints, Sandbox
from scripts import sandbox_connections

QUICK = Retries(attempts=3, first_wait=0.01, max_wait=0.02)

_JOB = """
import json, os, pathlib, sys, time
parameters = json.loads(pathlib.Path(sys.argv[2]).read_bytes())["parameters"]
while not os.path.exists(parameters["gate"]):
    time.sleep(0.005)
sys.exit(int(pathlib.Path(parameters["gate"]).read_text()))
"""


@contextmanager
def running_sandbox(folder: Path) -> Iterator[Sandbox]:
    """Jobs wait for the file their parameter ``gate`` names, and end with the exit code in it."""
    script = folder / "job.py"
    script.write_text(_JOB)
    sandbox = Sandbox(folder / "sandbox", 4, [sys.executable, "-I", "-S", str(script)])
    with sandbox:
        yield sandbox


def control(endpoints: Endpoints, path: str, body: object = None, method: str | None = None) -> Any:
    """Speak to the sandbox's own door."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{endpoints.control}/{path}", data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def maxcompute_credentials(endpoints: Endpoints, **changes: str) -> MaxComputeCredentials:
    extra = {**sandbox_connections.maxcompute_extra(endpoints), **changes}
    return MaxComputeCredentials.from_extra("maxcompute_default", extra)


def oss_credentials(endpoints: Endpoints, **changes: str) -> OssCredentials:
    return OssCredentials.from_extra("oss_default", {**sandbox_connections.oss_extra(endpoints), **changes})
