"""Where something secret is left: in files, in the rows of databases, in answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import sqlalchemy as sa


def files(root: Path, *, without: str = "") -> dict[str, bytes]:
    """Every file below a folder but those of one name, by its path."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != without)
    return {str(path): path.read_bytes() for path in found}


def rows(database: str | sa.URL) -> bytes:
    """Every row of a database as a line that begins with its table: in the files a long text lies in pieces."""
    engine, tables = sa.create_engine(database), sa.MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        found = [
            f"{table.name}: {json.dumps(list(row), default=_text, ensure_ascii=False)}"
            for table in tables.sorted_tables
            for row in connection.execute(sa.select(table))
        ]
    engine.dispose()
    return "\n".join(found).encode("utf-8", "surrogateescape")


def _text(value: object) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, (bytes, memoryview)) else str(value)


def holding(places: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """The places that hold a secret, as it is or as it is written in an address, in JSON or in base64."""
    wanted = {form.encode() for secret in secrets for form in _written(secret)}
    return [where for where, data in places.items() if any(form in data for form in wanted)]


def _written(secret: str) -> tuple[str, ...]:
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], encoded
