"""The command ``logview``: links to the logs of a trial's job (reference R4)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from include.cli.groups import Commands, add_store_option, open_store
from include.errors import NotFoundError

if TYPE_CHECKING:
    from include.store import Step

_LINK_HOURS = 24


def add_to(commands: Commands) -> None:
    logview = commands.add_parser(
        "logview",
        help="make links to the logs of a trial's job",
        description="Prints one link for the job and for each of its parts. A link carries a token: whoever has "
        "it reads the log until it expires. It is stored nowhere. Keys come from odpscmd's configuration file.",
        allow_abbrev=False,
    )
    logview.add_argument("experiment", help="id of a search, or of a single job")
    logview.add_argument("trial", type=int, help="its number; 0 for a single job")
    logview.add_argument(
        "--hours",
        type=int,
        default=1,
        choices=range(1, _LINK_HOURS + 1),
        metavar="N",
        help="1 (default) to 24",
    )
    logview.add_argument(
        "--odps_config",
        "--odps-config",
        type=Path,
        help="odpscmd's configuration file with the keys of MaxCompute (default: ~/.odpscmd/odps_config.ini)",
    )
    add_store_option(logview)
    logview.set_defaults(run=_logview)


def _logview(arguments: argparse.Namespace) -> None:
    from include.adapters import odpscmd_config
    from include.adapters.maxcompute import MaxComputeJobs

    job_id = str(_latest_job(arguments).job_id)
    credentials = odpscmd_config.load(arguments.odps_config or odpscmd_config.DEFAULT_PATH)
    links = MaxComputeJobs(credentials).logview(job_id, hours=arguments.hours)
    for name, link in links.items():
        print(f"{name}  {link}")


def _latest_job(arguments: argparse.Namespace) -> Step:
    store = open_store(arguments)
    trial = store.trial(arguments.experiment, arguments.trial)
    submitted = [s for s in store.steps(trial.experiment_id, trial.number) if s.job_id is not None]
    if not submitted:
        why = f": {trial.reason}" if trial.reason else ""
        raise NotFoundError(
            f"trial {trial.number} of {trial.experiment_id} has no job ({trial.state.value}{why})",
            hint="there is a log once its job was submitted",
        )
    step = submitted[-1]
    if step.id.epoch != trial.epoch:
        print("note: the newest job is one from before its task was cleared", file=sys.stderr)
    return step
