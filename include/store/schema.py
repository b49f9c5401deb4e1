"""Tables of the experiment store (design section 3).

All names begin with ``easyrec_``, the table of migrations included, so that the store may share a
database with others (Airflow's own, say) without touching them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.engine import Dialect

PREFIX = "easyrec_"
VERSION_TABLE = f"{PREFIX}schema_version"
HEAD = "0004"
"""Revision this code works with; a test keeps it equal to the newest migration."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Timezone-aware UTC on both databases; SQLite itself knows no zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times in the store carry a time zone")
        utc = value.astimezone(timezone.utc)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


class Number(sa.Double[float]):
    """A float that comes back exactly as it was, NaN and infinities included.

    SQLite turns a bound NaN into NULL, which here means "no number"; so NaN is kept as text, which
    a SQLite column of any type can hold.
    """

    def bind_processor(self, dialect: Dialect) -> Callable[[float | None], Any]:
        nan: Any = "nan" if dialect.name == "sqlite" else math.nan

        def process(value: float | None) -> Any:
            if value is None:
                return None
            number = float(value)
            return nan if math.isnan(number) else number

        return process

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], float | None]:
        return lambda value: None if value is None else float(value)


class Metrics(sa.types.TypeDecorator[Mapping[str, float]]):
    """Metric values by tag, as JSON text.

    Text, because the JSON types of databases know no NaN and no infinity, and metrics can be both.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, float] | None, _dialect: Dialect) -> str | None:
        if value is None:
            return None
        return json.dumps({str(tag): float(number) for tag, number in value.items()})

    def process_result_value(self, value: str | None, _dialect: Dialect) -> dict[str, float] | None:
        return None if value is None else json.loads(value)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)
# SQLite numbers rows by itself only in a column that is exactly INTEGER.
_ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _column(name: str, kind: Any, *more: Any, null: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=null, **options)


store = Table(
    f"{PREFIX}store",
    metadata,
    _column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    _column("uuid", sa.String(36)),
    _column("created_at", UtcDateTime),
    _column("binding", sa.String(36), null=True),
    _column("bound_at", UtcDateTime, null=True),
    _column("bound_to", sa.Text, null=True),
)

experiment = Table(
    f"{PREFIX}experiment",
    metadata,
    _column("id", sa.String(128), primary_key=True),
    _column("model", sa.String(128), index=True),
    _column("kind", sa.String(16)),
    _column("dag_id", sa.Text),
    _column("run_id", sa.Text),
    _column("seed", sa.BigInteger),
    _column("optimize_mode", sa.String(16)),
    _column("max_trials", sa.Integer, null=True),
    _column("deadline", UtcDateTime, null=True),
    _column("snapshot", sa.JSON),
    _column("state", sa.String(16)),
    _column("reason", sa.Text),
    # Counters under the row's lock: the next trial's number, and the order in which trials end.
    _column("asks", sa.Integer),
    _column("ends", sa.Integer),
    _column("created_by", sa.Text),
    _column("created_at", UtcDateTime),
    _column("ended_at", UtcDateTime, null=True),
)

trial = Table(
    f"{PREFIX}trial",
    metadata,
    _column("experiment_id", sa.String(128), ForeignKey(experiment.c.id), primary_key=True),
    _column("number", sa.Integer, primary_key=True, autoincrement=False),
    _column("dag_id", sa.Text),
    _column("run_id", sa.Text),
    _column("task_id", sa.Text),
    _column("map_index", sa.Integer),
    _column("task_max_tries", sa.Integer),
    _column("epoch", sa.Integer),
    _column("parameters", sa.JSON),
    _column("source", sa.String(64)),
    _column("seen", sa.Integer),
    _column("state", sa.String(16)),
    _column("reason", sa.Text),
    _column("metric", Number, null=True),
    _column("metrics", Metrics, null=True),
    _column("end_order", sa.Integer, null=True),
    _column("asked_at", UtcDateTime),
    _column("submitted_at", UtcDateTime, null=True),
    _column("started_at", UtcDateTime, null=True),
    _column("ended_at", UtcDateTime, null=True),
    UniqueConstraint("dag_id", "run_id", "task_id", "map_index", name=f"uq_{PREFIX}trial_task"),
)

step = Table(
    f"{PREFIX}step",
    metadata,
    _column("id", _ROW_ID, primary_key=True),
    _column("experiment_id", sa.String(128)),
    _column("trial", sa.Integer),
    _column("step", sa.Integer),
    _column("epoch", sa.Integer),
    _column("attempt", sa.Integer),
    _column("submission_key", sa.String(64), unique=True),
    _column("model_dir", sa.Text),
    _column("payload", sa.JSON),
    _column("job_id", sa.Text, null=True),
    _column("state", sa.String(16)),
    _column("reason", sa.Text),
    _column("worker_seconds", Number, null=True),
    _column("intended_at", UtcDateTime),
    _column("submitted_at", UtcDateTime, null=True),
    _column("started_at", UtcDateTime, null=True),
    _column("ended_at", UtcDateTime, null=True),
    ForeignKeyConstraint(
        ["experiment_id", "trial"], [trial.c.experiment_id, trial.c.number], name=f"fk_{PREFIX}step_trial"
    ),
    UniqueConstraint("experiment_id", "trial", "epoch", "step", "attempt", name=f"uq_{PREFIX}step_identity"),
)
Index(
    f"ix_{PREFIX}step_open",
    step.c.id,
    sqlite_where=step.c.ended_at.is_(None),
    postgresql_where=step.c.ended_at.is_(None),
)

result = Table(
    f"{PREFIX}result",
    metadata,
    _column("step_id", _ROW_ID, ForeignKey(step.c.id), primary_key=True, autoincrement=False),
    _column("global_step", sa.BigInteger, primary_key=True, autoincrement=False),
    _column("objective", Number),
    _column("metrics", Metrics),
    _column("wall_time", Number),
    _column("recorded_at", UtcDateTime),
)

event = Table(
    f"{PREFIX}event",
    metadata,
    _column("id", _ROW_ID, primary_key=True),
    _column("experiment_id", sa.String(128), ForeignKey(experiment.c.id), null=True, index=True),
    _column("trial", sa.Integer, null=True),
    _column("at", UtcDateTime),
    _column("by", sa.Text),
    _column("kind", sa.String(64)),
    _column("data", sa.JSON),
)

pool = Table(
    f"{PREFIX}pool",
    metadata,
    _column("name", sa.String(256), primary_key=True),
    _column("slots", sa.Integer),
    _column("seen_at", UtcDateTime),
)

model = Table(
    f"{PREFIX}model",
    metadata,
    _column("name", sa.String(128), primary_key=True),
    # Counters under the row's lock: numbers of chains and promotions.
    _column("chains", sa.Integer),
    _column("promotions", sa.Integer),
)

chain = Table(
    f"{PREFIX}chain",
    metadata,
    _column("id", sa.String(160), primary_key=True),
    _column("model", sa.String(128), ForeignKey(model.c.name)),
    _column("number", sa.Integer),
    _column("checkpoint", sa.Text),
    _column("config_url", sa.Text),
    _column("learning_rates", sa.JSON),
    _column("experiment", sa.String(128), null=True),
    _column("trial", sa.Integer, null=True),
    _column("created_by", sa.Text),
    _column("created_at", UtcDateTime),
    UniqueConstraint("model", "number", name=f"uq_{PREFIX}chain_number"),
)

day = Table(
    f"{PREFIX}day",
    metadata,
    _column("id", _ROW_ID, primary_key=True),
    _column("model", sa.String(128), ForeignKey(model.c.name)),
    _column("chain_id", sa.String(160), ForeignKey(chain.c.id), index=True),
    _column("bizdate", sa.Date),
    _column("repeat", sa.Integer),
    _column("dag_id", sa.Text),
    _column("run_id", sa.Text),
    _column("task_max_tries", sa.Integer),
    _column("state", sa.String(16)),
    _column("reason", sa.Text),
    _column("checkpoint_in", sa.Text),
    _column("model_dir", sa.Text),
    _column("checkpoint_out", sa.Text, null=True),
    _column("global_step", sa.BigInteger, null=True),
    _column("metric", Number, null=True),
    _column("metrics", Metrics, null=True),
    _column("stale", sa.Boolean),
    _column("begun_at", UtcDateTime),
    _column("trained_at", UtcDateTime, null=True),
    _column("ended_at", UtcDateTime, null=True),
    UniqueConstraint("model", "bizdate", "repeat", name=f"uq_{PREFIX}day_repeat"),
    Index(f"ix_{PREFIX}day_run", "dag_id", "run_id"),
)
# One day of a date to go on from, whoever writes.
Index(
    f"uq_{PREFIX}day_promoted",
    day.c.chain_id,
    day.c.bizdate,
    unique=True,
    sqlite_where=day.c.state == "PROMOTED",
    postgresql_where=day.c.state == "PROMOTED",
)

promotion = Table(
    f"{PREFIX}promotion",
    metadata,
    _column("model", sa.String(128), primary_key=True),
    _column("number", sa.Integer, primary_key=True, autoincrement=False),
    _column("kind", sa.String(16)),
    _column("chain_id", sa.String(160), ForeignKey(chain.c.id)),
    _column("bizdate", sa.Date),
    _column("repeat", sa.Integer),
    _column("checkpoint", sa.Text),
    _column("model_dir", sa.Text),
    _column("export_dir", sa.Text, null=True),
    _column("config_url", sa.Text, null=True),
    _column("metric", Number, null=True),
    _column("metrics", Metrics),
    _column("by", sa.Text),
    _column("reason", sa.Text),
    _column("at", UtcDateTime),
    ForeignKeyConstraint(
        ["model", "bizdate", "repeat"],
        [day.c.model, day.c.bizdate, day.c.repeat],
        name=f"fk_{PREFIX}promotion_day",
    ),
)

adoption = Table(
    f"{PREFIX}adoption",
    metadata,
    _column("model", sa.String(128), ForeignKey(model.c.name), primary_key=True),
    _column("number", sa.Integer, primary_key=True, autoincrement=False),
    _column("edits", sa.JSON),
    _column("experiment", sa.String(128), null=True),
    _column("trial", sa.Integer, null=True),
    _column("by", sa.Text),
    _column("reason", sa.Text),
    _column("at", UtcDateTime),
)

lease = Table(
    f"{PREFIX}lease",
    metadata,
    _column("model", sa.String(128), ForeignKey(model.c.name), primary_key=True),
    _column("dag_id", sa.Text, primary_key=True),
    _column("run_id", sa.Text, primary_key=True),
    _column("bizdate", sa.Date),
    _column("held", sa.Boolean),
    _column("since", UtcDateTime),
    _column("seen_at", UtcDateTime),
)
# One holder, whoever writes.
Index(
    f"uq_{PREFIX}lease_held",
    lease.c.model,
    unique=True,
    sqlite_where=lease.c.held,
    postgresql_where=lease.c.held,
)


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Alembic's ``include_name``: other people's tables in the same database are not ours to compare."""
    return type_ != "table" or (name or "").startswith(PREFIX)
