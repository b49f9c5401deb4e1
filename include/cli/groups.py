"""What the groups of commands share."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from include.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from include.ports import ObjectStore
    from include.store import ExperimentStore

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STORE_ENV = "EASYREC_AUTOML_STORE"


def table(rows: Sequence[Mapping[str, object]]) -> str:
    columns = list(rows[0]) if rows else []
    lines = [columns, *[[str(row[c]) for c in columns] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def add_store_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store", help=f"database URL (default: ${STORE_ENV}, else easyrec_automl.db in $AIRFLOW_HOME)"
    )


def open_store(arguments: argparse.Namespace) -> ExperimentStore:
    from include.store import ExperimentStore

    return ExperimentStore.open(_store_address(arguments.store))


def add_oss_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--oss_config",
        "--oss-config",
        type=Path,
        help="ossutil's configuration file with the keys of OSS (default: ~/.ossutilconfig)",
    )


def objects(oss_config: Path | None) -> ObjectStore:
    """OSS with the keys of ossutil's file. No request is sent here."""
    from include.adapters import ossutil_config
    from include.adapters.oss import OssObjects

    return OssObjects(ossutil_config.load(oss_config or ossutil_config.DEFAULT_PATH))


def user() -> str:
    """Who works at this terminal, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # which one depends on Python's version
        raise ConfigError("this account has no name to record", hint="export LOGNAME=<your name>") from None


def confirm(what: str, *, yes: bool) -> None:
    """Ask the person at the terminal, unless ``yes``. Raises ConfigError when nobody agrees."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody is here to confirm: {what}", hint="add --yes")
    if input(f"From now on {what}. Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise ConfigError("not confirmed: nothing was changed")


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
