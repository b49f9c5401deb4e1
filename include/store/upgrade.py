"""Brings a store's schema to the version this code works with, and gives a new store its UUID."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.errors import PermanentError
from include.store import schema
from include.store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
# Any number that nobody else is likely to lock in the same database.
_ADVISORY_LOCK = 0x45617379526563

_version = sa.table(schema.VERSION_TABLE, sa.column("version_num", sa.String))


def ensure_schema(database: Database, now: datetime) -> str:
    """The store's UUID, after making or upgrading the store where needed.

    Alembic is imported only when there is something to do: opening happens in every task. Several
    processes may come here at once: one works, the others wait and find it done.
    """
    return database.read(_uuid_at_head) or database.migrate(lambda connection: _migrate(connection, now))


def _uuid_at_head(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(schema.VERSION_TABLE):
        return None
    version = connection.scalar(sa.select(_version.c.version_num))
    if version != schema.HEAD:
        return None
    return connection.scalar(sa.select(schema.store.c.uuid))


def _migrate(connection: Connection, now: datetime) -> str:
    if connection.dialect.name == "postgresql":
        # SQLite needs no more than its BEGIN IMMEDIATE. Released with the transaction.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    done = _uuid_at_head(connection)
    if done:
        return done
    run_migrations(connection)
    existing = connection.scalar(sa.select(schema.store.c.uuid))
    if existing:
        return str(existing)
    made = str(uuid.uuid4())
    connection.execute(schema.store.insert().values(id=1, uuid=made, created_at=now))
    return made


def run_migrations(connection: Connection) -> None:
    """Run what is missing up to the newest migration, inside the caller's transaction.

    Raises PermanentError when the store was made by a newer version of this software.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        known = ScriptDirectory.from_config(config).get_current_head()
        raise PermanentError(
            f"the store's schema can't be brought to version {known}: {error}",
            hint="if a newer version of this software made the store, use that version or newer",
        ) from error
