"""The part of the store that says which Airflow uses it: a copy of a store has the same UUID (adr 0008)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.search.trial import TrialState
from include.store import schema
from include.store.database import reads, writes
from include.store.day_state import DayState
from include.store.part import StorePart
from include.store.records import ExperimentState, StepState
from include.store.rows import add_event, lock_experiment, trial_key


@dataclass(frozen=True)
class Binding:
    """``token``: what the Airflow that uses the store has in its own database, too. ``at``: since when; None
    while any Airflow may have the store. ``to``: that Airflow, in words for people."""

    uuid: str
    token: str
    at: datetime | None
    to: str


class Bindings(StorePart):
    """Bind the store to an Airflow, move it to another one, and make a copy a store of its own."""

    @reads
    def binding(self, connection: Connection) -> Binding:
        """Whose the store is now. Its UUID is the one in the database, whatever was opened."""
        return _binding(connection)

    @writes
    def bind(self, connection: Connection, token: str, to: str) -> Binding:
        """The Airflow ``to``, which has remembered ``token``, has the store from now on, and no other one.

        Changes nothing when an Airflow has it already: of two that come at once, one gets it.
        Returns whose it is now.
        """
        now = self._now()
        update = schema.store.update().where(schema.store.c.bound_at.is_(None))
        if connection.execute(update.values(binding=token, bound_at=now, bound_to=to)).rowcount:
            add_event(connection, at=now, by=to, kind="store_bound", data={})
        return _binding(connection)

    @writes
    def unbind(self, connection: Connection, *, by: str) -> None:
        """Let the next Airflow that uses the store have it, and no longer the one that has it now."""
        connection.execute(schema.store.update().values(_UNBOUND))
        add_event(connection, at=self._now(), by=by, kind="store_unbound", data={})

    @writes
    def separate_copy(self, connection: Connection, *, by: str) -> str:
        """Give this copy of a store a UUID of its own, and return it: jobs of the original are no longer its.

        What is open in it belongs to the original: it ends here, in the records alone, and leases are free.
        Open the store anew afterwards. The next Airflow that uses it has it.
        """
        now, made = self._now(), str(uuid.uuid4())
        before = connection.scalar(sa.select(schema.store.c.uuid))
        reason = f"the store was copied from {before}: what was open there goes on there"
        self._end_searches(connection, reason, now, by)
        steps, days = schema.step, schema.day
        connection.execute(
            steps.update()
            .where(steps.c.ended_at.is_(None))
            .values(state=StepState.STOPPED.value, reason=reason, ended_at=now)
        )
        connection.execute(
            days.update()
            .where(days.c.state == DayState.OPEN.value)
            .values(state=DayState.FAILED.value, reason=reason, ended_at=now)
        )
        connection.execute(schema.lease.delete())
        connection.execute(schema.store.update().values(**_UNBOUND, uuid=made))
        add_event(connection, at=now, by=by, kind="store_separated", data={"from": before, "to": made})
        return made

    def _end_searches(self, connection: Connection, reason: str, now: datetime, by: str) -> None:
        experiment, trial = schema.experiment.c, schema.trial.c
        unfinished = connection.execute(
            sa.select(trial.experiment_id, trial.number)
            .where(trial.state.not_in([state.value for state in TrialState if state.is_terminal]))
            .order_by(trial.experiment_id, trial.number)
        ).all()
        for experiment_id, number in unfinished:
            order = lock_experiment(connection, experiment_id)["ends"] + 1
            end = {"state": TrialState.CANCELLED.value, "reason": reason, "ended_at": now, "end_order": order}
            connection.execute(schema.trial.update().where(*trial_key(experiment_id, number)).values(**end))
            counted = schema.experiment.update().where(experiment.id == experiment_id)
            connection.execute(counted.values(ends=order))
        closed = connection.execute(
            schema.experiment.update()
            .where(experiment.state.not_in([state.value for state in ExperimentState if state.is_terminal]))
            .values(state=ExperimentState.FAILED.value, reason=reason, ended_at=now)
            .returning(experiment.id)
        )
        for experiment_id in closed.scalars().all():
            data = {"to": ExperimentState.FAILED.value, "reason": reason}
            add_event(connection, experiment_id=experiment_id, at=now, by=by, kind="state_changed", data=data)


def _binding(connection: Connection) -> Binding:
    row = connection.execute(sa.select(schema.store)).mappings().one()
    return Binding(row["uuid"], row["binding"] or "", row["bound_at"], row["bound_to"] or "")


_UNBOUND: dict[str, Any] = {"binding": None, "bound_at": None, "bound_to": None}
