"""Runs one job's command and notes how it ended, so that the note outlives the sandbox.

Started as a plain script without site-packages (it must cost milliseconds):
``python -I -S supervisor.py JOBDIR/supervise.json LOCK_FD``. It leads the job's process group, holds
``LOCK_FD``'s lock as long as it lives (that is how a restarted sandbox knows), and its stdin is a pipe
whose end means that the sandbox is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

KILL_AFTER_S = 2.0


def main(spec_path: str, lock_fd: int) -> None:
    os.set_inheritable(lock_fd, False)
    spec = json.loads(Path(spec_path).read_bytes())
    # A handler, not SIG_IGN: an ignored signal would stay ignored in the job.
    signal.signal(signal.SIGTERM, _outlive_the_job)
    reason = ""
    with Path(spec["log"]).open("ab") as log:
        job = subprocess.Popen(
            spec["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec["cwd"],
            env={**os.environ, **spec["environment"]},
        )
    threading.Thread(target=_die_with_the_sandbox, args=(spec["orphan_grace"],), daemon=True).start()
    limit = spec["max_seconds"]
    try:
        code = job.wait(limit or None)
    except subprocess.TimeoutExpired:
        reason = f"stopped after {limit:g} seconds (maxTrainingTimeInHour)"
        job.terminate()
        try:
            code = job.wait(KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            job.kill()
            code = job.wait()
    target = Path(spec["exit"])
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps({"code": code, "reason": reason, "ended": time.time()}))
    temporary.replace(target)
    # Whatever the job left behind, and this process.
    os.killpg(0, signal.SIGKILL)


def _outlive_the_job(number: int, frame: FrameType | None) -> None:
    """SIGTERM goes to the whole group; the note about the job's end is still to be written."""


def _die_with_the_sandbox(grace: float) -> None:
    os.read(0, 1)
    time.sleep(grace)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
