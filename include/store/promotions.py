"""The part of the store that keeps promotions: which day's model is good, and which one serves."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from include.errors import NotFoundError, StateError
from include.store import schema
from include.store.daily_records import Day, Promotion, current_days
from include.store.daily_rows import (
    count_up,
    day_of,
    describe,
    in_words,
    lock_day,
    lock_model,
    move_days,
    newest_chain,
    promotion_of,
    refuse_old_chain,
    refuse_rolled_back_input,
    sayable,
    update_day,
)
from include.store.database import reads, writes
from include.store.day_state import DayState
from include.store.part import StorePart
from include.store.rows import add_event
from include.store.values import clean_text

# What was made with an older model than the one promoted now. An OPEN day has its inputs already.
_MADE = (DayState.OPEN, DayState.TRAINED, DayState.FAILED, DayState.GATE_FAILED, DayState.PROMOTED)


class Promotions(StorePart):
    """Promote days and go back."""

    @writes
    def promote_day(
        self,
        connection: Connection,
        day_id: int,
        *,
        by: str,
        reason: str = "",
        export_dir: str | None = None,
        config_url: str | None = None,
    ) -> tuple[Promotion | None, list[Day]]:
        """Make a TRAINED day the one to go on from, or a GATE_FAILED one: a person overrules the gate.

        It serves from now on, unless a later bizdate of the chain does: then there is no promotion
        (None). Later days of the chain are stale from now on; those that have a model and count for their
        date are returned, by bizdate. Doing it again gives the same answer.

        Raises StateError for a day in another state, one that isn't of the model's current chain, and one
        that was trained from a model that was rolled back since; NotFoundError.
        """
        model, day = lock_day(connection, day_id)
        if day.state is DayState.PROMOTED:
            return _promotion_naming(connection, day), _stale_after(connection, day)
        if day.state not in (DayState.TRAINED, DayState.GATE_FAILED):
            raise StateError(f"{in_words(day)} is {day.state.value}, it can't be promoted", hint=_way(day))
        refuse_old_chain(connection, day.model, day.chain_id)
        refuse_rolled_back_input(connection, day.chain_id, day.checkpoint_in)
        now, reason = self._now(), clean_text(reason)
        columns = schema.day.c
        superseded = move_days(
            connection,
            columns.chain_id == day.chain_id,
            columns.bizdate == day.bizdate,
            columns.state == DayState.PROMOTED.value,
            to=DayState.SUPERSEDED,
            reason=f"repeat {day.repeat} was promoted",
            at=now,
        )
        update_day(connection, day.id, state=DayState.PROMOTED.value, reason=reason, ended_at=now)
        connection.execute(
            schema.day.update()
            .where(
                columns.chain_id == day.chain_id,
                columns.bizdate > day.bizdate,
                columns.state.in_([state.value for state in _MADE]),
            )
            .values(stale=True)
        )
        stale = _stale_after(connection, day)
        serving = _serving(connection, day.model)
        promotion = None
        if serving is None or serving.chain_id != day.chain_id or serving.bizdate <= day.bizdate:
            values = {
                "kind": "promote",
                "chain_id": day.chain_id,
                "bizdate": day.bizdate,
                "repeat": day.repeat,
                "checkpoint": day.checkpoint_out,
                "model_dir": day.model_dir,
                "export_dir": export_dir,
                "config_url": config_url,
                "metric": day.metric,
                "metrics": day.metrics,
                "by": by,
                "reason": reason,
                "at": now,
            }
            promotion = self._add_promotion(connection, model, values)
        add_event(
            connection,
            at=now,
            by=by,
            kind="promoted",
            data={
                **describe(day),
                "number": promotion.number if promotion else None,
                "was": day.state.value,
                "metric": sayable(day.metric),
                "superseded": [each.repeat for each in superseded],
                "stale": [each.bizdate.isoformat() for each in stale],
                "reason": reason,
            },
        )
        return promotion, stale

    @writes
    def roll_back(self, connection: Connection, model: str, *, to: int, by: str, reason: str) -> Promotion:
        """Serve again what promotion number ``to`` made serve: a new promotion of kind ``rollback``.

        Its day, and what that was trained from, is PROMOTED again where it no longer was, so that the
        chain goes on from what serves. Promoted days of the current chain with a later bizdate, and another
        repeat of the same one, become ROLLED_BACK; what was trained from them can't be promoted any more.

        Raises NotFoundError when there is no such promotion, StateError when it serves already.
        """
        locked = lock_model(connection, model)
        columns = schema.promotion.c
        query = sa.select(schema.promotion).where(columns.model == model, columns.number == to)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFoundError(
                f"model {model!r} has no promotion {to}",
                hint=f"its promotions go up to {locked['promotions']}",
            )
        target, serving = promotion_of(row), _serving(connection, model)
        if serving is not None and _names(serving) == _names(target):
            raise StateError(
                f"promotion {to} of {model!r} serves already: {target.bizdate}, repeat {target.repeat}",
                hint="name an earlier promotion",
            )
        now, reason = self._now(), clean_text(reason)
        day = _day_of_promotion(connection, target)
        rolled_back = _roll_back_after(connection, day, reason=reason, at=now)
        restored = _restore(connection, day, reason=reason, at=now)
        again = {**row, "kind": "rollback", "by": by, "reason": reason, "at": now}
        promotion = self._add_promotion(connection, locked, again)
        add_event(
            connection,
            at=now,
            by=by,
            kind="rolled_back",
            data={
                **describe(day),
                "number": promotion.number,
                "to": to,
                "from": serving.number if serving else None,
                "rolled_back": [each.bizdate.isoformat() for each in rolled_back],
                "restored": [each.bizdate.isoformat() for each in restored],
                "reason": reason,
            },
        )
        return promotion

    @reads
    def promotions(self, connection: Connection, model: str) -> list[Promotion]:
        """All promotions of a model, by number."""
        columns = schema.promotion.c
        query = sa.select(schema.promotion).where(columns.model == model).order_by(columns.number)
        return [promotion_of(row) for row in connection.execute(query).mappings()]

    @reads
    def serving(self, connection: Connection, model: str) -> Promotion | None:
        """The model's newest promotion, if it has any."""
        return _serving(connection, model)

    def _add_promotion(self, connection: Connection, model: RowMapping, values: dict[str, Any]) -> Promotion:
        number = count_up(connection, model, "promotions")
        values = {**values, "model": model["name"], "number": number}
        added = connection.execute(schema.promotion.insert().values(**values).returning(schema.promotion))
        return promotion_of(added.mappings().one())


