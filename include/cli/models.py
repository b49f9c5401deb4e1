"""The command ``check``: a model's folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from include.cli.groups import Commands
from include.errors import ConfigError


def add_to(commands: Commands) -> None:
    check = commands.add_parser("check", help="check a model folder without any network")
    check.add_argument("folder", type=Path, help="e.g. include/models/movielens")
    check.add_argument(
        "--pipeline-config", type=Path, help="local copy of -Dconfig: also check every key on it"
    )
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> None:
    from include.errors import ProblemsError
    from include.experiments.plan import Plan
    from include.experiments.preflight import dry_run

    plan = Plan.load(arguments.folder.resolve())
    for note in (*plan.search.notes, *plan.job.warnings):
        print(f"note: {note}")
    if arguments.pipeline_config is not None:
        try:
            text = arguments.pipeline_config.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"can't be read: {error}", where=str(arguments.pipeline_config)) from error
        found = dry_run(plan.with_pipeline_config(text))
        for notice in (p for p in found if not p.fatal):
            print(f"note: {notice}")
        problems = [str(p) for p in found if p.fatal]
        if problems:
            raise ProblemsError("the search space does not fit the pipeline config", problems)
    print(f"{plan.model}: {len(plan.space)} hyper-parameters, objective {dict(plan.job.weights)}: fine")
