"""Connections, transactions and errors of the two databases the store knows."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.pool import NullPool, QueuePool
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from include.errors import (
    AccessError,
    ConfigError,
    EasyRecAutoMLError,
    NotFoundError,
    PermanentError,
    StoreUnavailableError,
)

LOCK_TIMEOUT = 30.0
"""Seconds that a transaction waits for others, and that trouble is retried."""

_WRITE = "easyrec_write"
_POSTGRES_DRIVERS = ("postgres", "postgresql", "postgresql+psycopg2")
_SQLITE_DRIVERS = ("sqlite", "sqlite+pysqlite")
# SQLSTATE classes and codes after which the same transaction may succeed: connection, rollback
# (serialization, deadlock), resources, locks, server going down or standing by.
_RETRYABLE_SQLSTATES = ("08", "40", "53", "55P03", "57P", "25006")

# A network that swallows packets must not hang a thread for ever. An address can say otherwise.
_POSTGRES_OPTIONS = {
    "application_name": "easyrec-automl",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

T = TypeVar("T")
P = ParamSpec("P")


class Database:
    """One engine and the two kinds of transactions the store uses."""

    def __init__(self, url: str, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        """Opens no connection yet. ConfigError for an address the store can't use."""
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._lock_timeout = lock_timeout
        self._pid = os.getpid()
        self._engine = self._sqlite() if self.is_sqlite else self._postgres()
        self._writer = self._engine.execution_options(**{_WRITE: True})
        # One snapshot for all queries of a read; SQLite's BEGIN gives that by itself.
        self._reader = (
            self._engine
            if self.is_sqlite
            else self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )

    def read(self, work: Callable[[Connection], T]) -> T:
        """``work`` on one consistent snapshot."""
        return self._retrying(lambda: self._once(self._reader, work))

    def write(self, work: Callable[[Connection], T]) -> T:
        """``work`` in one transaction. It may be called again after trouble, so it must be repeatable."""
        return self._retrying(lambda: self._once(self._writer, work))

    def migrate(self, work: Callable[[Connection], T]) -> T:
        """As ``write``, with foreign keys off on SQLite, where altering a table means copying it."""

        def attempt() -> T:
            with _translated(self), self._writer.connect() as connection:
                if self.is_sqlite:
                    # A pragma of a transaction would be ignored, so it goes past SQLAlchemy's BEGIN.
                    connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
                with connection.begin():
                    return work(connection)

        return self._retrying(attempt)

    def close(self) -> None:
        self._engine.dispose()

    def _once(self, engine: sa.Engine, work: Callable[[Connection], T]) -> T:
        if os.getpid() != self._pid:  # connections must not be shared with the parent of a fork
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        with _translated(self), engine.begin() as connection:
            return work(connection)

    def _retrying(self, attempt: Callable[[], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailableError),
            stop=stop_after_delay(self._lock_timeout),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            reraise=True,
        )
        return retrying(attempt)

    def _sqlite(self) -> sa.Engine:
        # No pool: a connection that a fork inherits can corrupt a SQLite file, and opening one is cheap.
        engine = sa.create_engine(self.url, poolclass=NullPool, connect_args={"timeout": self._lock_timeout})

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver would begin transactions on its own, too late
            # synchronous=FULL: a step recorded before its submit must outlive a power cut.
            for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # IMMEDIATE: a reader that becomes a writer later would fail at once instead of waiting.
            writing = connection.get_execution_options().get(_WRITE)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

        return engine

    def _postgres(self) -> sa.Engine:
        engine = sa.create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=2,
            max_overflow=8,
            pool_timeout=self._lock_timeout,
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={
                name: value for name, value in _POSTGRES_OPTIONS.items() if name not in self.url.query
            },
        )

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get(_WRITE):
                # LOCAL: a pooler between us and the server may hand the session to others. A process
                # frozen inside its transaction loses it before those that wait for its locks give up.
                wait = int(self._lock_timeout * 1000)
                connection.exec_driver_sql(
                    f"SET LOCAL lock_timeout = {wait};"
                    f"SET LOCAL idle_in_transaction_session_timeout = {wait // 2}"
                )

        return engine


