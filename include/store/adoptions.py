"""The part of the store that keeps adoptions: what people made of finetune searches' results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.store import schema
from include.store.daily_records import Adoption
from include.store.daily_rows import lock_model
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.rows import add_event
from include.store.values import clean_text, plain_json


class Adoptions(StorePart):
    """Adopt parameters for a model's days, and find what counts."""

    def adopt(
        self,
        model: str,
        edits: Mapping[str, Any],
        *,
        experiment: str | None,
        trial: int | None,
        by: str,
        reason: str,
    ) -> Adoption:
        """Days that begin from now on are trained with ``edits``; without any, as before all adoptions.

        The same again, by whomever, changes nothing. Raises ConfigError when the edits are not plain JSON.
        """
        return self._adopt(model, plain_json(edits, "edits"), experiment, trial, by, clean_text(reason))

    @writes
    def _adopt(
        self,
        connection: Connection,
        model: str,
        edits: dict[str, Any],
        experiment: str | None,
        trial: int | None,
        by: str,
        reason: str,
    ) -> Adoption:
        lock_model(connection, model)
        newest = _newest(connection, model)
        if newest is not None and (newest.edits, newest.experiment, newest.trial) == (
            edits,
            experiment,
            trial,
        ):
            return newest
        values = {
            "model": model,
            "number": 1 if newest is None else newest.number + 1,
            "edits": edits,
            "experiment": experiment,
            "trial": trial,
            "by": by,
            "reason": reason,
            "at": self._now(),
        }
        added = connection.execute(schema.adoption.insert().values(**values).returning(schema.adoption))
        adoption = Adoption(**added.mappings().one())
        data = {name: values[name] for name in ("model", "number", "edits", "experiment", "trial", "reason")}
        add_event(connection, at=adoption.at, by=by, kind="adopted", data=data)
        return adoption

    @reads
    def adoption(self, connection: Connection, model: str) -> Adoption | None:
        """What the model's days are trained with now; None, or one without edits: with nothing adopted."""
        return _newest(connection, model)


def _newest(connection: Connection, model: str) -> Adoption | None:
    columns = schema.adoption.c
    query = sa.select(schema.adoption).where(columns.model == model).order_by(columns.number.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Adoption(**row)
