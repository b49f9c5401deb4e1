"""The command ``sandbox``."""

from __future__ import annotations

import argparse

from include.cli.groups import Commands


def add_to(commands: Commands) -> None:
    # Its options are its own: argparse's REMAINDER takes none that comes first.
    sandbox = commands.add_parser("sandbox", help="run the stand-in MaxCompute and OSS", add_help=False)
    sandbox.set_defaults(run=_sandbox, passes_rest_on=True)


def _sandbox(arguments: argparse.Namespace) -> int:
    from include.sandbox.__main__ import main as sandbox_main

    return sandbox_main(arguments.rest)
