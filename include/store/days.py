"""The part of the store that keeps days: one training of one bizdate each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.errors import StateError
from include.names import day_model_dir
from include.store import schema
from include.store.daily_records import Day, RunKey
from include.store.daily_rows import (
    ABANDONED,
    day_of,
    describe,
    find_chain,
    find_day,
    lock_day,
    lock_model,
    move_days,
    refuse_old_chain,
    refuse_rolled_back_input,
    refuse_without_lease,
    sayable,
    update_day,
)
from include.store.database import reads, writes
from include.store.day_state import DayState
from include.store.part import StorePart
from include.store.rows import SYSTEM, add_event
from include.store.values import clean_text


class Days(StorePart):
    """Begin, find and end days."""

    @writes
    def begin_day(
        self,
        connection: Connection,
        chain_id: str,
        bizdate: date,
        *,
        run: RunKey,
        task_max_tries: int,
        checkpoint_in: str,
        model_dir: str,
    ) -> Day:
        """Record a training of ``bizdate`` before it begins: a new repeat of the date, OPEN.

        ``task_max_tries``: Airflow's number, which tells a clear from an automatic retry (design section
        5.1): with the one that is recorded for this run, the day that is there is returned as it is.
        ``model_dir``: as the ini renders it; each repeat, over all chains of the model, gets a fresh
        sibling of it. Unfinished days of this date, whoever began them, become SUPERSEDED.

        Raises StateError when the chain isn't the model's current one, when another run holds the
        model's lease, or when ``checkpoint_in`` is the model of a day that was rolled back;
        NotFoundError for an unknown chain.
        """
        model = find_chain(connection, chain_id)["model"]
        lock_model(connection, model)
        refuse_old_chain(connection, model, chain_id)
        refuse_without_lease(connection, model, run)
        columns = schema.day.c
        existing = connection.execute(
            sa.select(schema.day)
            .where(
                columns.chain_id == chain_id,
                columns.bizdate == bizdate,
                columns.dag_id == run.dag_id,
                columns.run_id == run.run_id,
                columns.task_max_tries == task_max_tries,
            )
            .order_by(columns.repeat.desc())
            .limit(1)
        )
        row = existing.mappings().one_or_none()
        if row is not None:
            return day_of(row)
        refuse_rolled_back_input(connection, chain_id, checkpoint_in)
        repeat = _next_repeat(connection, model, bizdate)
        return self._add_day(
            connection,
            kind="day_begun",
            model=model,
            chain_id=chain_id,
            bizdate=bizdate,
            repeat=repeat,
            dag_id=run.dag_id,
            run_id=run.run_id,
            task_max_tries=task_max_tries,
            checkpoint_in=checkpoint_in,
            model_dir=day_model_dir(model_dir, repeat),
        )

    @reads
    def day(self, connection: Connection, day_id: int) -> Day:
        """One day; NotFoundError when there is none of this id."""
        return find_day(connection, day_id)

    @reads
    def day_of_run(self, connection: Connection, run: RunKey) -> Day | None:
        """The day that this DAG run began last, if it has begun any."""
        columns = schema.day.c
        query = (
            sa.select(schema.day)
            .where(columns.dag_id == run.dag_id, columns.run_id == run.run_id)
            .order_by(columns.id.desc())
            .limit(1)
        )
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else day_of(row)

    @reads
    def days(self, connection: Connection, model: str, *, chain_id: str | None = None) -> list[Day]:
        """Days of a model, or of one of its chains, by bizdate and repeat."""
        columns = schema.day.c
        query = sa.select(schema.day).where(columns.model == model).order_by(columns.bizdate, columns.repeat)
        if chain_id is not None:
            query = query.where(columns.chain_id == chain_id)
        return [day_of(row) for row in connection.execute(query).mappings()]

    @reads
    def days_in(self, connection: Connection, state: DayState) -> list[Day]:
        """Days of all models that are in this state, oldest first."""
        columns = schema.day.c
        query = sa.select(schema.day).where(columns.state == state.value).order_by(columns.id)
        return [day_of(row) for row in connection.execute(query).mappings()]

    @writes
    def record_training(
        self,
        connection: Connection,
        day_id: int,
        *,
        model_dir: str,
        checkpoint_in: str,
        checkpoint_out: str,
        global_step: int,
        metric: float | None,
        metrics: Mapping[str, float],
    ) -> Day:
        """Record what a day's training gave: the day, TRAINED; go on with the id of the returned one.

        The same ``model_dir`` as one that the run's day of this date had is a retry: a day with an outcome
        is then returned as it is. Another ``model_dir`` for a day with an outcome makes a new repeat:
        someone cleared only the training.

        Raises StateError when a new repeat is due, but the chain isn't the model's current one or another
        run holds the model's lease; NotFoundError.
        """
        _, day = lock_day(connection, day_id)
        if not day.state.may_be_trained and model_dir != day.model_dir:
            again = _of_folder(connection, day, model_dir)
            if again is None:
                refuse_old_chain(connection, day.model, day.chain_id)
                refuse_without_lease(connection, day.model, day.run)
                refuse_rolled_back_input(connection, day.chain_id, checkpoint_in)
                day = self._add_day(
                    connection,
                    kind="day_repeated",
                    model=day.model,
                    chain_id=day.chain_id,
                    bizdate=day.bizdate,
                    repeat=_next_repeat(connection, day.model, day.bizdate),
                    dag_id=day.run.dag_id,
                    run_id=day.run.run_id,
                    task_max_tries=day.task_max_tries,
                    checkpoint_in=checkpoint_in,
                    model_dir=model_dir,
                )
            else:
                day = again
        if not day.state.may_be_trained:
            return day
        given: dict[str, Any] = {
            "model_dir": model_dir,
            "checkpoint_in": checkpoint_in,
            "checkpoint_out": checkpoint_out,
            "global_step": global_step,
            "metric": metric,
            "metrics": metrics,
        }
        now = self._now()
        add_event(
            connection,
            at=now,
            by=str(day.run),
            kind="day_trained",
            data={**describe(day), "checkpoint": checkpoint_out, "metric": sayable(metric)},
        )
        return update_day(
            connection,
            day.id,
            **given,
            state=day.state.to(DayState.TRAINED).value,
            reason="",
            # With inputs resolved anew, what made the old ones stale no longer matters.
            stale=day.stale and checkpoint_in == day.checkpoint_in,
            trained_at=now,
            ended_at=None,
        )

    @writes
    def end_day(self, connection: Connection, day_id: int, to: DayState, reason: str) -> Day:
        """End a day as GATE_FAILED or FAILED; being there already changes nothing.

        Raises StateError for other ends and for a transition that ``DayState`` doesn't know,
        NotFoundError.
        """
        if to not in (DayState.GATE_FAILED, DayState.FAILED):
            raise StateError(f"a day doesn't end as {to.value} by itself")
        _, day = lock_day(connection, day_id)
        if day.state.to(to) is day.state:
            return day
        now = self._now()
        reason = clean_text(reason)
        add_event(
            connection,
            at=now,
            by=str(day.run),
            kind=f"day_{to.value.lower()}",
            data={**describe(day), "metric": sayable(day.metric), "reason": reason},
        )
        return update_day(connection, day.id, state=to.value, reason=reason, ended_at=now)

    @writes
    def note_left(self, connection: Connection, day_id: int, reason: str) -> bool:
        """Record with a TRAINED day why nobody goes on with it. False when that is known, or it has an outcome."""
        _, day = lock_day(connection, day_id)
        if day.state is not DayState.TRAINED or day.reason:
            return False
        reason = clean_text(reason)
        data = {**describe(day), "reason": reason}
        add_event(connection, at=self._now(), by=SYSTEM, kind="day_left", data=data)
        update_day(connection, day.id, reason=reason)
        return True

    def _add_day(self, connection: Connection, *, kind: str, **values: Any) -> Day:
        """A new row of a date, OPEN; unfinished ones become SUPERSEDED, whichever chain they are of."""
        now = self._now()
        columns = schema.day.c
        superseded = move_days(
            connection,
            columns.model == values["model"],
            columns.bizdate == values["bizdate"],
            columns.state.in_(ABANDONED),
            to=DayState.SUPERSEDED,
            reason=f"run {values['dag_id']}/{values['run_id']} trains the date again",
            at=now,
        )
        added = connection.execute(
            schema.day.insert()
            .values(**values, state=DayState.OPEN.value, reason="", stale=False, begun_at=now)
            .returning(schema.day)
        )
        day = day_of(added.mappings().one())
        add_event(
            connection,
            at=now,
            by=str(day.run),
            kind=kind,
            data={
                **describe(day),
                "checkpoint": day.checkpoint_in,
                "model_dir": day.model_dir,
                "superseded": [each.repeat for each in superseded],
            },
        )
        return day


def _next_repeat(connection: Connection, model: str, bizdate: date) -> int:
    columns = schema.day.c
    query = sa.select(sa.func.max(columns.repeat)).where(columns.model == model, columns.bizdate == bizdate)
    newest = connection.scalar(query)
    return 0 if newest is None else newest + 1


def _of_folder(connection: Connection, day: Day, model_dir: str) -> Day | None:
    """The repeat of the same run that was trained in ``model_dir``."""
    columns = schema.day.c
    query = (
        sa.select(schema.day)
        .where(
            columns.chain_id == day.chain_id,
            columns.bizdate == day.bizdate,
            columns.dag_id == day.run.dag_id,
            columns.run_id == day.run.run_id,
            columns.model_dir == model_dir,
        )
        .order_by(columns.repeat.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else day_of(row)
