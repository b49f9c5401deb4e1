"""Where the store lies, and what is said when a connection is missing."""

from __future__ import annotations

import pytest

from easyrec import runtime
from include.errors import ConfigError, ProblemsError
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


@pytest.mark.parametrize("executor", ["CeleryExecutor", "LocalExecutor, KubernetesExecutor"])
def test_a_file_is_refused_when_tasks_may_run_on_other_machines(home, monkeypatch, executor):
    monkeypatch.setattr(runtime, "_connection", missing)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)

    with pytest.raises(ConfigError, match="easyrec_store"):
        runtime.open_store()
    assert list(home.glob("*.db")) == []


def test_every_missing_connection_is_named_with_the_way_to_make_it(monkeypatch):
    monkeypatch.setattr(runtime, "_connection", missing)

    with pytest.raises(ProblemsError) as caught:
        runtime.services(ModelSettings())

    maxcompute, oss = caught.value.problems
    assert "'maxcompute_default'" in maxcompute
    assert "'oss_default'" in oss
    assert all("import-connections" in problem for problem in (maxcompute, oss))