def parse_url(url: str) -> URL:
    """The address as SQLAlchemy wants it: absolute SQLite files and Postgres through psycopg2 only."""
    hint = "write sqlite:////absolute/path/store.db or postgresql://user:password@host/database"
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        # Without the text itself: it may hold a password.
        raise ConfigError("the store's address is not a database URL", hint=hint) from None
    if parsed.drivername in _POSTGRES_DRIVERS:
        return parsed.set(drivername="postgresql+psycopg2")
    if parsed.drivername not in _SQLITE_DRIVERS:
        raise ConfigError(f"the store can't be kept in {parsed.drivername!r}", hint=hint)
    if not parsed.database or not Path(parsed.database).is_absolute():
        raise ConfigError(
            f"the store's file {parsed.database or ':memory:'!r} is not an absolute path: processes "
            "with other working directories would open another store",
            hint=hint,
        )
    folder = Path(parsed.database).parent
    if not folder.is_dir():
        raise NotFoundError(f"the folder {folder} of the store does not exist", hint="create it")
    return parsed


class _translated:
    """Turns what SQLAlchemy raises into our errors: the only place that looks at them."""

    def __init__(self, database: Database) -> None:
        self._url = database.url

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, exc.SQLAlchemyError):
            raise _translate(error, self._url.render_as_string(hide_password=True)) from error
        # What drivers say of text that they can't send: half a surrogate pair, a zero byte.
        if isinstance(error, UnicodeEncodeError) or (isinstance(error, ValueError) and "NUL" in str(error)):
            raise ConfigError(f"no name in the store can be so: {error}") from error


def _translate(error: exc.SQLAlchemyError, where: str) -> EasyRecAutoMLError:
    if isinstance(error, exc.TimeoutError):
        return StoreUnavailableError("no free connection to the store", where=where)
    if not isinstance(error, exc.DBAPIError):
        return PermanentError(f"the store failed: {error}", where=where)
    text = str(error.orig).strip()
    if where.startswith("sqlite"):
        return _translate_sqlite(error, text, where)
    state = getattr(error.orig, "pgcode", None)
    if state is None and isinstance(error, exc.OperationalError):
        return _translate_connect(text, where)
    if error.connection_invalidated or (state or "").startswith(_RETRYABLE_SQLSTATES):
        return StoreUnavailableError(f"the store did not answer: {text}", where=where)
    if state == "42501" or (state or "").startswith("28"):
        return AccessError(f"the store refused: {text}", where=where, hint="ask for rights on its database")
    return PermanentError(f"the store failed: {text}", where=where)


def _translate_sqlite(error: exc.DBAPIError, text: str, where: str) -> EasyRecAutoMLError:
    if isinstance(error, exc.OperationalError) and ("locked" in text or "busy" in text):
        return StoreUnavailableError(f"the store is in use by others: {text}", where=where)
    if "unable to open" in text or "readonly" in text:
        return AccessError(f"the store can't be written: {text}", where=where, hint="check the file's rights")
    return PermanentError(f"the store failed: {text}", where=where)


def _translate_connect(text: str, where: str) -> EasyRecAutoMLError:
    # psycopg2 gives no code for what fails before a session exists, only the server's words.
    if "authentication failed" in text or "no pg_hba.conf entry" in text or "no password supplied" in text:
        return AccessError(f"the store refused: {text}", where=where, hint="check its Airflow Connection")
    if ("database" in text or "role" in text) and "does not exist" in text:
        return NotFoundError(
            f"the store's database: {text}", where=where, hint="check its Airflow Connection"
        )
    return StoreUnavailableError(f"the store did not answer: {text}", where=where)


class UsesDatabase(Protocol):
    @property
    def _db(self) -> Database: ...


S = TypeVar("S", bound=UsesDatabase)


def reads(method: Callable[Concatenate[S, Connection, P], T]) -> Callable[Concatenate[S, P], T]:
    """Run a method in a read transaction: it gets the connection, its callers don't."""

    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._db.read(lambda connection: method(self, connection, *args, **kwargs))

    return _documented_as(method, wrapper)


def writes(method: Callable[Concatenate[S, Connection, P], T]) -> Callable[Concatenate[S, P], T]:
    """Run a method in a write transaction, repeated after trouble: all of it or nothing happens."""

    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._db.write(lambda connection: method(self, connection, *args, **kwargs))

    return _documented_as(method, wrapper)


F = TypeVar("F", bound=Callable[..., Any])


def _documented_as(method: Callable[..., Any], wrapper: F) -> F:
    """``wrapper`` with the method's name, docstring and signature, the connection left out."""
    functools.update_wrapper(wrapper, method)
    signature = inspect.signature(method)
    visible = [each for each in signature.parameters.values() if each.name != "connection"]
    wrapper.__signature__ = signature.replace(parameters=visible)  # type: ignore[attr-defined]
    return wrapper
