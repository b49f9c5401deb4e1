"""What the page's API says to requests that make no sense: 400 or 422 in words, never 500."""

from __future__ import annotations

import pytest

from benchmarks.bad_inputs.lab import Lab
from include.experiments.control import Control
from tests.support.fakes import MemoryWorkflow
from tests.support.page import PageClient


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[PageClient, str]:
    """A client, and the address of a search."""
    lab = Lab(tmp_path_factory.mktemp("page"))
    client = PageClient(lambda: Control(lab.store, MemoryWorkflow(), "test"))
    return client, f"/api/experiments/{lab.open()}"


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"\xff", "application/json", 400, "parsing the body"),
        (b"\xff", "text/plain", 422, "body: Input should be a valid dictionary"),
        (b'{"slots": NaN}', "application/json", 422, "body.slots: Input should be a finite number"),
        (b'{"slots": 1e999}', "application/json", 422, "body.slots: Input should be a finite number"),
        (b'{"slots": "\\ud800"}', "application/json", 422, "body.slots: Input should be a valid"),
        (b'{"slots": 1, "\\ud800": 1}', "application/json", 422, "body: Input should be a valid string"),
        (b'{"slots": %s}' % (b"9" * 5000), "application/json", 400, "parsing the body"),
        (b"[" * 100_000, "application/json", 400, "parsing the body"),
        (b'{"slots": "%s"}' % (b"x" * 100_000), "application/json", 422, "body.slots"),
        (b"{%s}" % b",".join(b'"k%d": 1' % n for n in range(999)), "application/json", 422, "990 more"),
        (b'{"slots": 1%s}' % (b"0" * 400), "application/json", 422, "trials at once make no sense"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_in_words(page, body, kind, status, said):
    client, search = page
    answer = client.post(f"{search}/concurrency", body, kind)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert len(answer.content) < 3000


TASK = "/api/task?dag_id=d&run_id=r&task_id=t"


@pytest.mark.parametrize("number", ["1" + "0" * 30, "-1" + "0" * 30, str(2**31), "-2", "9" * 5000, "x"])
def test_a_map_index_that_no_task_has_is_refused(page, number):
    answer = page[0].get(f"{TASK}&map_index={number}")
    assert answer.status_code == 422
    assert "query.map_index" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{TASK}&map_index={2**31 - 1}", 404),
        (f"{TASK.replace('=d', '=%00')}", 400),
        ("/api/experiments/%00", 400),
        ("/api/experiments/%ff", 404),
        ("/api/models/%ff/days?chain=%00", 400),
        (f"SEARCH/plots/intermediate?trials={'9' * 5000}", 422),
        ("SEARCH/trials/-1", 404),
        (f"SEARCH/trials/{'9' * 400}", 404),
        (f"SEARCH/trials/{'9' * 400}/events.zip", 404),
        (f"SEARCH/trials/{'9' * 5000}", 422),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_in_words(page, path, status):
    client, search = page
    answer = client.get(path.replace("SEARCH", search))
    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)
