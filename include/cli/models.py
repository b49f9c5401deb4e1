"""The command ``check``: a model's folder."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from include.cli.groups import Commands
from include.errors import EasyRecAutoMLError, ProblemsError
from include.texts import file_bytes, utf8


def add_to(commands: Commands) -> None:
    check = commands.add_parser("check", help="check a model folder without any network")
    check.add_argument("folder", type=Path, help="e.g. include/models/movielens")
    check.add_argument(
        "--pipeline-config", type=Path, help="local copy of -Dconfig: also check every key on it"
    )
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> None:
    """A model may have a search, a daily finetune, or both; one without either is checked as a search."""
    folder = arguments.folder.resolve()
    finetunes = (folder / "finetune").is_dir()
    errors: list[EasyRecAutoMLError] = []
    fine: list[str] = []
    if (folder / "begin").is_dir() or not finetunes:
        with _kept(errors):
            fine.append(_check_search(folder, arguments))
    if finetunes:
        with _kept(errors):
            fine.append(_check_finetune(folder))
    if len(errors) > 1:
        raise ProblemsError(f"model {folder.name} can't be used", [str(error) for error in errors])
    if errors:
        raise errors[0]
    print("\n".join(fine))


@contextlib.contextmanager
def _kept(errors: list[EasyRecAutoMLError]) -> Iterator[None]:
    try:
        yield
    except EasyRecAutoMLError as error:
        errors.append(error)


def _check_finetune(folder: Path) -> str:
    from include.daily.plan import FinetunePlan

    plan = FinetunePlan.load(folder)
    for note in plan.notes:
        print(f"note: {note}")
    return f"{plan.model}: daily finetune, objective {dict(plan.job.weights)}: fine"


def _check_search(folder: Path, arguments: argparse.Namespace) -> str:
    from include.experiments.plan import Plan
    from include.experiments.preflight import dry_run

    plan = Plan.load(folder)
    for note in (*plan.search.notes, *plan.job.warnings):
        print(f"note: {note}")
    if arguments.pipeline_config is not None:
        path: Path = arguments.pipeline_config
        text = utf8(file_bytes(path), str(path))
        found = dry_run(plan.with_pipeline_config(text))
        for notice in (p for p in found if not p.fatal):
            print(f"note: {notice}")
        problems = [str(p) for p in found if p.fatal]
        if problems:
            raise ProblemsError("the search space does not fit the pipeline config", problems)
    return f"{plan.model}: {len(plan.space)} hyper-parameters, objective {dict(plan.job.weights)}: fine"
