"""The command line: ``python -m include.cli <command>``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import ConfigError, EasyRecAutoMLError, NotFoundError

if TYPE_CHECKING:
    from include.jobs.ini import IniSecrets

Connection = tuple[str, Mapping[str, str]]
"""Type and extra of an Airflow connection."""
STORE_ENV = "EASYREC_AUTOML_STORE"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with one clear message when something is wrong."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int | None] = arguments.run
    try:
        return run(arguments) or 0
    except EasyRecAutoMLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.cli", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

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

    sandbox = commands.add_parser("sandbox", help="run the stand-in MaxCompute and OSS", add_help=False)
    sandbox.add_argument("rest", nargs=argparse.REMAINDER)
    sandbox.set_defaults(run=_sandbox)

    experiments = commands.add_parser("experiments", help="list experiments or show one")
    experiments.add_argument("experiment", nargs="?", help="id; without it all are listed")
    experiments.add_argument("--model")
    experiments.add_argument("--json", action="store_true", help="for scripts")
    experiments.add_argument(
        "--store", help=f"database URL (default: ${STORE_ENV}, else easyrec_automl.db in $AIRFLOW_HOME)"
    )
    experiments.set_defaults(run=_experiments)
    return parser


def _check(arguments: argparse.Namespace) -> None:
    from include.errors import ProblemsError
    from include.experiments.opening import dry_run
    from include.experiments.plan import Plan

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

    ini: Path = arguments.ini.resolve()  # what a link points at is changed, not the link
    wanted = _connections_of(read_secrets(ini), arguments)
    with tempfile.TemporaryDirectory() as name:  # made with mode 0700
        folder = Path(name)
        found = _airflow_connections(folder)
        taken = sorted(id_ for id_ in wanted if id_ in found and found[id_] != wanted[id_])
        if taken:
            raise ConfigError(
                f"Airflow has other connections of these names: {', '.join(taken)}; nothing was changed",
                hint="airflow connections delete <id>, or other names: --maxcompute-conn-id, --oss-conn-id",
            )
        file = folder / "import.json"
        file.write_text(
            json.dumps({i: {"conn_type": t, "extra": json.dumps(e)} for i, (t, e) in wanted.items()})
        )
        _airflow("connections", "import", str(file))
        found = _airflow_connections(folder)
    # The import passes over what it can't make and succeeds all the same.
    missing = sorted(id_ for id_ in wanted if found.get(id_) != wanted[id_])
    if missing:
        raise ConfigError(
            f"Airflow did not take the connections {', '.join(missing)}; the ini was left as it is",
            hint="a connection's id may have letters, digits, '_', '-' and '.'",
        )
    text = ini.read_bytes().decode("utf-8-sig")
    replacement = ini.with_name(ini.name + ".new")
    try:
        replacement.write_bytes(without_secrets(text).encode())
        shutil.copymode(ini, replacement)
        replacement.replace(ini)
    except OSError as error:
        raise ConfigError(
            f"the connections {', '.join(wanted)} are there, but the file can't be changed: {error.strerror}",
            where=str(ini),
            hint="remove the lines with keys by hand",
        ) from error
    print(f"made connections {', '.join(wanted)}; the keys were removed from {ini}")


def _connections_of(secrets: IniSecrets, arguments: argparse.Namespace) -> dict[str, Connection]:
    """What Airflow shall have. Raises ConfigError for an ini that lacks a part."""
    parts = {
        "accessKeyID": secrets.access_key_id,
        "accessKeySecret": secrets.access_key_secret,
        "project_name": secrets.odps_project,
        "odps_endpoint": secrets.odps_endpoint,
    }
    lacking = [name for name, value in parts.items() if not value]
    if lacking:
        raise ConfigError(f"no {', '.join(lacking)} here; nothing was changed", where=str(arguments.ini))
    keys = {"access_key_id": secrets.access_key_id, "access_key_secret": secrets.access_key_secret}
    if secrets.security_token:
        keys["security_token"] = secrets.security_token
    maxcompute = {**keys, "project": secrets.odps_project, "endpoint": secrets.odps_endpoint}
    oss = {**keys, "auth_type": "AK", "region": arguments.region, "endpoint": secrets.oss_endpoint}
    wanted: dict[str, Connection] = {
        arguments.maxcompute_conn_id: ("maxcompute", maxcompute),
        arguments.oss_conn_id: ("oss", oss),
    }
    if len(wanted) < 2:
        raise ConfigError(f"{arguments.oss_conn_id} can't be both connections", hint="give two ids")
    return wanted


def _airflow_connections(folder: Path) -> dict[str, Connection]:
    """Every connection of Airflow's database, by way of a file in ``folder``."""
    file = folder / "export.json"
    _airflow("connections", "export", "--file-format", "json", str(file))
    exported = json.loads(file.read_text())
    return {i: (c["conn_type"], _mapping(c["extra"])) for i, c in exported.items()}


