"""Jobs of the sandbox: capacity, stopping, time limits, and what survives a kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import oss2
import pytest
from odps import ODPS, errors

from include.errors import StateError
from include.sandbox import Endpoints, Sandbox
from include.sandbox.jobs import PROJECT_ROOT

from .conftest import connect, control, train, wait_until


def training(odps: ODPS, job: Any) -> Any:
    """The sub-instance that trains, once there is one."""
    return odps.get_xflow_sub_instances(job).get("train")


def process_of(folder: Path, job: Any) -> int:
    """Process id of a running job's own process, from what it printed."""
    log = folder / "jobs" / job.id / "log.txt"
    text = wait_until(lambda: log.exists() and log.read_text())
    return int(text.split()[3])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not Path("/proc/self").exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def task_status(job: Any) -> str:
    (status,) = job.get_task_statuses().values()
    return status.status.value


def test_jobs_wait_while_all_slots_are_taken(odps: ODPS, sandbox: Sandbox, tmp_path: Path) -> None:
    gates = [tmp_path / f"gate{number}" for number in range(3)]
    first, second, third = (train(odps, gate=str(gate)) for gate in gates)
    wait_until(lambda: training(odps, first) and training(odps, second))
    assert control(sandbox.endpoints, "GET", "/health") == {"capacity": 2, "waiting": 1, "running": 2}
    assert third.status.value == "Running"
    assert training(odps, third) is None
    gates[1].touch()
    wait_until(lambda: training(odps, third))
    assert second.is_successful()
    assert training(odps, first).status.value == "Running"


def test_more_capacity_starts_waiting_jobs_at_once(odps: ODPS, endpoints: Endpoints, tmp_path: Path) -> None:
    jobs = [train(odps, gate=str(tmp_path / "never")) for _ in range(3)]
    wait_until(lambda: training(odps, jobs[1]))
    control(endpoints, "POST", "/settings", {"capacity": 3})
    wait_until(lambda: training(odps, jobs[2]))


def test_stopping_a_job_stops_its_process_and_frees_its_slot(
    odps: ODPS, sandbox: Sandbox, tmp_path: Path
) -> None:
    job = train(odps, gate=str(tmp_path / "never"))
    sub = wait_until(lambda: training(odps, job))
    pid = process_of(sandbox.folder, job)
    job.stop()
    assert job.is_terminated()
    assert (task_status(job), task_status(sub)) == ("CANCELLED", "CANCELLED")
    wait_until(lambda: not is_running(pid))
    wait_until(lambda: control(sandbox.endpoints, "GET", "/health")["running"] == 0)
    with pytest.raises(errors.ODPSError) as caught:
        job.stop()
    assert (caught.value.status_code, caught.value.code) == (409, "InvalidStateSetting")


def test_stopping_only_the_training_fails_the_job(odps: ODPS, sandbox: Sandbox, tmp_path: Path) -> None:
    job = train(odps, gate=str(tmp_path / "never"))
    sub = wait_until(lambda: training(odps, job))
    pid = process_of(sandbox.folder, job)
    sub.stop()
    assert (task_status(job), task_status(sub)) == ("FAILED", "CANCELLED")
    wait_until(lambda: not is_running(pid))


def test_a_waiting_job_that_is_stopped_never_starts(odps: ODPS, endpoints: Endpoints, tmp_path: Path) -> None:
    control(endpoints, "POST", "/settings", {"capacity": 0})
    job = train(odps, model_dir="oss://sandbox-bucket/m/")
    job.stop()
    control(endpoints, "POST", "/settings", {"capacity": 1})
    wait_until(train(odps).is_terminated)
    books = control(endpoints, "GET", "/books")
    assert books["trained"] == {"oss://sandbox-bucket/m/": 0}
    assert training(odps, job) is None


def test_a_job_is_asked_to_end_and_killed_when_it_does_not(tmp_path: Path) -> None:
    folder, script = tmp_path / "sandbox", tmp_path / "stubborn.py"
    script.write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('never', flush=True))\n"
        "print('training in process', os.getpid(), flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    with Sandbox(folder, 1, [sys.executable, "-I", "-S", str(script)]) as endpoints:
        odps = connect(endpoints)
        job = train(odps)
        wait_until(lambda: training(odps, job))
        pid = process_of(folder, job)
        job.stop()
        wait_until(lambda: not is_running(pid))
        assert (folder / "jobs" / job.id / "log.txt").read_text().endswith("never\n")


