"""Airflow's API server alone, with the page in it, and a store that was filled beforehand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from include.adapters.maxcompute import MaxComputeJobs
from include.experiments.plan import Plan
from include.names import StepId
from include.sandbox import Endpoints, Sandbox
from include.store import ExperimentState, ExperimentStore
from scripts import sandbox_connections
from scripts.local_airflow import LocalAirflow
from tests.support.auth import HIDDEN_DAG
from tests.support.sandboxed import maxcompute_credentials
from tests.support.searches import MODEL, add_days, add_finetune_search, add_search

SMALL, LARGE, HIDDEN_SEARCH = "movielens-aaaa0001", "movielens-aaaa0002", "hidden-aaaa0003"
FINETUNE = "movielens-bbbb0001"
PASSWORDS = {"admin": "a", "viewer": "v", "nobody": "n"}
MARKUP = "<img src=x onerror=alert(1)>"
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 60_000
"""How slow a loaded machine may be: nothing is measured here."""
EVENTS = b"what the job's evaluator wrote"


@dataclass
class Site:
    """The running page. ``get`` and ``post`` are a script's calls, with a bearer token."""

    airflow: LocalAirflow
    store: ExperimentStore
    endpoints: Endpoints
    """Of the sandbox."""
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.airflow.url}/easyrec"

    def token(self, user: str) -> str:
        if user not in self._tokens:
            body = {"username": user, "password": PASSWORDS[user]}
            answer = requests.post(f"{self.airflow.url}/auth/token", json=body, timeout=30)
            answer.raise_for_status()
            self._tokens[user] = answer.json()["access_token"]
        return self._tokens[user]

    def call(self, method: str, path: str, user: str | None = "admin", **options: Any) -> requests.Response:
        headers = dict(options.pop("headers", {}))
        if user is not None:
            headers["Authorization"] = f"Bearer {self.token(user)}"
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def get(self, path: str, user: str | None = "admin", **options: Any) -> requests.Response:
        return self.call("GET", path, user, **options)

    def json(self, path: str, user: str = "admin") -> Any:
        answer = self.get(path, user)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def by_browser(self, path: str, user: str = "admin", **headers: str) -> requests.Response:
        """A POST as a browser sends it: the login cookie goes along by itself."""
        cookies = {"_token": self.token(user)}
        return requests.post(self.url + path, json={}, cookies=cookies, headers=headers, timeout=30)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    sandbox = Sandbox(folder / "sandbox", 0)  # jobs wait in its queue until they are stopped
    with sandbox as endpoints:
        environment = {
            **sandbox_connections.environment(endpoints),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer,nobody:",
            "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.auth.RightsByDag",
        }
        airflow = LocalAirflow(folder / "airflow", environment=environment)
        airflow.migrate()
        (airflow.home / "passwords.json").write_text(json.dumps(PASSWORDS))
        airflow.password = PASSWORDS["admin"]
        try:
            airflow.start("api-server")
            store = ExperimentStore.open(f"sqlite:///{airflow.home / 'easyrec_automl.db'}")
            _fill(store, sandbox, endpoints)
            airflow.wait_for_api()
            yield Site(airflow, store, endpoints)
        finally:
            airflow.stop_all()


def _fill(store: ExperimentStore, sandbox: Sandbox, endpoints: Endpoints) -> None:
    add_search(store, SMALL, failure=f"job failed: {MARKUP}", first_job=submitted(store, endpoints, 1))
    add_search(store, LARGE, trials=1000, evaluations=20, state=ExperimentState.FINISHED)
    add_search(store, HIDDEN_SEARCH, dag_id=HIDDEN_DAG)
    add_finetune_search(store, FINETUNE)
    add_days(store)
    config = (MODEL / "pipeline.config").read_bytes()
    for place in ("c", "finetune/20220602_model/pipeline.config"):  # where the chain's next day comes from
        sandbox.buckets.write(endpoints.bucket, f"movielens/{place}", config)
    model_dir = store.steps(SMALL, 0)[0].model_dir
    key = model_dir.removeprefix(f"oss://{endpoints.bucket}/") + "/eval_val/events.out.tfevents.1.host"
    sandbox.buckets.write(endpoints.bucket, key, EVENTS)


def submitted(store: ExperimentStore, endpoints: Endpoints, key: int) -> str:
    """Id of a job of the sandbox, which waits in its queue."""
    jobs = MaxComputeJobs(maxcompute_credentials(endpoints))
    payload = Plan.load(MODEL).render_trial(StepId(SMALL, 0), {}).payload
    return jobs.submit(payload, submission_key=f"4d1c2f6e-0000-4000-8000-{key:012}", store_uuid=store.uuid)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, headless. Skips where there is none: the page itself is tested over HTTP as well.

    Not for the session: while playwright is open, ``asyncio.run`` fails in every other test of its process.
    """
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip(
            f"no browser: apt-get install chromium-headless-shell (looked for {', '.join(CHROMIUMS)})"
        )
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@dataclass
class Visit:
    """A person's window; what went wrong in it, and what it asked for."""

    page: Page
    site: Site
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def hear(self, kind: str, text: str) -> None:
        """Answers of 4xx and calls that were cut are shown by the page itself; everything else is a mistake."""
        if kind == "error" and "Failed to load resource" not in text:
            self.errors.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(self.site.url + path)
        return self.page


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens windows of people who are logged in; in the end none may have seen a script's error."""
    visits: list[Visit] = []

    def new(user: str | None = "admin", **options: Any) -> Visit:
        context = browser.new_context(
            **{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options}
        )
        context.set_default_timeout(_PATIENCE_MS)
        if user is not None:
            context.add_cookies([{"name": "_token", "value": site.token(user), "url": site.airflow.url}])
        made = Visit(context.new_page(), site)
        made.page.on("pageerror", lambda error: made.errors.append(str(error)))
        made.page.on("console", lambda said: made.hear(said.type, said.text))
        made.page.on("dialog", lambda dialog: made.errors.append(f"dialog: {dialog.message}"))
        made.page.on("request", lambda request: made.requests.append(request.url))
        visits.append(made)
        return made

    yield new
    for each in visits:
        each.page.context.close()
    assert [error for each in visits for error in each.errors] == []
