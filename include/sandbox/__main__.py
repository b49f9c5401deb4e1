"""``python -m include.sandbox --folder DIR``: the sandbox in the foreground until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from include.errors import EasyRecAutoMLError
from include.sandbox.data import load
from include.sandbox.sandbox import Endpoints, Sandbox

log = logging.getLogger(__name__)

ORPHAN_GRACE_S = 600.0
"""A killed sandbox's jobs go on this long, so that its successor finds them as PAI would have them."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 after an orderly end, 2 when something was wrong; the message is on stderr."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    done = threading.Event()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    sandbox = Sandbox(
        arguments.folder,
        arguments.capacity,
        ports=(arguments.maxcompute_port, arguments.oss_port),
        orphan_grace=ORPHAN_GRACE_S,
        speed=arguments.speed,
    )
    try:
        if arguments.data:
            summary = load(arguments.data, sandbox.tables, cache=arguments.folder / "cache")
            log.info("tables hold %s: %s", summary.kind_used, summary.notice)
        with sandbox as endpoints:
            if arguments.endpoints_file:
                _write_endpoints(arguments.endpoints_file, endpoints)
            done.wait()
    except (EasyRecAutoMLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _write_endpoints(path: Path, endpoints: Endpoints) -> None:
    """Readable for this user only: it holds the keys."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(asdict(endpoints), stream, indent=1)
    temporary.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.sandbox", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--capacity", type=int, default=4, help="jobs that train at the same time")
    parser.add_argument("--endpoints-file", type=Path, help="write addresses and keys here, as JSON")
    parser.add_argument("--data", choices=("movielens", "synthetic"), help="fill the tables first")
    parser.add_argument("--maxcompute-port", type=int, default=0, help="0: the folder's last one, or any")
    parser.add_argument("--oss-port", type=int, default=0)
    parser.add_argument("--speed", type=float, default=1.0, help="how fast jobs go; 1 is demo speed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
