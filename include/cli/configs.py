"""The command ``modify-pipeline-config``: hand a learning rate over to finetune (reference R23)."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from include.cli.groups import Commands
from include.errors import ConfigError

if TYPE_CHECKING:
    from include.ports import ObjectStore

_OSS = "oss://"


def add_to(commands: Commands) -> None:
    modify = commands.add_parser(
        "modify-pipeline-config",
        help="write the learning rate to start with into a pipeline config",
        description="Sets the rate with which the schedule of every optimizer begins; all else stays as it is. "
        "Either path may be local or on OSS, and both may be the same.",
        allow_abbrev=False,
    )
    for name, text in (
        ("pipeline_config_path", "the config to read: a file, or oss://…"),
        ("save_path", "where the patched config goes: a file, or oss://…"),
        ("learning_rate", "e.g. 1e-6; or one for each optimizer_config: 1e-6,1e-5"),
    ):
        modify.add_argument(f"--{name}", f"--{name.replace('_', '-')}", required=True, help=text)
    modify.add_argument(
        "--oss_config",
        "--oss-config",
        type=Path,
        help="ossutil's configuration file with the keys of OSS (default: ~/.ossutilconfig)",
    )
    modify.set_defaults(run=_modify)


def _modify(arguments: argparse.Namespace) -> None:
    from include.finetune.learning_rate import hand_over

    source, target = arguments.pipeline_config_path, arguments.save_path
    rates = _rates(arguments.learning_rate)
    uses_oss = source.startswith(_OSS) or target.startswith(_OSS)
    objects = _objects(arguments.oss_config) if uses_oss else None
    text = _read(source, objects)
    try:
        handed = hand_over(text, rates[0] if len(rates) == 1 else rates)
    except ConfigError as error:
        raise ConfigError(str(error), where=source) from error
    for warning in handed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    _write(target, handed.text, objects)
    for change in handed.changes:
        print(change)
    print(f"{target}: {'written' if handed.changes else 'written, it had this rate already'}")


def _rates(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        hint = "write e.g. 1e-6, or one for each optimizer: 1e-6,1e-5"
        raise ConfigError(f"{text!r} is not a number", where="--learning_rate", hint=hint) from None


def _objects(oss_config: Path | None) -> ObjectStore:
    from include.adapters import ossutil_config
    from include.adapters.oss import OssObjects

    return OssObjects(ossutil_config.load(oss_config or ossutil_config.DEFAULT_PATH))


def _read(path: str, objects: ObjectStore | None) -> str:
    try:
        if path.startswith(_OSS):
            assert objects is not None
            data = objects.read(path)
        else:
            data = Path(path).expanduser().read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", where=path) from None


def _write(path: str, text: str, objects: ObjectStore | None) -> None:
    """All of it or nothing: one PUT, or a file that takes the place of the old one at once."""
    data = text.encode()
    if path.startswith(_OSS):
        assert objects is not None
        objects.write(path, data)
        return
    try:
        _replace(Path(path).expanduser().resolve(), data)
    except OSError as error:
        raise ConfigError(f"can't be written: {error.strerror}", where=path) from error


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
