"""What the page's routes ask besides the store: Airflow's pools and address, the clock, the model's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from fastapi import HTTPException
from starlette.requests import Request

from easyrec.web import access, routes
from include.experiments.control import Control
from include.store import ExperimentStore
from tests.support.fakes import MemoryWorkflow
from tests.support.page import PageClient
from tests.support.searches import MODEL, add_days, add_running, add_search

OURS = {"Host": "inner:8080", access.FORGERY_HEADER: "1"}


@pytest.fixture
def page(empty_store, tmp_path) -> Iterator[SimpleNamespace]:
    """A client; the store and the Airflow that it asks."""
    airflow = MemoryWorkflow()
    shutil.copy(empty_store, tmp_path / "store.db")
    with ExperimentStore.open(f"sqlite:///{tmp_path}/store.db") as store:
        client = PageClient(lambda: Control(store, airflow, "test"))
        yield SimpleNamespace(client=client, store=store, airflow=airflow)


def test_a_pool_that_was_changed_in_airflow_is_shown_and_changes_the_version(page):
    there = f"/api/experiments/{add_search(page.store).id}"
    seen = []
    for slots in (4, 9):
        page.airflow.pools["movielens_trials"] = slots
        overview = page.client.get(there).json()
        assert overview["version"] == page.client.get(f"{there}/version").json()["version"]
        seen.append((overview["version"], overview["limits"]["slots"], overview["limits"]["planned_slots"]))
    assert [s[1:] for s in seen] == [(4, 4), (9, 4)]
    assert seen[0][0] != seen[1][0]


def test_the_timeline_of_a_running_job_goes_on_while_nothing_else_changes(page, monkeypatch):
    search = add_search(page.store).id
    add_running(page.store, search, 8)
    now = datetime.now(timezone.utc)
    lengths = []
    for moment in (now + timedelta(minutes=1), now + timedelta(minutes=3)):
        monkeypatch.setattr(routes, "_now", lambda moment=moment: moment)
        drawn = page.client.get(f"/api/experiments/{search}/plots/timeline").json()
        (bar,) = next(trace["x"] for trace in drawn["data"] if trace["name"] == "RUNNING")
        lengths.append(bar)
    assert lengths[1] - lengths[0] == 120_000


def test_a_chain_that_nobody_goes_on_with_has_days_that_are_due(page, monkeypatch, tmp_path):
    add_days(page.store)
    monkeypatch.setenv("EASYREC_AUTOML_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(routes, "_now", lambda: datetime(2022, 6, 10, 12, tzinfo=timezone.utc))
    there = "/api/models/movielens/days"
    assert page.client.get(there).json()["overdue"] is None  # the model's folder is gone
    shutil.copytree(MODEL, tmp_path / "models" / "movielens")
    settings = tmp_path / "models" / "movielens" / "model.yml"
    settings.write_text(settings.read_text().replace("last_bizdate", "# last_bizdate"))
    assert page.client.get(there).json()["overdue"] == {"since": "2022-06-05", "count": 3}


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://inner:8080", True),
        ("https://airflow.example", True),  # a proxy in between has rewritten Host
        ("https://evil.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_the_page_is_known_by_its_own_host_or_by_airflows_address(monkeypatch, origin, allowed):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/prefix")
    assert accepted({**OURS, "Origin": origin}) is allowed


def test_a_hidden_origin_is_foreign_where_airflows_address_is_not_set(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    assert accepted({**OURS, "Origin": "null"}) is False


def accepted(headers: dict[str, str]) -> bool:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    try:
        access.refuse_forgery(Request({"type": "http", "headers": raw}), None)
    except HTTPException:
        return False
    return True


def test_scripts_are_told_where_the_api_lies_and_what_refusals_look_like(page):
    client = PageClient(lambda: Control(page.store, page.airflow, "test"), root_path="/prefix/easyrec")
    described = client.get("/openapi.json").json()
    assert described["servers"] == [{"url": "/prefix/easyrec"}]
    for path, ways in described["paths"].items():
        for way in ways.values():
            refused = way["responses"]["404"]["content"]["application/json"]["schema"]
            assert refused == {"$ref": "#/components/schemas/Refusal"}, path
            assert {"401", "403", "409", "422"} <= way["responses"].keys()
