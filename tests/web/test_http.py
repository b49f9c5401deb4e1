"""The page's API over real HTTP: who may see what, what answers look like, and how large they are."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.web.conftest import EVENTS, HIDDEN_SEARCH, LARGE, MARKUP, SMALL

pytestmark = [pytest.mark.airflow]

READ = [
    "/",
    f"/experiments/{SMALL}",
    "/openapi.json",
    "/api/version",
    "/api/experiments",
    "/api/models",
    "/api/dags/begin_search_movielens/runs/x",
    f"/api/experiments/{SMALL}",
    f"/api/experiments/{SMALL}/version",
    f"/api/experiments/{SMALL}/files",
    f"/api/experiments/{SMALL}/trials",
    f"/api/experiments/{SMALL}/trials/0",
    f"/api/experiments/{SMALL}/trials/0/events.zip",
    f"/api/experiments/{SMALL}/plots/best",
    f"/api/experiments/{SMALL}/summary.json",
    f"/api/experiments/{SMALL}/summary.html",
]
OF_A_DAG = [path for path in READ if (SMALL in path and path.startswith("/api")) or "/dags/" in path]
PLOTS = ["best", "intermediate", "parallel", "importance", "slice", "contour", "timeline"]
LOGVIEW = f"/api/experiments/{SMALL}/trials/0/logview"
MARK = {"X-EasyRec-Request": "1"}


@pytest.mark.parametrize("path", READ)
def test_nobody_sees_anything_without_a_login(site, path):
    assert site.get(path, user=None).status_code == 401


@pytest.mark.parametrize("path", OF_A_DAG)
def test_a_person_without_access_to_the_dag_is_refused(site, path):
    assert site.get(path, user="nobody").status_code == 403


@pytest.mark.parametrize("path", READ)
def test_a_person_who_may_read_the_dag_sees_its_searches(site, path):
    assert site.get(path, user="viewer").status_code == 200


def test_rights_are_asked_for_each_dag(site):
    assert site.get(f"/api/experiments/{HIDDEN_SEARCH}", user="viewer").status_code == 403
    assert site.get(f"/api/experiments/{HIDDEN_SEARCH}", user="admin").status_code == 200
    seen = {
        user: {e["id"] for e in site.json("/api/experiments", user)["experiments"]}
        for user in ("admin", "viewer", "nobody")
    }
    assert seen["admin"] - seen["viewer"] == {HIDDEN_SEARCH}
    assert seen["viewer"] >= {SMALL, LARGE}
    assert seen["nobody"] == set()


def test_the_login_cookie_of_the_ui_is_enough(site):
    cookies = {"_token": site.token("viewer")}
    assert site.get("/api/experiments", user=None, cookies=cookies).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({**MARK, "Origin": "https://evil.example"}, 403),
        ({**MARK, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**MARK, "Sec-Fetch-Site": "same-site"}, 403),
        (MARK, 200),
    ],
)
def test_another_site_cannot_make_a_browser_change_something(site, headers, status):
    assert site.by_browser(LOGVIEW, **headers).status_code == status


def test_a_request_from_the_page_itself_is_accepted(site):
    assert site.by_browser(LOGVIEW, **MARK, Origin=site.airflow.url).status_code == 200


def test_logview_links_are_made_on_request_and_kept_nowhere(site):
    answer = site.call("POST", LOGVIEW, "viewer")

    link = answer.json()["links"]["job"]
    token = link.split("token=")[1]
    assert answer.headers["Cache-Control"] == "no-store"
    assert link.startswith("http")
    assert site.call("POST", LOGVIEW, "nobody").status_code == 403
    assert site.call("POST", LOGVIEW, None).status_code == 401
    kept = [p for p in site.airflow.home.rglob("*") if p.is_file() and token.encode() in p.read_bytes()]
    assert kept == []


def test_a_search_that_is_not_there_says_so(site):
    answer = site.get("/api/experiments/no-such")
    assert (answer.status_code, answer.json()["detail"]) == (404, "the store has no experiment 'no-such'")


def test_the_overview_tells_state_limits_best_and_compute(site):
    seen = site.json(f"/api/experiments/{SMALL}", "viewer")

    assert (seen["state"], seen["limits"]["max_trials"], seen["limits"]["pool"]) == (
        "RUNNING",
        10,
        "movielens_trials",
    )
    assert seen["progress"] == {"asked": 8, "counts": {"SUCCEEDED": 4, "EARLY_STOPPED": 2, "FAILED": 2}}
    assert seen["training_seconds"] == 6 * 510 + 2 * 210
    assert seen["saved_seconds"] == 2 * (510 - 210)
    assert seen["may_change"] is False
    table = site.json(f"/api/experiments/{SMALL}/trials")
    finished = [row["metric"] for row in table["rows"] if row["state"] == "SUCCEEDED"]
    assert seen["best"]["metric"] == max(finished)


def test_a_trial_tells_its_curves_parameters_and_what_they_change(site):
    seen = site.json(f"/api/experiments/{SMALL}/trials/0")

    (curve,) = seen["curves"]
    assert (curve["name"], curve["steps"]) == ("", [100, 200, 300, 400, 500])
    assert set(curve["values"]) == {"objective", "auc_is_like", "auc_is_love"}
    rate = seen["parameters"]["model_config.embedding_regularization"]
    added = [line.removeprefix("+").strip() for line in seen["diff"]["lines"] if line.startswith("+")]
    assert f"embedding_regularization: {rate}" in added
    assert seen["task"]["map_index"] == 0


def test_the_event_files_come_as_a_zip(site):
    body = site.get(f"/api/experiments/{SMALL}/trials/0/events.zip").content
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == {
            "eval_val/events.out.tfevents.1.host": EVENTS
        }


def test_a_thousand_trials_stay_below_two_megabytes(site):
    paths = ["", "/trials", "/files", *(f"/plots/{name}" for name in PLOTS)]
    sizes = {p: len(site.get(f"/api/experiments/{LARGE}{p}").content) for p in paths}
    assert {p: size for p, size in sizes.items() if size > 2_000_000} == {}
    assert len(site.json(f"/api/experiments/{LARGE}/trials")["rows"]) == 1000


def test_answers_carry_headers_that_forbid_foreign_scripts_and_frames(site):
    headers = site.get("/").headers
    assert (
        "script-src" in headers["Content-Security-Policy"]
        or "default-src 'self'" in headers["Content-Security-Policy"]
    )
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_html_summary_escapes_what_a_job_said(site):
    page = site.get(f"/api/experiments/{SMALL}/summary.html").text
    assert MARKUP not in page
    assert "&lt;img src=x" in page


def test_scripts_find_the_routes_described(site):
    described = site.json("/openapi.json")["paths"]
    assert "get" in described["/api/experiments/{experiment}/trials"]
    assert all(way.get("description") for ways in described.values() for way in ways.values())
