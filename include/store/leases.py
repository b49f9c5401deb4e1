"""The part of the store that keeps leases: which DAG run may train a model now, and who waits."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.store import schema
from include.store.daily_records import Claim, Lease, RunKey
from include.store.daily_rows import holder_of, lease_of, lock_model
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.rows import add_event, insert


class Leases(StorePart):
    """Ask for, give back and take over leases."""

    @writes
    def try_lease(
        self, connection: Connection, model: str, *, run: RunKey, bizdate: date, live_for: timedelta
    ) -> Claim:
        """Ask for the model's lease, for one bizdate. Ask again to stay in the line.

        Among the runs that asked within ``live_for``, the earliest bizdate comes first, then who waits
        longest; a waiter that did not is dropped from the line. A holder keeps the lease however long it
        doesn't ask: ``take_over_lease`` ends that.
        """
        lock_model(connection, model)
        now = self._now()
        columns = schema.lease.c
        connection.execute(
            schema.lease.delete().where(
                columns.model == model, sa.not_(columns.held), columns.seen_at < now - live_for
            )
        )
        row = insert(connection, schema.lease).values(
            model=model,
            dag_id=run.dag_id,
            run_id=run.run_id,
            bizdate=bizdate,
            held=False,
            since=now,
            seen_at=now,
        )
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["model", "dag_id", "run_id"], set_={"bizdate": bizdate, "seen_at": now}
            )
        )
        holder = holder_of(connection, model)
        if holder is not None:
            return _claim(run, holder)
        first = min(
            _all(connection, model),
            key=lambda each: (each.bizdate, each.since, each.run.dag_id, each.run.run_id),
        )
        if first.run == run:
            update = schema.lease.update().where(*_of_run(model, run)).values(held=True, since=now)
            connection.execute(update)
            self._lease_event(connection, "lease_acquired", model, run, bizdate, at=now, by=run)
        return _claim(run, first)

    @writes
    def take_over_lease(
        self,
        connection: Connection,
        model: str,
        *,
        from_run: RunKey,
        run: RunKey,
        seen_at: datetime | None = None,
    ) -> None:
        """End ``from_run``'s hold on the lease, if it still has it: its DAG run is over, as Airflow says.

        ``run`` found that, and asks again with ``try_lease``. ``seen_at``: of the lease that was found in
        the way; one that its holder has asked for since (cleared meanwhile, it runs again) is left alone.
        """
        lock_model(connection, model)
        holder = holder_of(connection, model)
        if holder is None or holder.run != from_run or seen_at not in (None, holder.seen_at):
            return
        connection.execute(schema.lease.delete().where(*_of_run(model, from_run)))
        self._lease_event(
            connection, "lease_taken_over", model, from_run, holder.bizdate, at=self._now(), by=run
        )

    @writes
    def release_lease(self, connection: Connection, model: str, *, run: RunKey) -> None:
        """``run`` neither holds the model's lease nor waits for it any more; again changes nothing."""
        lock_model(connection, model)
        gone = connection.execute(schema.lease.delete().where(*_of_run(model, run)).returning(schema.lease))
        row = gone.mappings().one_or_none()
        if row is not None and row["held"]:
            self._lease_event(
                connection, "lease_released", model, run, row["bizdate"], at=self._now(), by=run
            )

    @reads
    def leases(self, connection: Connection, model: str | None = None) -> list[Lease]:
        """Who holds and who waits, of all models or of one: by model, the holder first, then in line."""
        return _all(connection, model)

    def _lease_event(
        self,
        connection: Connection,
        kind: str,
        model: str,
        run: RunKey,
        bizdate: date,
        *,
        at: datetime,
        by: RunKey,
    ) -> None:
        data = {"model": model, "dag_id": run.dag_id, "run_id": run.run_id, "bizdate": bizdate.isoformat()}
        add_event(connection, at=at, by=str(by), kind=kind, data=data)


def _claim(run: RunKey, first: Lease) -> Claim:
    return Claim(True, None) if first.run == run else Claim(False, first)


def _all(connection: Connection, model: str | None) -> list[Lease]:
    columns = schema.lease.c
    query = sa.select(schema.lease)
    if model is not None:
        query = query.where(columns.model == model)
    leases = [lease_of(row) for row in connection.execute(query).mappings()]
    return sorted(leases, key=lambda each: (each.model, not each.held, each.bizdate, each.since))


def _of_run(model: str, run: RunKey) -> tuple[sa.ColumnElement[bool], ...]:
    columns = schema.lease.c
    return columns.model == model, columns.dag_id == run.dag_id, columns.run_id == run.run_id
