"""The little SQL that the sandbox understands: SELECT columns or COUNT(*) FROM one table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import NotFoundError
from include.sandbox.maxcompute.instances import SqlError
from include.sandbox.tables import Column, TableStorage, format_spec

_SELECT = re.compile(
    r"select\s+(?P<what>.+?)\s+from\s+(?:`?(?P<project>\w+)`?\.)?`?(?P<table>\w+)`?"
    r"(?:\s+where\s+(?P<where>.+?))?(?:\s+limit\s+(?P<limit>\d+))?\s*;?",
    re.IGNORECASE | re.DOTALL,
)
_EQUALS = re.compile(r"`?(\w+)`?\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|(-?[\d.]+))")
_COUNT = re.compile(r"count\(\s*[*1]\s*\)(?:\s+as\s+`?(\w+)`?)?", re.IGNORECASE)


@dataclass(frozen=True)
class ResultSet:
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]

    def to_csv(self) -> str:
        """As ``?result`` gives it: everything is text, NULL is ``\\N``."""
        stream = io.StringIO()
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        for row in self.rows:
            writer.writerow(["\\N" if value is None else value for value in row])
        return stream.getvalue()


def select(tables: TableStorage, project: str, query: str) -> ResultSet:
    """Raises SqlError with MaxCompute's code for a bad statement, table or column."""
    match = _SELECT.fullmatch(query.strip())
    if match is None:
        token = query.split()[0] if query.split() else ""
        message = f"invalid token '{token}', the sandbox reads one table by equal values only"
        raise SqlError(f"ODPS-0130161:[1,1] Parse exception - {message}")
    project, name = match["project"] or project, match["table"]
    try:
        schema = tables.schema(project, name)
    except NotFoundError:
        message = f"table {project}.{name} cannot be resolved"
        raise SqlError(f"ODPS-0130131:[1,15] Table not found - {message}") from None
    kinds = {column.name: column for column in schema.columns}
    kinds.update({key: Column(key, "string") for key in schema.partition_keys})
    levels, filters = _where(match["where"] or "", schema.partition_keys, kinds)
    count = _COUNT.fullmatch(match["what"].strip())
    wanted = _columns(match["what"], kinds) if count is None else list(kinds.values())
    names = list(dict.fromkeys([column.name for column in wanted] + [name for name, _ in filters]))
    specs = tables.partitions(project, name, format_spec(levels)) if schema.partition_keys else [""]
    rows: list[tuple[Any, ...]] = []
    for spec in specs:
        for row in tables.read_rows(project, name, spec, names):
            values = dict(zip(names, row, strict=True))
            if all(str(values[key]) == value for key, value in filters):
                rows.append(tuple(values[column.name] for column in wanted))
    if count is not None:
        return ResultSet((Column(count[1] or "_c0", "bigint"),), [(len(rows),)])
    return ResultSet(tuple(wanted), rows[: int(match["limit"])] if match["limit"] else rows)


def _columns(what: str, kinds: dict[str, Column]) -> list[Column]:
    if what.strip() == "*":
        return list(kinds.values())
    names = [name.strip().strip("`").lower() for name in what.split(",")]
    for name in names:
        if name not in kinds:
            raise SqlError(
                f"ODPS-0130071:[1,8] Semantic analysis exception - column {name} cannot be resolved"
            )
    return [kinds[name] for name in names]


def _where(
    text: str, partition_keys: Sequence[str], kinds: dict[str, Column]
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Partition levels and conditions on columns."""
    levels: dict[str, str] = {}
    filters: list[tuple[str, str]] = []
    for part in filter(None, re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE)):
        match = _EQUALS.fullmatch(part.strip())
        if match is None:
            message = f"the sandbox can't read the condition '{part}'"
            raise SqlError(f"ODPS-0130161:[1,1] Parse exception - {message}")
        name, value = match[1].lower(), next(item for item in match.groups()[1:] if item is not None)
        if name not in kinds:
            raise SqlError(
                f"ODPS-0130071:[1,8] Semantic analysis exception - column {name} cannot be resolved"
            )
        if name in partition_keys:
            levels[name] = value
        else:
            filters.append((name, value))
    return levels, filters
