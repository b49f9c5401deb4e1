"""Where something secret is left: in files, in the rows of databases, in answers."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus


def files(root: Path, *, without: str = "") -> dict[str, bytes]:
    """Every file below a folder but those of one name, by its path."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != without)
    return {str(path): path.read_bytes() for path in found}


def rows(database: Path) -> bytes:
    """Every row of an SQLite database as SQL: in the file itself a long text lies in pieces."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)
    try:
        return "\n".join(connection.iterdump()).encode("utf-8", "surrogateescape")
    finally:
        connection.close()


def holding(places: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """The places that hold a secret, as it is or as it is written in an address, in JSON or in base64."""
    wanted = {form.encode() for secret in secrets for form in _written(secret)}
    return [where for where, data in places.items() if any(form in data for form in wanted)]


def _written(secret: str) -> tuple[str, ...]:
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], encoded
