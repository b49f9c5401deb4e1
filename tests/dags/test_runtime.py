"""Where the store lies, and what is said when a connection is missing."""

from __future__ import annotations

import pytest

from easyrec import runtime
from include.errors import ConfigError
from include.experiments.settings import ModelSettings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    runtime._open.cache_clear()
    yield tmp_path
    runtime._open.cache_clear()


def missing(conn_id):
    from airflow.sdk.exceptions import AirflowNotFoundException

    raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")


def test_the_store_is_a_file_in_airflow_home_by_default(home, monkeypatch):
    monkeypatch.setattr(runtime, "_connection", missing)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")

    with runtime.open_store() as store:
        assert store.uuid

    assert (home / "easyrec_automl.db").exists()


def test_a_file_is_refused_when_tasks_may_run_on_other_machines(monkeypatch):
    monkeypatch.setattr(runtime, "_connection", missing)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")

    with pytest.raises(ConfigError, match="easyrec_store"):
        runtime.open_store()


def test_a_missing_connection_is_named_with_the_way_to_make_it(monkeypatch):
    monkeypatch.setattr(runtime, "_connection", missing)

    with pytest.raises(ConfigError, match=r"'maxcompute_default'.*import-connections"):
        runtime.services(ModelSettings())
