"""Commands on a model's folder: ``check`` and ``import-connections``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
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

    move = commands.add_parser(
        "import-connections", help="move the keys of an old ini into Airflow connections"
    )
    move.add_argument("ini", type=Path)
    move.add_argument("--maxcompute-conn-id", default="maxcompute_default")
    move.add_argument("--oss-conn-id", default="oss_default")
    move.add_argument("--region", required=True, help="region of the OSS bucket, e.g. cn-beijing")
    move.set_defaults(run=_import_connections)


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


def _import_connections(arguments: argparse.Namespace) -> None:
    """The keys go through a private file, never through a command line that others can see."""
    from include.jobs.ini import read_secrets, without_secrets

    secrets = read_secrets(arguments.ini)
    if not (secrets.access_key_id and secrets.access_key_secret):
        raise ConfigError("no accessKeyID and accessKeySecret here", where=str(arguments.ini))
    keys = {"access_key_id": secrets.access_key_id, "access_key_secret": secrets.access_key_secret}
    if secrets.security_token:
        keys["security_token"] = secrets.security_token
    maxcompute = {**keys, "project": secrets.odps_project, "endpoint": secrets.odps_endpoint}
    oss = {**keys, "auth_type": "AK", "region": arguments.region, "endpoint": secrets.oss_endpoint}
    connections = {
        arguments.maxcompute_conn_id: {"conn_type": "maxcompute", "extra": json.dumps(maxcompute)},
        arguments.oss_conn_id: {"conn_type": "oss", "extra": json.dumps(oss)},
    }
    with tempfile.TemporaryDirectory() as folder:  # made with mode 0700
        file = Path(folder) / "connections.json"
        file.write_text(json.dumps(connections))
        command = [sys.executable, "-m", "airflow", "connections", "import", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        # Its output is not shown: it may quote what it was given.
        raise ConfigError(
            f"'airflow connections import' ended with {done.returncode}; the ini was left as it is",
            hint="run 'airflow db check' in this environment",
        )
    text = arguments.ini.read_bytes().decode("utf-8-sig")
    replacement = arguments.ini.with_name(arguments.ini.name + ".new")
    replacement.write_bytes(without_secrets(text).encode())
    replacement.replace(arguments.ini)
    print(f"made connections {', '.join(connections)}; the keys were removed from {arguments.ini}")
