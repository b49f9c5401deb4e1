"""An append-only record of what happened, one JSON object per line, for audits."""

from __future__ import annotations

import errno
import json
import threading
import time
from pathlib import Path
from typing import Any


class Ledger:
    """``books.jsonl``: every entry has ``time`` (epoch seconds) and ``event``.

    A line that a killed process left unfinished is not an entry; one that the disk has no room for raises OSError
    and leaves nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        if path.exists() and (written := path.read_bytes()) and not written.endswith(b"\n"):
            with path.open("ab") as stream:
                stream.write(b"\n")

    def write(self, event: str, **details: Any) -> None:
        line = json.dumps({"time": time.time(), "event": event, **details}, ensure_ascii=False) + "\n"
        with self._lock, self._path.open("ab", buffering=0) as stream:
            before = stream.tell()
            try:
                written = stream.write(line.encode())
                if written != len(line.encode()):
                    raise OSError(errno.ENOSPC, "half a line only", str(self._path))
            except OSError:
                stream.truncate(before)  # else the next entry would be the rest of this one
                raise

    def read(self) -> list[dict[str, Any]]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [entry for line in lines if (entry := _parse(line))]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return entry
