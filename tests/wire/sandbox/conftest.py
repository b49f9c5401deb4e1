"""A sandbox whose jobs are a few lines of Python, and the real clients in front of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import oss2
import pytest
import requests
from odps import ODPS

from include.sandbox import Endpoints, Sandbox

JOB = """
import json, os, pathlib, sys, time
job = json.loads(pathlib.Path(sys.argv[2]).read_bytes())
parameters = job["parameters"]
print("training in process", os.getpid(), flush=True)
gate = parameters.get("gate")
while gate and not os.path.exists(gate):
    time.sleep(0.005)
print("last words", flush=True)
sys.exit(int(parameters.get("code", 0)))
"""


@pytest.fixture
def runner(tmp_path: Path) -> Sequence[str]:
    """A job that ends with ``code``, once the file ``gate`` exists."""
    script = tmp_path / "job.py"
    script.write_text(JOB)
    return [sys.executable, "-I", "-S", str(script)]


@pytest.fixture
def sandbox(tmp_path: Path, runner: Sequence[str]) -> Iterator[Sandbox]:
    one = Sandbox(tmp_path / "sandbox", 2, runner)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def endpoints(sandbox: Sandbox) -> Endpoints:
    return sandbox.endpoints


@pytest.fixture
def odps(endpoints: Endpoints) -> ODPS:
    return connect(endpoints)


@pytest.fixture
def bucket(endpoints: Endpoints) -> oss2.Bucket:
    auth = oss2.AuthV4(endpoints.access_key_id, endpoints.access_key_secret)
    return oss2.Bucket(auth, endpoints.oss, endpoints.bucket, region="cn-sandbox")


def connect(endpoints: Endpoints, **options: Any) -> ODPS:
    arguments = (endpoints.access_key_id, endpoints.access_key_secret, endpoints.project)
    return ODPS(*arguments, endpoints.maxcompute, **options)


def train(odps: ODPS, **parameters: Any) -> Any:
    given = {"arn": "acs:ram::1:role/r", "buckets": "oss://sandbox-bucket/", **parameters}
    return odps.run_xflow("easy_rec_ext", "algo_public", parameters=given)


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What the condition gives once it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.01)
    return found


def control(endpoints: Endpoints, method: str, path: str, body: Any = None) -> Any:
    answer = requests.request(method, endpoints.control + path, json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def inject(endpoints: Endpoints) -> Callable[..., Any]:
    return lambda **fault: control(endpoints, "POST", "/faults", fault)
