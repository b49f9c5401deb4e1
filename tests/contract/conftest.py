"""Stores on every database that may be behind them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from include.store import ExperimentStore, schema
from include.store.database import Database
from tests.support.postgres import running_postgres
from tests.support.stores import Clock

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes databases on a real server that listens on a socket only: empty ones, or with a store."""
    with running_postgres() as new_database:
        yield lambda: new_database().render_as_string(hide_password=False)


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
        shutil.copy(request.getfixturevalue("empty_store"), tmp_path / "store.db")
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_store")())


@pytest.fixture
def store(url: str) -> Iterator[ExperimentStore]:
    with ExperimentStore.open(url, clock=Clock()) as opened:
        yield opened
