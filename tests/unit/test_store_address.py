"""Where a store may live, and what its file may be."""

from __future__ import annotations

import inspect
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.errors import ConfigError, NotFoundError, PermanentError, RetryableError, StoreUnavailableError
from include.store import ExperimentStore, schema
from include.store.database import Database, parse_url
from include.store.upgrade import MIGRATIONS


@pytest.mark.parametrize(
    "url",
    ["postgres://u:p@h/db", "postgresql://u:p@h/db", "postgresql+psycopg2://u:p@h/db"],
)
def test_every_spelling_of_postgres_is_understood(url: str) -> None:
    assert parse_url(url).drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "not an absolute path"),
        ("sqlite:///store.db", "not an absolute path"),
        ("mysql://u:s3cr3t@h/db", "can't be kept in 'mysql'"),
        ("postgresql+asyncpg://u:s3cr3t@h/db", "asyncpg"),
        ("store.db s3cr3t", "not a database URL"),
    ],
)
def test_an_address_that_cannot_work_is_refused_with_the_right_form(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ExperimentStore.open(url)
    assert "sqlite:////" in caught.value.hint
    assert "s3cr3t" not in str(caught.value)


def test_a_missing_folder_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="missing"):
        ExperimentStore.open(f"sqlite:///{tmp_path}/missing/store.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_text("somebody's notes, long enough to be read as a header " * 20)
    with pytest.raises(PermanentError, match="not a database"):
        ExperimentStore.open(f"sqlite:///{file}")
    assert file.read_text().startswith("somebody's notes")


def test_a_database_of_somebody_else_gets_our_tables_beside_theirs(tmp_path: Path) -> None:
    file = tmp_path / "airflow.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE alembic_version (version_num TEXT)")
        other.execute("INSERT INTO alembic_version VALUES ('theirs')")
    ExperimentStore.open(f"sqlite:///{file}")
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT version_num FROM alembic_version").fetchall() == [("theirs",)]
        tables = {name for (name,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables >= {
        f"easyrec_{name}" for name in ("store", "experiment", "trial", "step", "result", "event")
    }
    assert all(name.startswith("easyrec_") for name in tables - {"alembic_version"})


def test_opening_a_new_store_waits_for_whoever_holds_the_file(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="in use by others") as caught:
        ExperimentStore.open(f"sqlite:///{file}", lock_timeout=0.2)
    assert isinstance(caught.value, RetryableError)
    holder.execute("ROLLBACK")
    holder.close()
    assert ExperimentStore.open(f"sqlite:///{file}", lock_timeout=0.2).uuid


def test_readers_and_a_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = ExperimentStore.open(f"sqlite:///{file}", lock_timeout=0.2)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert store.experiments() == []
    holder.execute("ROLLBACK")
    holder.execute("BEGIN")
    holder.execute("SELECT * FROM easyrec_pool").fetchall()
    store.record_pool("easyrec_model", 4)
    holder.execute("ROLLBACK")
    holder.close()


def test_a_writer_keeps_others_out_from_its_first_read_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = ExperimentStore.open(url, lock_timeout=0.2)

    def read_only_so_far(connection: sa.Connection) -> None:
        connection.execute(sa.select(schema.pool)).all()
        with pytest.raises(StoreUnavailableError):
            store.record_pool("easyrec_model", 4)

    Database(url).write(read_only_so_far)


def test_the_code_works_with_the_newest_migration() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == schema.HEAD


def test_help_shows_what_callers_pass() -> None:
    signature = inspect.signature(ExperimentStore.move_trial)
    assert list(signature.parameters)[:3] == ["self", "experiment_id", "number"]
    assert "StaleEpochError" in (ExperimentStore.move_trial.__doc__ or "")
