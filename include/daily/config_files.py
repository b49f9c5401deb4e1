"""Config files on OSS or on this machine's disk, in any mix (reference R23); never half-written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from include.errors import ConfigError
from include.ports import ObjectStore


class ConfigFiles:
    def __init__(self, objects: Callable[[], ObjectStore]) -> None:
        """``objects``: makes the object store, called only for ``oss://`` locations."""
        self._make = objects
        self._objects: ObjectStore | None = None

    def read(self, location: str) -> str:
        """Raises NotFoundError, or ConfigError for what is no text in UTF-8 or can't be read."""
        try:
            if location.startswith("oss://"):
                return self._oss().read(location).decode("utf-8")
            return Path(location).read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError("not a text file in UTF-8", where=location) from error
        except OSError as error:
            raise ConfigError(f"can't be read: {error.strerror}", where=location) from error

    def write(self, location: str, text: str) -> None:
        """The whole text at once: one PUT, or a temporary file that takes the other's place."""
        if location.startswith("oss://"):
            self._oss().write(location, text.encode())
            return
        target = Path(location)
        try:
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ConfigError(f"can't be written: {error.strerror}", where=location) from error

    def _oss(self) -> ObjectStore:
        self._objects = self._objects or self._make()
        return self._objects