def _mapping(extra: str | None) -> dict[str, str]:
    try:
        return dict(json.loads(extra or "{}"))
    except (TypeError, ValueError):  # somebody else's connection; no extra has to be JSON
        return {}


def _airflow(*command: str) -> None:
    """Raises ConfigError when it fails. Its output is not shown: it may quote what it was given."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigError(
            f"'airflow {' '.join(command[:2])}' ended with {done.returncode}; the ini was left as it is",
            hint="run 'airflow db check' in this environment",
        )


def _sandbox(arguments: argparse.Namespace) -> int:
    from include.sandbox.__main__ import main as sandbox_main

    return sandbox_main(arguments.rest)


def _experiments(arguments: argparse.Namespace) -> None:
    from include.experiments.closing import report_of_store
    from include.store import ExperimentStore

    store = ExperimentStore.open(_store_address(arguments.store))
    if arguments.experiment is None:
        rows = [
            {
                "experiment": e.id,
                "model": e.model,
                "state": e.state.value,
                "created": e.created_at.isoformat(timespec="seconds"),
                "trials": len(store.trials(e.id)),
            }
            for e in store.experiments(arguments.model)
        ]
        print(
            json.dumps(rows, indent=2) if arguments.json else _table(rows) if rows else "no experiments yet"
        )
        return
    report = report_of_store(store, arguments.experiment)
    if arguments.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
        return
    print(
        f"{report.experiment}: {report.state}, seed {report.seed}, {report.optimize_mode} {dict(report.weights)}"
    )
    print(
        _table(
            [
                {
                    "#": t.number,
                    "state": t.state.value,
                    "metric": "" if t.metric is None else f"{t.metric:.5f}",
                    "seconds": f"{t.training_seconds:.1f}",
                    "parameters": json.dumps(dict(t.parameters), ensure_ascii=False),
                    "reason": t.reason,
                }
                for t in report.trials
            ]
        )
    )
    if report.best is not None:
        print(f"best: trial {report.best.number} ({report.best.metric})")
        print(
            f"model: {report.best_model_dir}\nconfig: {report.best_config}\nreport: {report.prefix}report.html"
        )


def _store_address(given: str | None) -> str:
    """Of a store that is there: opening another address would make a new file."""
    from include.store.database import parse_url

    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    default = home / "easyrec_automl.db"
    url = given or os.environ.get(STORE_ENV)
    address = parse_url(url) if url else None
    is_file = address is None or address.get_backend_name() == "sqlite"
    file = Path(address.database or "") if address is not None else default
    if is_file and not file.exists():
        raise NotFoundError(f"there is no experiment store at {file}", hint=f"give --store or ${STORE_ENV}")
    return url or f"sqlite:///{file}"


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    columns = list(rows[0]) if rows else []
    lines = [columns, *[[str(row[c]) for c in columns] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
