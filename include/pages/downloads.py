"""Files that a person takes home: the event files of a trial."""

from __future__ import annotations

import posixpath
import zipfile
from tempfile import SpooledTemporaryFile
from typing import IO

from include.errors import ConfigError, NotFoundError
from include.ports import ObjectStore

_MOST_BYTES = 256 * 1024 * 1024
_IN_MEMORY = 8 * 1024 * 1024


def event_files(objects: ObjectStore, model_dir: str) -> IO[bytes]:
    """A zip of all TensorBoard event files below ``model_dir``, at its beginning.

    Raises NotFoundError when there is none, ConfigError when they are too large to send through Airflow.
    """
    prefix = model_dir.rstrip("/") + "/"
    found = [info for info in objects.list(prefix) if "tfevents" in posixpath.basename(info.url)]
    if not found:
        raise NotFoundError(f"there are no event files below {prefix}", hint="wait for the first evaluation")
    size = sum(info.size for info in found)
    if size > _MOST_BYTES:
        raise ConfigError(
            f"the event files have {size / 1e6:.0f} MB, more than {_MOST_BYTES / 1e6:.0f}",
            where=prefix,
            hint="copy them with ossutil (the trial's page shows the command)",
        )
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (whoever sends it closes it)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for info in found:
            archive.writestr(info.url.removeprefix(prefix), objects.read(info.url))
    file.seek(0)
    return file
