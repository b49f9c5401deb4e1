"""From database rows to records of daily finetune, and the queries that several of its parts share."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from include.errors import NotFoundError, StateError
from include.store import schema
from include.store.daily_records import Chain, Day, Lease, Origin, Promotion, RunKey
from include.store.day_state import DayState
from include.store.rows import insert

_ORIGIN = ("checkpoint", "config_url", "learning_rates", "experiment", "trial")
ABANDONED = (DayState.OPEN.value, DayState.TRAINED.value)
"""What a newer repeat of the date finds unfinished."""


def chain_of(row: RowMapping) -> Chain:
    values = dict(row)
    origin = Origin(**{name: values.pop(name) for name in _ORIGIN})
    return Chain(origin=origin, **values)


def day_of(row: RowMapping) -> Day:
    values = dict(row)
    run = RunKey(values.pop("dag_id"), values.pop("run_id"))
    values["state"] = DayState(values["state"])
    values["metrics"] = values["metrics"] or {}
    return Day(run=run, **values)


def promotion_of(row: RowMapping) -> Promotion:
    return Promotion(**row)


def lease_of(row: RowMapping) -> Lease:
    values = dict(row)
    return Lease(run=RunKey(values.pop("dag_id"), values.pop("run_id")), **values)


def lock_model(connection: Connection, model: str) -> RowMapping:
    """The model's row, made where missing, locked until the transaction ends.

    Every write about a model's chains, days, promotions or lease begins here, so they go one after
    another, and no two of them can wait for each other.
    """
    # NO KEY UPDATE: rows that refer to this one may be added meanwhile.
    query = sa.select(schema.model).where(schema.model.c.name == model).with_for_update(key_share=True)
    row = connection.execute(query).mappings().one_or_none()
    if row is not None:
        return row
    new = insert(connection, schema.model).values(name=model, chains=0, promotions=0)
    connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
    return connection.execute(query).mappings().one()


def count_up(connection: Connection, model: RowMapping, counter: str) -> int:
    """The next number of a counter of a locked model."""
    number = int(model[counter]) + 1
    update = schema.model.update().where(schema.model.c.name == model["name"])
    connection.execute(update.values({counter: number}))
    return number


def find_chain(connection: Connection, chain_id: str) -> RowMapping:
    """The chain's row; NotFoundError when there is none."""
    query = sa.select(schema.chain).where(schema.chain.c.id == chain_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"the store has no chain {chain_id!r}")
    return row


def newest_chain(connection: Connection, model: str) -> RowMapping | None:
    columns = schema.chain.c
    query = sa.select(schema.chain).where(columns.model == model).order_by(columns.number.desc()).limit(1)
    return connection.execute(query).mappings().one_or_none()


def refuse_old_chain(connection: Connection, model: str, chain_id: str) -> None:
    """StateError unless ``chain_id`` is the model's current chain."""
    newest = newest_chain(connection, model)
    if newest is None or newest["id"] != chain_id:
        raise StateError(
            f"{chain_id} is not the current chain of {model}: {newest['id'] if newest else 'none'} is",
            hint="someone began a new chain meanwhile; run the day again to train it there",
        )


def find_day(connection: Connection, day_id: int) -> Day:
    """One day; NotFoundError when there is none of this id."""
    query = sa.select(schema.day).where(schema.day.c.id == day_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"the store has no day with id {day_id}")
    return day_of(row)


def lock_day(connection: Connection, day_id: int) -> tuple[RowMapping, Day]:
    """The locked model and the day as it is under that lock; NotFoundError."""
    model = lock_model(connection, find_day(connection, day_id).model)
    return model, find_day(connection, day_id)


def update_day(connection: Connection, day_id: int, **values: Any) -> Day:
    update = schema.day.update().where(schema.day.c.id == day_id).values(**values)
    return day_of(connection.execute(update.returning(schema.day)).mappings().one())


def move_days(
    connection: Connection,
    *which: sa.ColumnElement[bool],
    to: DayState,
    reason: str,
    at: datetime,
) -> list[Day]:
    """Move several days at once; the caller selects only those that may go there. By bizdate."""
    update = schema.day.update().where(*which).values(state=to.value, reason=reason, ended_at=at)
    rows = connection.execute(update.returning(schema.day)).mappings()
    return sorted((day_of(row) for row in rows), key=lambda day: (day.bizdate, day.repeat))


def refuse_rolled_back_input(connection: Connection, chain_id: str, checkpoint: str) -> None:
    """StateError when ``checkpoint`` is the model of a day of the chain that was rolled back."""
    columns = schema.day.c
    makers = connection.execute(
        sa.select(columns.bizdate, columns.state).where(
            columns.chain_id == chain_id, columns.checkpoint_out == checkpoint
        )
    ).all()
    if any(maker.state == DayState.PROMOTED.value for maker in makers):
        return
    for maker in makers:
        if maker.state == DayState.ROLLED_BACK.value:
            raise StateError(
                f"{checkpoint} is the model of {maker.bizdate}, which was rolled back",
                hint="run the day again: it goes on from the model that serves now",
            )


def holder_of(connection: Connection, model: str) -> Lease | None:
    columns = schema.lease.c
    query = sa.select(schema.lease).where(columns.model == model, columns.held)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else lease_of(row)


def refuse_without_lease(connection: Connection, model: str, run: RunKey) -> None:
    """StateError when another run holds the model's lease: two runs must not train one chain."""
    holder = holder_of(connection, model)
    if holder is not None and holder.run != run:
        raise StateError(
            f"run {run} can't train {model}: run {holder.run} holds its lease since "
            f"{holder.since:%Y-%m-%d %H:%M:%S} UTC",
            hint="wait for the lease first",
        )


def describe(day: Day) -> dict[str, Any]:
    """What an event says about the day it concerns."""
    return {
        "model": day.model,
        "chain": day.chain_id,
        "bizdate": day.bizdate.isoformat(),
        "repeat": day.repeat,
        "day": day.id,
    }


def in_words(day: Day) -> str:
    """A day for people to read."""
    return f"{day.bizdate} of {day.chain_id} (repeat {day.repeat})"


def sayable(metric: float | None) -> float | str | None:
    """In words where it isn't a number: the JSON of events has none for NaN."""
    return metric if metric is None or math.isfinite(metric) else str(metric)
