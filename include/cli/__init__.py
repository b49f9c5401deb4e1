"""The command line: ``python -m include.cli <command>``. One module for each group of commands."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence

from include.cli import (
    adoption,
    configs,
    connections,
    control,
    daily,
    experiments,
    models,
    running,
    sandbox,
    store,
)
from include.errors import EasyRecAutoMLError

_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")
"""In an argument: Python reads a byte that is no UTF-8 as half of a surrogate pair."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with one clear message when something is wrong."""
    parser = _parser()
    if any(_IMPOSSIBLE.search(each) for each in (sys.argv[1:] if argv is None else argv)):
        print(
            "error: an argument holds a zero byte or is no UTF-8: no path, address or id is so",
            file=sys.stderr,
        )
        return 1
    arguments, rest = parser.parse_known_args(argv)
    if rest and not arguments.passes_rest_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    run: Callable[[argparse.Namespace], int | None] = arguments.run
    try:
        return run(arguments) or 0
    except EasyRecAutoMLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.cli", description="EasyRec AutoML on Airflow")
    parser.set_defaults(passes_rest_on=False)
    commands = parser.add_subparsers(required=True, metavar="command")
    groups = (models, connections, configs, experiments, control, running, daily, adoption, store, sandbox)
    for group in groups:
        group.add_to(commands)
    return parser
