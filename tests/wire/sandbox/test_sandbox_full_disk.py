"""A sandbox whose disk is full for a while: what it can't keep has not happened, and nothing is lost."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from odps import ODPS, errors

from include.sandbox import Sandbox
from include.sandbox.ledger import Ledger

from .conftest import control, train, wait_until
from .test_sandbox_jobs import is_running, process_of, training


@contextmanager
def full_disk(*, ledger_only: bool) -> Iterator[None]:
    """Nothing can be written where the books are."""

    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "write", no_room)
        if not ledger_only:
            patch.setattr(Path, "write_text", no_room)
        yield


def instances(sandbox: Sandbox) -> list[dict[str, Any]]:
    every = control(sandbox.endpoints, "GET", "/books")["instances"]
    return [each for each in every if each["kind"] == "XFlow"]


@pytest.mark.parametrize("ledger_only", [True, False])
def test_a_job_that_there_is_no_room_for_was_never_submitted(
    odps: ODPS, sandbox: Sandbox, ledger_only: bool
) -> None:
    with full_disk(ledger_only=ledger_only), pytest.raises(errors.ODPSError):
        train(odps, code=0)

    assert instances(sandbox) == []
    job = train(odps, code=0)
    job.wait_for_success(interval=0.05)
    assert [each["id"] for each in instances(sandbox)] == [job.id]


@pytest.mark.parametrize("ledger_only", [True, False])
def test_a_stop_that_could_not_be_kept_leaves_no_job_that_runs_on_as_stopped(
    odps: ODPS, sandbox: Sandbox, tmp_path: Path, ledger_only: bool
) -> None:
    job = train(odps, gate=str(tmp_path / "never"))
    wait_until(lambda: training(odps, job))
    pid = process_of(sandbox.folder, job)

    with full_disk(ledger_only=ledger_only), pytest.raises(errors.ODPSError):
        job.stop()

    if not job.is_terminated():
        job.stop()
    wait_until(lambda: not is_running(pid))


def test_the_end_of_a_job_is_told_once_there_is_room(odps: ODPS, sandbox: Sandbox, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = train(odps, gate=str(gate))
    wait_until(lambda: training(odps, job))
    pid = process_of(sandbox.folder, job)

    with full_disk(ledger_only=False):
        gate.touch()
        wait_until(lambda: not is_running(pid))
        wait_until(lambda: control(sandbox.endpoints, "GET", "/health")["running"] == 0)

    wait_until(job.is_successful)
