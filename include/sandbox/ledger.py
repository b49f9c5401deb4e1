"""An append-only record of what happened, one JSON object per line, for audits."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any


class Ledger:
    """``books.jsonl``. Every entry has ``time`` (epoch seconds) and ``event``; a torn last line is skipped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def write(self, event: str, **details: Any) -> None:
        line = json.dumps({"time": time.time(), "event": event, **details}, ensure_ascii=False) + "\n"
        with self._lock, self._path.open("ab") as stream:
            stream.write(line.encode())

    def read(self) -> list[dict[str, Any]]:
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith(b"}\n")]