def _serving(connection: Connection, model: str) -> Promotion | None:
    columns = schema.promotion.c
    query = sa.select(schema.promotion).where(columns.model == model).order_by(columns.number.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else promotion_of(row)


def _promotion_naming(connection: Connection, day: Day) -> Promotion | None:
    """The promotion that the day's own promotion made, if it made one."""
    columns = schema.promotion.c
    query = sa.select(schema.promotion).where(
        columns.model == day.model,
        columns.bizdate == day.bizdate,
        columns.repeat == day.repeat,
        columns.kind == "promote",
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else promotion_of(row)


def _stale_after(connection: Connection, day: Day) -> list[Day]:
    columns = schema.day.c
    query = sa.select(schema.day).where(columns.chain_id == day.chain_id, columns.bizdate > day.bizdate)
    days = [day_of(row) for row in connection.execute(query).mappings()]
    current = current_days(days).values()
    return [each for each in current if each.stale and each.state.has_model]


def _names(promotion: Promotion) -> tuple[object, ...]:
    return promotion.bizdate, promotion.repeat


def _way(day: Day) -> str:
    if day.state in (DayState.ROLLED_BACK, DayState.SUPERSEDED):
        return "roll back to the promotion that names it, or train the date again"
    return "only a trained day, or one that failed its gate, can be"


def _day_of_promotion(connection: Connection, promotion: Promotion) -> Day:
    columns = schema.day.c
    query = sa.select(schema.day).where(
        columns.model == promotion.model,
        columns.bizdate == promotion.bizdate,
        columns.repeat == promotion.repeat,
    )
    return day_of(connection.execute(query).mappings().one())


def _roll_back_after(connection: Connection, day: Day, **how: Any) -> list[Day]:
    columns = schema.day.c
    newest = newest_chain(connection, day.model)
    current_chain = day.chain_id if newest is None else newest["id"]
    later = sa.and_(columns.chain_id == current_chain, columns.bizdate > day.bizdate)
    another = sa.and_(columns.chain_id == day.chain_id, columns.bizdate == day.bizdate, columns.id != day.id)
    return move_days(
        connection,
        columns.state == DayState.PROMOTED.value,
        sa.or_(later, another),
        to=DayState.ROLLED_BACK,
        **how,
    )


def _restore(connection: Connection, day: Day, **how: Any) -> list[Day]:
    """Undo an older rollback for the day and for those it was trained from, one after another."""
    columns = schema.day.c
    restored: list[Day] = []
    if day.state is not DayState.PROMOTED:
        restored += move_days(connection, columns.id == day.id, to=day.state.to(DayState.PROMOTED), **how)
    while True:
        of_chain = sa.select(schema.day).where(columns.chain_id == day.chain_id)
        before = of_chain.where(
            columns.checkpoint_out == day.checkpoint_in, columns.bizdate < day.bizdate
        ).order_by(columns.repeat.desc())
        row = connection.execute(before.limit(1)).mappings().one_or_none()
        if row is None or row["state"] != DayState.ROLLED_BACK.value:
            return restored
        day = day_of(row)
        in_its_place = of_chain.where(
            columns.bizdate == day.bizdate, columns.state == DayState.PROMOTED.value
        )
        if connection.execute(in_its_place).first() is not None:
            return restored
        restored += move_days(connection, columns.id == day.id, to=DayState.PROMOTED, **how)
