"""Tables and partitions on disk: what MaxCompute's tables are to the stand-in and to its trainer.

One folder per table, one ``.npz`` of columns per partition, so that a trainer reads a day in a
millisecond and without going over HTTP. Safe for several threads and processes: every file is written
under another name and renamed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from include.errors import ConfigError, NotFoundError

Values = npt.NDArray[Any]

_DTYPES: dict[str, Any] = {"bigint": np.int64, "double": np.float64, "boolean": np.bool_, "string": np.str_}
_FILLERS: dict[str, Any] = {"bigint": 0, "double": np.nan, "boolean": False, "string": ""}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VALUE = re.compile(r"[A-Za-z0-9_.:+-]+")


@dataclass(frozen=True)
class Column:
    """``type`` is one of ``bigint``, ``double``, ``boolean``, ``string``."""

    name: str
    type: str


@dataclass(frozen=True)
class TableSchema:
    """Partition keys are strings and not among ``columns``, as in MaxCompute."""

    project: str
    name: str
    columns: tuple[Column, ...]
    partition_keys: tuple[str, ...] = ()
    comment: str = ""
    created: float = 0.0


@dataclass(frozen=True)
class PartitionInfo:
    """``size`` in bytes on disk, ``modified`` in seconds since the epoch."""

    spec: str
    rows: int
    size: int
    modified: float


def parse_spec(spec: str) -> dict[str, str]:
    """``dt=20240101/hour=03`` (also ``,`` between levels, also quoted values) as an ordered mapping.

    Raises ConfigError for anything else.
    """
    levels: dict[str, str] = {}
    for level in filter(None, re.split(r"[/,]", spec)):
        key, separator, value = level.partition("=")
        key, value = key.strip().lower(), value.strip().strip("'\"")
        if not separator or not _NAME.fullmatch(key) or not _VALUE.fullmatch(value):
            raise ConfigError(f"{spec!r} is not a partition", hint="write dt=20240101 or dt=20240101/hour=03")
        levels[key] = value
    return levels


def format_spec(levels: Mapping[str, str]) -> str:
    return "/".join(f"{key}={value}" for key, value in levels.items())


class TableStorage:
    """Tables under one folder. Table and column names are case-insensitive, kept in lower case."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._row_counts: dict[Path, tuple[tuple[int, int, int], int]] = {}

    # -- definition ---------------------------------------------------------------------------------

    def create_table(
        self,
        project: str,
        name: str,
        columns: Sequence[tuple[str, str]],
        partition_keys: Sequence[str] = (),
        *,
        comment: str = "",
    ) -> TableSchema:
        """Create a table, or return the one that is there if it has the same columns.

        ``columns``: ``(name, type)``. Raises ConfigError for a bad name or type and for a table that
        exists with other columns.
        """
        schema = TableSchema(
            project,
            _table_name(name),
            tuple(Column(_column_name(column), _column_type(kind)) for column, kind in columns),
            tuple(_column_name(key) for key in partition_keys),
            comment,
            time.time(),
        )
        names = [column.name for column in schema.columns] + list(schema.partition_keys)
        if len(set(names)) != len(names):
            raise ConfigError(f"table {name} names a column twice", hint=", ".join(names))
        if self.exists(project, name):
            found = self.schema(project, name)
            if (found.columns, found.partition_keys) != (schema.columns, schema.partition_keys):
                raise ConfigError(f"table {project}.{name} exists with other columns", hint="drop it first")
            return found
        body = {
            "columns": [[column.name, column.type] for column in schema.columns],
            "partition_keys": list(schema.partition_keys),
            "comment": comment,
            "created": schema.created,
        }
        folder = self._folder(project, name)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "schema.json", json.dumps(body, indent=1).encode())
        return schema

    def drop_table(self, project: str, name: str) -> None:
        shutil.rmtree(self._folder(project, name), ignore_errors=True)

    def exists(self, project: str, name: str) -> bool:
        return (self._folder(project, name) / "schema.json").is_file()

    def tables(self, project: str) -> list[str]:
        return sorted(path.parent.name for path in (self.root / _table_name(project)).glob("*/schema.json"))

    def schema(self, project: str, name: str) -> TableSchema:
        """Raises NotFoundError."""
        try:
            body = json.loads((self._folder(project, name) / "schema.json").read_bytes())
        except FileNotFoundError:
            known = ", ".join(self.tables(project)) or "none"
            raise NotFoundError(f"there is no table {project}.{name}", hint=f"there are: {known}") from None
        columns = tuple(Column(column, kind) for column, kind in body["columns"])
        keys = tuple(body["partition_keys"])
        return TableSchema(project, _table_name(name), columns, keys, body["comment"], body["created"])

    # -- data ---------------------------------------------------------------------------------------

    def add_partition(
        self, project: str, name: str, spec: str, columns: Mapping[str, Iterable[Any]]
    ) -> PartitionInfo:
        """Write one whole partition (``spec`` is ``""`` for a table without partitions), replacing it.

        ``columns`` holds every column's values, all of one length; None and masked values are NULL.
        Raises NotFoundError without the table, ConfigError for values that don't fit.
        """
        schema = self.schema(project, name)
        levels = parse_spec(spec)
        if tuple(levels) != schema.partition_keys:
            wanted = format_spec(dict.fromkeys(schema.partition_keys, "…")) or "no partition"
            raise ConfigError(f"{project}.{name} can't take the partition {spec!r}", hint=f"it has {wanted}")
        given = {key.lower(): values for key, values in columns.items()}
        if set(given) != {column.name for column in schema.columns}:
            odd = sorted(set(given) ^ {column.name for column in schema.columns})
            raise ConfigError(f"{project}.{name} and the given columns differ", hint=f"in {', '.join(odd)}")
        arrays: dict[str, Values] = {}
        rows: set[int] = set()
        for column in schema.columns:
            values, nulls = _to_array(column, given[column.name])
            arrays[f"c.{column.name}"] = values
            if nulls.any():
                arrays[f"n.{column.name}"] = nulls
            rows.add(len(values))
        if len(rows) > 1:
            raise ConfigError(f"columns of {project}.{name} have different lengths", hint=str(sorted(rows)))
        path = self._partition_path(schema, levels)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays["rows"] = np.array(rows.pop() if rows else 0)
        with _replacing(path) as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        return self._info(path, levels)

    def drop_partition(self, project: str, name: str, spec: str) -> None:
        self._partition_path(self.schema(project, name), parse_spec(spec)).unlink(missing_ok=True)

    def partitions(self, project: str, name: str, spec: str = "") -> list[str]:
        """Specs of all partitions in order, or of those that agree with the given levels."""
        wanted = parse_spec(spec)
        schema = self.schema(project, name)
        unknown = set(wanted) - set(schema.partition_keys)
        if unknown:
            keys = ", ".join(schema.partition_keys) or "none"
            raise NotFoundError(
                f"{project}.{name} has no partition key {unknown.pop()!r}", hint=f"keys: {keys}"
            )
        if not schema.partition_keys:
            return []
        folder = self._folder(project, name)
        found = []
        for path in folder.glob("*/" * len(schema.partition_keys) + "data.npz"):
            levels = parse_spec(path.parent.relative_to(folder).as_posix())
            if all(levels[key] == value for key, value in wanted.items()):
                found.append(format_spec(levels))
        return sorted(found)

    def partition_info(self, project: str, name: str, spec: str) -> PartitionInfo:
        """Raises NotFoundError. Rows are read from the file's head only."""
        levels = parse_spec(spec)
        path = self._partition_path(self.schema(project, name), levels)
        if not path.is_file():
            raise NotFoundError(f"{project}.{name} has no partition {spec!r}")
        return self._info(path, levels)

    def read(
        self, project: str, name: str, spec: str = "", columns: Sequence[str] | None = None
    ) -> dict[str, Values]:
        """Columns of one partition, or of all that agree with ``spec`` (``""``: the whole table).

        The arrays are ``int64``, ``float64``, ``bool`` or ``str``; a column that holds a NULL comes as a
        masked array. Partition keys can be asked for by name. Raises NotFoundError when the table, a
        column, or (with a ``spec``) any partition is missing.
        """
        schema = self.schema(project, name)
        known = [column.name for column in schema.columns]
        wanted = [column.lower() for column in columns] if columns is not None else known
        for column in wanted:
            if column not in known and column not in schema.partition_keys:
                raise NotFoundError(
                    f"{project}.{name} has no column {column!r}", hint=f"it has {', '.join(known)}"
                )
        specs = self.partitions(project, name, spec) if schema.partition_keys else [""]
        if spec and not specs:
            raise NotFoundError(f"{project}.{name} has no partition {spec!r}")
        parts = [self._read_one(schema, each, wanted) for each in specs]
        return {column: _join([part[column] for part in parts], schema, column) for column in wanted}

    def read_rows(
        self, project: str, name: str, spec: str = "", columns: Sequence[str] | None = None
    ) -> list[tuple[Any, ...]]:
        """The same as ``read``, as Python rows with None for NULL."""
        arrays = self.read(project, name, spec, columns)
        return list(zip(*(array.tolist() for array in arrays.values()), strict=True))

    # -- files --------------------------------------------------------------------------------------

    def _folder(self, project: str, name: str) -> Path:
        return self.root / _table_name(project) / _table_name(name)

    def _partition_path(self, schema: TableSchema, levels: Mapping[str, str]) -> Path:
        folder = self._folder(schema.project, schema.name)
        return folder.joinpath(*(f"{key}={value}" for key, value in levels.items()), "data.npz")

    def _info(self, path: Path, levels: Mapping[str, str]) -> PartitionInfo:
        status = path.stat()
        identity = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._row_counts.get(path)
        if known is not None and known[0] == identity:
            rows = known[1]
        else:
            with np.load(path, allow_pickle=False) as stored:
                rows = int(stored["rows"])
            self._row_counts[path] = (identity, rows)
        return PartitionInfo(format_spec(levels), rows, status.st_size, status.st_mtime)

    def _read_one(self, schema: TableSchema, spec: str, wanted: Sequence[str]) -> dict[str, Values]:
        levels = parse_spec(spec)
        path = self._partition_path(schema, levels)
        result: dict[str, Values] = {}
        if not path.is_file():
            return {name: _empty(schema, name) for name in wanted}
        with np.load(path, allow_pickle=False) as stored:
            for name in wanted:
                if name in levels:
                    result[name] = np.full(int(stored["rows"]), levels[name])
                    continue
                values: Values = stored[f"c.{name}"]
                if f"n.{name}" in stored:
                    values = np.ma.MaskedArray(values, mask=stored[f"n.{name}"])
                result[name] = values
        return result


