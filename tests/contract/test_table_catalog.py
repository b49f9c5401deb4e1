"""Every TableCatalog behaves so: the fake that other tests use, and pyodps against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.adapters.maxcompute import MaxComputeTables
from include.errors import AccessError, RetryableError
from include.ports import TableCatalog
from include.sandbox import Endpoints, Sandbox
from tests.support.fakes import MemoryTables
from tests.support.sandboxed import QUICK, control, maxcompute_credentials, running_sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("tables")) as one:
        project = one.endpoints.project
        one.tables.create_table(project, "days", [("label", "bigint")], ["dt"])
        one.tables.add_partition(project, "days", "dt=20240101", {"label": [1]})
        one.tables.create_table(project, "hours", [("label", "bigint")], ["dt", "hour"])
        one.tables.add_partition(project, "hours", "dt=20240101/hour=03", {"label": [1]})
        one.tables.create_table(project, "whole", [("label", "bigint")])
        yield one


@pytest.fixture
def endpoints(sandbox: Sandbox) -> Endpoints:
    control(sandbox.endpoints, "faults", method="DELETE")
    return sandbox.endpoints


@pytest.fixture(params=["memory", "pyodps"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> TableCatalog:
    if request.param == "memory":
        return MemoryTables(
            {
                ("sandbox", "days"): ["dt=20240101"],
                ("sandbox", "hours"): ["dt=20240101/hour=03"],
                ("sandbox", "whole"): [],
            }
        )
    return MaxComputeTables(maxcompute_credentials(request.getfixturevalue("endpoints")), retries=QUICK)


def test_projects_and_tables_are_there_or_not(tables: TableCatalog) -> None:
    assert tables.project_exists("sandbox")
    assert not tables.project_exists("no_such_project")
    assert tables.table_exists("sandbox", "days")
    assert not tables.table_exists("sandbox", "no_such_table")
    assert not tables.table_exists("no_such_project", "days")


def test_partitions_are_named_as_in_table_urls(tables: TableCatalog) -> None:
    assert tables.partition_exists("sandbox", "days", "dt=20240101")
    assert not tables.partition_exists("sandbox", "days", "dt=20240102")
    assert tables.partition_exists("sandbox", "hours", "dt=20240101/hour=03")
    assert not tables.partition_exists("sandbox", "hours", "dt=20240101/hour=04")
    assert not tables.partition_exists("sandbox", "no_such_table", "dt=20240101")


@pytest.mark.parametrize("kind", ["status", "throttle", "reset_before", "cut_body"])
def test_passing_trouble_is_waited_out(endpoints: Endpoints, kind: str) -> None:
    tables = MaxComputeTables(maxcompute_credentials(endpoints), retries=QUICK)
    control(endpoints, "faults", {"service": "odps", "kind": kind, "path": "^/api/", "count": 2})
    assert tables.partition_exists("sandbox", "days", "dt=20240101")


def test_trouble_is_never_reported_as_missing(endpoints: Endpoints) -> None:
    tables = MaxComputeTables(maxcompute_credentials(endpoints), retries=QUICK)
    control(endpoints, "faults", {"service": "odps", "kind": "status", "path": "^/api/", "count": 90})
    with pytest.raises(RetryableError):
        tables.project_exists("sandbox")
    with pytest.raises(RetryableError):
        tables.table_exists("sandbox", "days")
    with pytest.raises(RetryableError):
        tables.partition_exists("sandbox", "days", "dt=20240101")
    control(endpoints, "faults", method="DELETE")


def test_a_wrong_key_is_an_access_error(endpoints: Endpoints) -> None:
    tables = MaxComputeTables(maxcompute_credentials(endpoints, access_key_secret="wrong-key"), retries=QUICK)
    with pytest.raises(AccessError, match=r"table sandbox\.days"):
        tables.table_exists("sandbox", "days")
