"""Tables and columns that every data set of the sandbox has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

PROJECT = "sandbox"
DAILY = "ratings_daily"
TRAIN = "ratings_train"
EVAL = "ratings_eval"

Columns = dict[str, npt.NDArray[Any]]

COLUMNS = (
    ("user_id", "string"),
    ("item_id", "string"),
    ("age", "bigint"),
    ("gender", "string"),
    ("occupation", "string"),
    ("zip_area", "string"),
    ("release_year", "bigint"),
    ("genres", "string"),
    ("weekday", "bigint"),
    ("hour", "bigint"),
    ("timestamp", "bigint"),
    ("rating", "double"),
    ("is_like", "bigint"),
    ("is_love", "bigint"),
)


def finish(columns: Columns) -> Columns:
    """Rows in time order, with the columns that follow from the time (UTC) and the rating."""
    order = np.argsort(columns["timestamp"], kind="stable")
    sorted_columns = {name: values[order] for name, values in columns.items()}
    seconds = sorted_columns["timestamp"]
    rating = sorted_columns["rating"]
    sorted_columns["weekday"] = (seconds // 86_400 + 3) % 7
    sorted_columns["hour"] = seconds // 3_600 % 24
    sorted_columns["is_like"] = (rating >= 4).astype(np.int64)
    sorted_columns["is_love"] = (rating >= 5).astype(np.int64)
    return {name: sorted_columns[name] for name, _ in COLUMNS}
