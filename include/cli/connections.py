"""The command ``import-connections``: keys of an old ini become Airflow connections."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from include.cli.groups import Commands
from include.errors import ConfigError
from include.texts import file_bytes, utf8

if TYPE_CHECKING:
    from include.jobs.ini import IniSecrets

Connection = tuple[str, Mapping[str, str]]
"""Type and extra of an Airflow connection."""


def add_to(commands: Commands) -> None:
    move = commands.add_parser(
        "import-connections", help="move the keys of an old ini into Airflow connections"
    )
    move.add_argument("ini", type=Path)
    move.add_argument("--maxcompute-conn-id", default="maxcompute_default")
    move.add_argument("--oss-conn-id", default="oss_default")
    move.add_argument("--region", required=True, help="region of the OSS bucket, e.g. cn-beijing")
    move.set_defaults(run=_import_connections)


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
    text = utf8(file_bytes(ini), str(ini)).removeprefix("\ufeff")
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
