"""``python -m include.sandbox.trainer --job job.json``: exit code 0 when the job succeeded, else 1."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

# Several jobs share two cores; threads inside each would only get in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from include.errors import EasyRecAutoMLError
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.runner import run

log = logging.getLogger("easy_rec")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.sandbox.trainer", description=__doc__)
    parser.add_argument("--job", required=True, type=Path, help="the job's description, see trainer/job.py")
    job = Job.read(parser.parse_args(arguments).job.read_text("utf-8"))
    _start_log(job.log)
    try:
        result = run(job)
    except EasyRecAutoMLError as error:
        log.error("job %s failed: %s", job.job_id, error)
        return 1
    except Exception:
        log.exception("job %s failed", job.job_id)
        return 1
    log.info("job %s succeeded: %s", job.job_id, result)
    return 0


def _start_log(path: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None and not _is_stderr(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO, format="[%(asctime)s][%(levelname)s] %(message)s", handlers=handlers
    )


def _is_stderr(path: Path) -> bool:
    """The service may already send our stderr to that very file."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(sys.stderr.fileno()))


if __name__ == "__main__":
    sys.exit(main())