def _to_array(column: Column, values: Iterable[Any]) -> tuple[Values, Values]:
    dtype = _DTYPES[column.type]
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    if isinstance(values, np.ndarray) and values.dtype != object:
        array = np.ma.getdata(values)
        nulls = np.zeros(len(array), dtype=bool) if mask is None else mask
    else:
        listed = list(values)
        nulls = np.array([value is None or value is np.ma.masked for value in listed], dtype=bool)
        filler = _FILLERS[column.type]
        try:
            array = np.array([filler if null else value for value, null in zip(listed, nulls, strict=True)])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"column {column.name} mixes types", hint=str(error)) from error
    if len(array) == 0:
        return np.empty(0, dtype=dtype if column.type != "string" else "U1"), nulls
    safe = {"bigint": "biu", "double": "biuf", "boolean": "b", "string": "U"}[column.type]
    if array.dtype.kind not in safe:
        raise ConfigError(f"column {column.name} is {column.type}", hint=f"the values are {array.dtype}")
    return array.astype(dtype), nulls


def _empty(schema: TableSchema, name: str) -> Values:
    kinds = {column.name: column.type for column in schema.columns}
    return np.empty(0, dtype=_DTYPES[kinds.get(name, "string")])


def _join(parts: list[Values], schema: TableSchema, name: str) -> Values:
    if not parts:
        return _empty(schema, name)
    if len(parts) == 1:
        return parts[0]
    masked = any(isinstance(part, np.ma.MaskedArray) for part in parts)
    if masked:
        joined: Values = np.ma.concatenate(parts)  # type: ignore[no-untyped-call]
        return joined
    return np.concatenate(parts)


def _table_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise NotFoundError(f"{name!r} can't be the name of a table or project")
    return name.lower()


def _column_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} can't be the name of a column", hint="letters, digits and underscores")
    return name.lower()


def _column_type(kind: str) -> str:
    if kind.lower() not in _DTYPES:
        raise ConfigError(f"there is no column type {kind!r} here", hint=f"use {', '.join(_DTYPES)}")
    return kind.lower()


def _write(path: Path, data: bytes) -> None:
    with _replacing(path) as stream:
        stream.write(data)


class _replacing:
    """A temporary file beside ``path`` that takes its place when all went well."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        # The last suffix keeps unfinished files out of every glob above.
        handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".tmp")
        self._temporary = Path(name)
        self._stream = os.fdopen(handle, "wb")
        return self._stream

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._stream.close()
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)