def test_what_a_job_leaves_running_ends_with_it(tmp_path: Path) -> None:
    folder, script = tmp_path / "sandbox", tmp_path / "parent.py"
    script.write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)'])\n"
        "print('training in process', child.pid, flush=True)\n"
    )
    with Sandbox(folder, 1, [sys.executable, "-I", "-S", str(script)]) as endpoints:
        job = train(connect(endpoints))
        wait_until(job.is_successful)
        pid = process_of(folder, job)
        wait_until(lambda: not is_running(pid))


def test_the_services_own_time_limit_ends_a_job(odps: ODPS, sandbox: Sandbox, tmp_path: Path) -> None:
    job = train(odps, gate=str(tmp_path / "never"), maxTrainingTimeInHour=str(0.3 / 3600))
    wait_until(job.is_terminated)
    assert task_status(job) == "FAILED"
    assert "maxTrainingTimeInHour" in job.get_task_result("AnonymousXFlowTask")


def test_a_job_whose_process_is_killed_fails(odps: ODPS, sandbox: Sandbox, tmp_path: Path) -> None:
    job = train(odps, gate=str(tmp_path / "never"))
    wait_until(lambda: training(odps, job))
    os.kill(process_of(sandbox.folder, job), signal.SIGKILL)
    wait_until(job.is_terminated)
    assert task_status(job) == "FAILED"


def test_the_books_say_how_often_each_model_dir_was_trained(odps: ODPS, endpoints: Endpoints) -> None:
    for _ in range(2):
        wait_until(train(odps, model_dir="oss://sandbox-bucket/twice/").is_terminated)
    books = control(endpoints, "GET", "/books")
    assert books["trained"] == {"oss://sandbox-bucket/twice/": 2}
    events = [entry["event"] for entry in books["ledger"]]
    assert events[:4] == ["submitted", "started", "process_ended", "ended"]


def test_the_books_survive_a_line_that_was_torn_by_a_kill(tmp_path: Path, runner: Sequence[str]) -> None:
    folder = tmp_path / "sandbox"
    with Sandbox(folder, 2, runner) as endpoints:
        wait_until(train(connect(endpoints)).is_terminated)
    with (folder / "books.jsonl").open("ab") as books:
        books.write(b'{"time": 1, "event": "subm')
    with Sandbox(folder, 2, runner) as endpoints:
        wait_until(train(connect(endpoints)).is_terminated)
        events = [entry["event"] for entry in control(endpoints, "GET", "/books")["ledger"]]
    assert events == ["submitted", "started", "process_ended", "ended"] * 2


def test_leaving_the_sandbox_stops_every_job(tmp_path: Path, runner: Sequence[str]) -> None:
    with Sandbox(tmp_path / "sandbox", 2, runner) as endpoints:
        odps = connect(endpoints)
        jobs = [train(odps, gate=str(tmp_path / "never")) for _ in range(2)]
        wait_until(lambda: training(odps, jobs[1]))
        pids = [process_of(tmp_path / "sandbox", job) for job in jobs]
    assert not any(is_running(pid) for pid in pids)


def test_a_folder_has_one_sandbox_at_a_time(sandbox: Sandbox) -> None:
    with pytest.raises(StateError, match="another sandbox"):
        Sandbox(sandbox.folder).start()


def test_everything_is_there_again_after_a_restart(tmp_path: Path, runner: Sequence[str]) -> None:
    folder = tmp_path / "sandbox"
    with Sandbox(folder, 2, runner) as before:
        odps = connect(before)
        job = train(odps, code="0")
        wait_until(job.is_terminated)
        auth = oss2.AuthV4(before.access_key_id, before.access_key_secret)
        bucket = oss2.Bucket(auth, before.oss, before.bucket, region="cn-sandbox")
        bucket.put_object("a/b", b"x")
    with Sandbox(folder, 2, runner) as after:
        assert after == before
        assert bucket.get_object("a/b").read() == b"x"
        assert odps.get_instance(job.id).is_successful()
        assert training(odps, job)


# -- as a program -----------------------------------------------------------------------------------


