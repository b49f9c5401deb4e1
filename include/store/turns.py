"""The part of the store that keeps which DAG runs gave their place to a run that could not begin."""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.store import schema
from include.store.daily_records import GivenPlace, RunKey
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.rows import add_event

_GAVE, _CAME_BACK = "place_given", "place_returned"


class Turns(StorePart):
    """A run gives its place away by ending; whoever starts it again finds it here."""

    @writes
    def give_place(
        self, connection: Connection, model: str, *, run: RunKey, bizdate: date, to: RunKey
    ) -> None:
        """``run`` ends now, so that ``to`` can begin, and is to be started again."""
        data = {**_described(model, run), "bizdate": bizdate.isoformat(), "to": to.run_id}
        add_event(connection, at=self._now(), by=str(run), kind=_GAVE, data=data)

    @writes
    def return_place(self, connection: Connection, model: str, *, run: RunKey, by: str) -> None:
        """``run`` is at work again, or will be; nothing to do when it never gave its place away."""
        if any(given.run == run for given in _given(connection, model)):
            add_event(connection, at=self._now(), by=by, kind=_CAME_BACK, data=_described(model, run))

    @reads
    def given_places(self, connection: Connection) -> list[GivenPlace]:
        """The runs, of all models, that gave their place away and were not started again: earliest day first."""
        return _given(connection)


def _described(model: str, run: RunKey) -> dict[str, Any]:
    return {"model": model, "dag_id": run.dag_id, "run_id": run.run_id}


def _given(connection: Connection, model: str | None = None) -> list[GivenPlace]:
    events = schema.event.c
    query = (
        sa.select(events.kind, events.data).where(events.kind.in_((_GAVE, _CAME_BACK))).order_by(events.id)
    )
    found: dict[RunKey, GivenPlace] = {}
    for kind, data in connection.execute(query):
        run = RunKey(data["dag_id"], data["run_id"])
        found.pop(run, None)
        if kind == _GAVE and model in (None, data["model"]):
            day = date.fromisoformat(data["bizdate"])
            found[run] = GivenPlace(data["model"], run, day, RunKey(run.dag_id, data["to"]))
    return sorted(found.values(), key=lambda given: (given.model, given.bizdate))
