"""The store: the truth about experiments, trials, jobs, results and daily models (design section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.errors import ConfigError
from include.store import schema
from include.store.adoptions import Adoptions
from include.store.binding import Bindings
from include.store.chains import Chains
from include.store.changes import Changes
from include.store.database import LOCK_TIMEOUT, Database, reads, writes
from include.store.days import Days
from include.store.epochs import Epochs
from include.store.experiments import Experiments
from include.store.leases import Leases
from include.store.promotions import Promotions
from include.store.records import Event
from include.store.requests import RunRequests
from include.store.results import Results
from include.store.rows import SYSTEM, add_event, event_of, insert, lock_experiment
from include.store.steps import Steps
from include.store.trials import Trials
from include.store.turns import Turns
from include.store.upgrade import ensure_schema
from include.store.values import plain_json, refuse_secrets


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class ExperimentStore(
    Experiments,
    RunRequests,
    Trials,
    Epochs,
    Steps,
    Results,
    Chains,
    Days,
    Promotions,
    Adoptions,
    Leases,
    Turns,
    Changes,
    Bindings,
):
    """All of it. Safe to use from several threads and processes, and after a fork.

    Every method is one short transaction. Any of them raises StoreUnavailableError (retryable) when
    the database stays locked or away for longer than ``lock_timeout``, and PermanentError or
    AccessError for other trouble of the database. What changes something appends an event in the
    same transaction.
    """

    uuid: str
    """As it was when the store was opened; part of every submission key and owner marker.

    Made once, when the store is created; only ``separate_copy`` ever changes it."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._db = database
        self._now = clock
        self.uuid = ensure_schema(database, clock())

    @classmethod
    def open(
        cls, url: str, *, lock_timeout: float = LOCK_TIMEOUT, clock: Callable[[], datetime] = utc_now
    ) -> ExperimentStore:
        """Open a store, making or migrating it where needed.

        ``url``: ``sqlite:////absolute/path.db``, or ``postgresql://…`` (``postgres://`` too).
        ``lock_timeout``: seconds to wait for other writers, and to retry lost connections.

        Raises ConfigError for an address that can't be used, NotFoundError for a missing folder or
        database, AccessError, PermanentError for a store of a newer version.
        """
        return cls(Database(url, lock_timeout=lock_timeout), clock)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> ExperimentStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record_event(
        self, experiment_id: str | None, trial: int | None, kind: str, by: str, data: Mapping[str, Any]
    ) -> None:
        """Append what happened outside the store: who (``by``), what (``kind``), with plain JSON data.

        Raises ConfigError when the data is not plain JSON or holds what looks like a secret,
        NotFoundError for an unknown experiment.
        """
        refuse_secrets(data, "event")
        self._record_event(experiment_id, trial, kind, by, plain_json(data, "event"))

    @writes
    def _record_event(
        self,
        connection: Connection,
        experiment_id: str | None,
        trial: int | None,
        kind: str,
        by: str,
        data: dict[str, Any],
    ) -> None:
        if experiment_id is not None:
            lock_experiment(connection, experiment_id)
        add_event(
            connection, experiment_id=experiment_id, trial=trial, at=self._now(), by=by, kind=kind, data=data
        )

    @reads
    def events(
        self, connection: Connection, experiment_id: str | None, *, trial: int | None = None
    ) -> list[Event]:
        """Events of an experiment (or of one trial), or those that concern none, in the order of recording."""
        columns = schema.event.c
        query = sa.select(schema.event).where(columns.experiment_id == experiment_id).order_by(columns.id)
        if trial is not None:
            query = query.where(columns.trial == trial)
        return [event_of(row) for row in connection.execute(query).mappings()]

    @writes
    def record_pool(self, connection: Connection, name: str, slots: int) -> None:
        """Remember that an Airflow pool exists: tasks can't see pools, plugins can (design section 4)."""
        if slots < -1:
            raise ConfigError(f"pool {name!r} can't have {slots} slots", hint="-1 means no limit")
        now = self._now()
        columns = schema.pool.c
        before = connection.scalar(sa.select(columns.slots).where(columns.name == name))
        row = insert(connection, schema.pool).values(name=name, slots=slots, seen_at=now)
        connection.execute(
            row.on_conflict_do_update(index_elements=["name"], set_={"slots": slots, "seen_at": now})
        )
        if before != slots:
            add_event(connection, at=now, by=SYSTEM, kind="pool_changed", data={"pool": name, "slots": slots})

    @writes
    def forget_pool(self, connection: Connection, name: str) -> None:
        """The pool is gone, or can't be used; one that isn't known changes nothing."""
        if connection.execute(schema.pool.delete().where(schema.pool.c.name == name)).rowcount:
            add_event(connection, at=self._now(), by=SYSTEM, kind="pool_gone", data={"pool": name})

    @reads
    def pools(self, connection: Connection) -> dict[str, int]:
        """Slots of the pools that were seen, by name."""
        rows = connection.execute(
            sa.select(schema.pool.c.name, schema.pool.c.slots).order_by(schema.pool.c.name)
        )
        return dict(rows.tuples().all())
