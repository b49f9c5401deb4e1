"""Data behind the sandbox: MovieLens-100k in daily partitions, or a seeded synthetic stream like it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from include.errors import ConfigError, EasyRecAutoMLError
from include.sandbox.data import movielens, synthetic
from include.sandbox.data.schema import COLUMNS, DAILY, EVAL, PROJECT, TRAIN, Columns
from include.sandbox.tables import TableStorage

__all__ = ["DAILY", "EVAL", "PROJECT", "TRAIN", "DataSummary", "load"]

_TRAIN_DAYS = 60
_EVAL_DAYS = 14


@dataclass(frozen=True)
class DataSummary:
    """What was loaded. ``notice`` is for people: terms of the data, and why a fallback was taken."""

    kind_used: str
    notice: str
    citation: str
    tables: tuple[str, ...]
    first_day: datetime.date
    last_day: datetime.date
    rows: int


def load(
    kind: Literal["movielens", "synthetic"],
    tables: TableStorage,
    *,
    cache: Path,
    seed: int = 0,
    days: int | None = None,
    project: str = PROJECT,
) -> DataSummary:
    """Fill the sandbox's tables; what they held before is replaced.

    Three tables of the same columns: ``ratings_daily`` with one partition ``dt=YYYYMMDD`` per day,
    ``ratings_train`` (the first 60 days, or four fifths of fewer) and ``ratings_eval`` (the 14 days after).
    ``days`` keeps only the first days, ``seed`` matters for the synthetic stream only, ``cache`` keeps
    the download. When MovieLens can't be had, the synthetic stream takes its place and ``notice`` says why.
    Raises ConfigError for an unknown kind or fewer than two days.
    """
    if kind not in ("movielens", "synthetic"):
        raise ConfigError(f"there is no data kind {kind!r}", hint="use movielens or synthetic")
    if days is not None and days < 2:
        raise ConfigError("at least two days are needed: one to train on, one to evaluate on")
    notice, citation, columns = "", "", None
    if kind == "movielens":
        try:
            columns = movielens.columns(cache)
            notice, citation = movielens.TERMS, movielens.CITATION
        except EasyRecAutoMLError as error:
            notice = f"MovieLens-100k can't be had, a synthetic stream takes its place: {error}"
    used = "synthetic" if columns is None else "movielens"
    if columns is None:
        columns = synthetic.columns(seed=seed, days=days)
    return _store(tables, project, columns, used, notice, citation, days)


def _store(
    tables: TableStorage,
    project: str,
    columns: Columns,
    kind: str,
    notice: str,
    citation: str,
    days: int | None,
) -> DataSummary:
    day_of_row = columns["timestamp"] // 86_400
    all_days = np.unique(day_of_row)[:days]
    for name, keys in ((DAILY, ["dt"]), (TRAIN, []), (EVAL, [])):
        tables.drop_table(project, name)
        tables.create_table(project, name, COLUMNS, keys, comment=f"{kind}, one row per rating")
    for day in all_days:
        tables.add_partition(project, DAILY, f"dt={_date(day):%Y%m%d}", _where(columns, day_of_row == day))
    split = min(_TRAIN_DAYS, max(1, len(all_days) * 4 // 5))
    later = all_days[split : split + _EVAL_DAYS]
    tables.add_partition(project, TRAIN, "", _where(columns, day_of_row < later[0]))
    tables.add_partition(project, EVAL, "", _where(columns, np.isin(day_of_row, later)))
    rows = int(np.isin(day_of_row, all_days).sum())
    return DataSummary(
        kind, notice, citation, (DAILY, TRAIN, EVAL), _date(all_days[0]), _date(all_days[-1]), rows
    )


def _where(columns: Columns, rows: np.ndarray) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _date(day: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=int(day))
