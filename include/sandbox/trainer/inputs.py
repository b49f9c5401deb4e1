"""Rows of MaxCompute tables as the config's input fields."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from include.errors import ConfigError, NotFoundError
from include.names import split_table_url
from include.sandbox.tables import TableStorage
from include.sandbox.trainer.features import Array

log = logging.getLogger(__name__)


def read(config: Any, tables: TableStorage, paths: str, *, what: str) -> dict[str, Array]:
    """All rows of comma-separated table paths, by input field.

    Raises ConfigError for a bad path, NotFoundError for a missing table, partition or column and when
    there is no row at all.
    """
    data = config.data_config
    names = [field.input_name for field in data.input_fields]
    if not names:
        raise ConfigError("input_fields is empty", where="data_config")
    selected = [name.strip() for name in data.selected_cols.split(",") if name.strip()]
    for name in (name for name in names if selected and name not in selected):
        raise ConfigError(f"column {name!r} is not among selected_cols", where="-Dselected_cols")
    parts = []
    for path in filter(None, (each.strip() for each in paths.split(","))):
        project, table, spec = split_table_url(path)
        parts.append(tables.read(project, table, spec, names))
    if not parts:
        raise ConfigError("no table is given", where=what)
    # Column names are case-insensitive in MaxCompute; configs keep their own spelling.
    columns = {name: np.ma.concatenate([part[name.lower()] for part in parts]) for name in names}  # type: ignore[no-untyped-call]
    rows = len(next(iter(columns.values())))
    log.info("%s: %d rows from %d table path(s)", what, rows, len(parts))
    if not rows:
        raise NotFoundError("the tables have no rows", where=f"{what}={paths}")
    return columns


def labels(columns: dict[str, Array], name: str) -> Array:
    """A label column as numbers. ConfigError when it is text or not an input field."""
    if name not in columns:
        raise ConfigError(f"label {name!r} is not among data_config.input_fields", where="label_fields")
    try:
        return np.nan_to_num(np.ma.filled(columns[name], 0).astype(np.float32))
    except ValueError as error:
        raise ConfigError(f"label {name!r} is not a number: {error}", where="label_fields") from error
