"""Config files on OSS or on this machine's disk, in any mix (reference R23); never half-written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from include.errors import ConfigError
from include.ports import ObjectStore
from include.texts import file_bytes, local_path, utf8


class ConfigFiles:
    def __init__(self, objects: Callable[[], ObjectStore]) -> None:
        """``objects``: makes the object store, called only for ``oss://`` locations."""
        self._make = objects
        self._objects: ObjectStore | None = None

    def read(self, location: str) -> str:
        """Raises NotFoundError, or ConfigError for what can't be read or is no text in UTF-8."""
        data = self._oss().read(location) if _is_oss(location) else file_bytes(Path(location))
        return utf8(data, location)

    def write(self, location: str, text: str) -> None:
        """The whole text or nothing: one PUT, or a file that takes the place of the old one at once."""
        if _is_oss(location):
            self._oss().write(location, text.encode())
            return
        try:
            _replace(local_path(location).resolve(), text.encode())
        except OSError as error:
            raise ConfigError(f"can't be written: {error.strerror}", where=location) from error

    def _oss(self) -> ObjectStore:
        self._objects = self._objects or self._make()
        return self._objects


def _is_oss(location: str) -> bool:
    return location.startswith("oss://")


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