class Program:
    """``python -m include.sandbox`` with this test's runner in a module of its own."""

    def __init__(self, folder: Path, runner: Sequence[str]) -> None:
        self.folder = folder
        self.file = folder.parent / "endpoints.json"
        self._main = folder.parent / "main.py"
        self._main.write_text(
            "import sys\n"
            "from include.sandbox import jobs, __main__ as program, sandbox\n"
            f"sandbox.TRAINER = tuple({list(runner)!r})\n"
            "sys.exit(program.main(sys.argv[1:]))\n"
        )

    def start(self) -> Endpoints:
        self.file.unlink(missing_ok=True)
        command = [sys.executable, str(self._main), "--folder", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, "--endpoints-file", str(self.file)],
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
            stderr=subprocess.PIPE,
        )
        wait_until(self.file.exists)
        return Endpoints(**json.loads(self.file.read_text()))

    def end(self, number: int) -> str:
        self.process.send_signal(number)
        _, errors_written = self.process.communicate(timeout=20)
        return errors_written.decode()


@pytest.fixture
def program(tmp_path: Path, runner: Sequence[str]) -> Iterator[Program]:
    one = Program(tmp_path / "sandbox", runner)
    yield one
    if one.process.poll() is None:
        one.end(signal.SIGTERM)


def test_a_job_outlives_a_killed_sandbox_and_its_successor_adopts_it(
    program: Program, tmp_path: Path
) -> None:
    odps = connect(program.start())
    gates = [tmp_path / "first", tmp_path / "second"]
    going, ending = (train(odps, gate=str(gate)) for gate in gates)
    wait_until(lambda: training(odps, going) and training(odps, ending))
    pid = process_of(program.folder, going)
    program.end(signal.SIGKILL)
    gates[1].touch()
    wait_until((program.folder / "jobs" / ending.id / "exit.json").exists)
    assert is_running(pid)

    program.start()
    assert not odps.get_instance(going.id).is_terminated()
    wait_until(odps.get_instance(ending.id).is_successful)
    gates[0].touch()
    wait_until(odps.get_instance(going.id).is_successful)


def test_an_adopted_job_can_be_stopped(program: Program, tmp_path: Path) -> None:
    odps = connect(program.start())
    job = train(odps, gate=str(tmp_path / "never"))
    wait_until(lambda: training(odps, job))
    pid = process_of(program.folder, job)
    program.end(signal.SIGKILL)
    program.start()
    odps.get_instance(job.id).stop()
    wait_until(lambda: not is_running(pid))


def test_a_job_that_died_while_the_sandbox_was_away_has_failed(program: Program, tmp_path: Path) -> None:
    odps = connect(program.start())
    job = train(odps, gate=str(tmp_path / "never"))
    wait_until(lambda: training(odps, job))
    program.end(signal.SIGKILL)
    os.killpg(int((program.folder / "jobs" / job.id / "pid").read_text()), signal.SIGKILL)
    program.start()
    wait_until(odps.get_instance(job.id).is_terminated)
    assert task_status(odps.get_instance(job.id)) == "FAILED"


def test_jobs_that_waited_are_still_in_the_queue_after_a_kill(program: Program, tmp_path: Path) -> None:
    endpoints = program.start()
    odps = connect(endpoints)
    control(endpoints, "POST", "/settings", {"capacity": 0})
    jobs = [train(odps) for _ in range(2)]
    program.end(signal.SIGKILL)
    program.start()
    for job in jobs:
        wait_until(odps.get_instance(job.id).is_successful)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ended_program_leaves_no_process_and_no_key_in_its_log(
    program: Program, tmp_path: Path, number: int
) -> None:
    endpoints = program.start()
    odps = connect(endpoints)
    job = train(odps, gate=str(tmp_path / "never"))
    wait_until(lambda: training(odps, job))
    pid = process_of(program.folder, job)
    written = program.end(number)
    assert program.process.returncode == 0
    assert not is_running(pid)
    assert endpoints.oss in written
    assert endpoints.access_key_id not in written
    assert endpoints.access_key_secret not in written
    assert (program.file.stat().st_mode & 0o777) == 0o600


def test_without_grace_a_killed_sandbox_takes_its_jobs_with_it(tmp_path: Path, runner: Sequence[str]) -> None:
    folder = tmp_path / "sandbox"
    host = tmp_path / "host.py"
    host.write_text(
        "import sys, time\n"
        "from include.sandbox import Sandbox\n"
        f"print(Sandbox({str(folder)!r}, 2, {list(runner)!r}).start().maxcompute, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(host)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    endpoint = process.stdout.readline().strip()
    keys = json.loads((folder / "credentials.json").read_text())
    odps = ODPS(keys["id"], keys["secret"], "sandbox", endpoint)
    job = train(odps, gate=str(tmp_path / "never"))
    wait_until(lambda: training(odps, job))
    pid = process_of(folder, job)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: not is_running(pid))
