"""How fast the page of a search with 1,000 trials is, against one with 10, in a browser.

An API server alone with a filled store; chromium, a new profile (nothing cached) for each visit. Both searches are
visited in turns. Run from the project's root, needs ``apt-get install chromium-headless-shell``:
``python -m benchmarks.page_with_1000_trials [--trials 1000] [--rounds 7]``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from include.store import ExperimentState, ExperimentStore
from scripts.local_airflow import USER, LocalAirflow
from tests.support.searches import add_search

SMALL, LARGE = "movielens-aaaa0001", "movielens-aaaa0002"
FEW, EVALUATIONS = 10, 20
PLOTS = ("best", "intermediate", "parallel", "importance", "slice", "contour", "timeline")
PAGES = {"overview": ("", "dl.facts dd"), "trials": ("#trials", "tbody tr"), "plots": ("#plots", ".main-svg")}
"""By page: what follows the experiment's address, and what is there once it is drawn."""
WATCH = """
window.painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))));
window.there = async (selector) => {
  while (!document.querySelector(selector)) await new Promise(requestAnimationFrame);
  return window.painted();
};
window.took = async (act, selector = "body") => {
  const began = performance.now();
  act();
  return (await window.there(selector)) - began;
};
"""
TRANSFERRED = """() => performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
  .filter((each) => !each.name.includes("plotly")).reduce((sum, each) => sum + each.transferSize, 0)"""
FIRST_PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0].startTime"""
SORTS = """async () => {
  const times = [];
  for (let index = 0; ; index += 1) {
    const button = document.querySelectorAll("thead button")[index];
    if (!button) return times;
    times.push(await took(() => button.click(), "tbody tr"));
  }
}"""
FILTERS = """async (texts) => {
  const field = document.querySelector("input[type=search]");
  const type = (text) => { field.value = text; field.dispatchEvent(new Event("input")); };
  const times = [];
  for (const text of texts) times.push(await took(() => type(text)));
  return times;
}"""
WORDS = ("batch_size=128", "below the median", "#99", "early", "")
RANGES = """async (values) => {
  const field = document.querySelector(".ranges input");
  const type = (value) => { field.value = value; field.dispatchEvent(new Event("change")); };
  const times = [];
  for (const value of values) times.push(await took(() => type(value)));
  return times;
}"""
VALUES = (0.62, 0.65, 0.68, "")
CHOOSE = """([name, selector]) => took(() => {
  document.querySelector(".js-plotly-plot")?.remove();
  const chooser = document.querySelector("select");
  chooser.value = name;
  chooser.dispatchEvent(new Event("change"));
}, selector)"""


@dataclass
class Seen:
    """Milliseconds of every round, in order, and the bytes of the last one."""

    times: list[float] = field(default_factory=list)
    paints: list[float] = field(default_factory=list)
    bytes: int = 0


Found = dict[tuple[str, str], Seen]


@contextmanager
def served(trials: int) -> Iterator[LocalAirflow]:
    with tempfile.TemporaryDirectory() as folder:
        airflow = LocalAirflow(Path(folder) / "airflow")
        airflow.migrate()
        try:
            airflow.start("api-server")
            with ExperimentStore.open(f"sqlite:///{airflow.home / 'easyrec_automl.db'}") as store:
                add_search(store, SMALL, trials=FEW, evaluations=EVALUATIONS, state=ExperimentState.FINISHED)
                add_search(
                    store, LARGE, trials=trials, evaluations=EVALUATIONS, state=ExperimentState.FINISHED
                )
                airflow.wait_for_api()
                yield airflow
        finally:
            airflow.stop_all()


def token(airflow: LocalAirflow) -> str:
    body = {"username": USER, "password": airflow.password}
    answer = requests.post(f"{airflow.url}/auth/token", json=body, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


@contextmanager
def window(browser: Browser, airflow: LocalAirflow, cookie: str) -> Iterator[Page]:
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    context.add_cookies([{"name": "_token", "value": cookie, "url": airflow.url}])
    page = context.new_page()
    page.add_init_script(WATCH)
    yield page
    context.close()


def visit(page: Page, airflow: LocalAirflow, search: str, name: str, found: Found) -> None:
    after, selector = PAGES[name]
    page.goto(f"{airflow.url}/easyrec/experiments/{search}{after}", wait_until="commit")
    seen = found.setdefault((name, search), Seen())
    seen.times.append(page.evaluate("(selector) => there(selector)", selector))
    seen.paints.append(page.evaluate(FIRST_PAINT))
    page.wait_for_load_state("networkidle")
    seen.bytes = page.evaluate(TRANSFERRED)


def act(page: Page, search: str, name: str, found: Found) -> None:
    """What a person does on a page that is drawn."""

    def add(what: str, times: list[float]) -> None:
        found.setdefault((what, search), Seen()).times.extend(times)

    if name == "trials":
        add("sort by a heading", page.evaluate(SORTS))
        add("filter by words", page.evaluate(FILTERS, list(WORDS)))
    if name == "plots":
        for plot in PLOTS[1:]:
            before = page.evaluate(TRANSFERRED)
            add(f"plot: {plot}", [page.evaluate(CHOOSE, [plot, ".js-plotly-plot .main-svg"])])
            found[(f"plot: {plot}", search)].bytes = page.evaluate(TRANSFERRED) - before
            if plot == "parallel":
                add("parallel: set a range", page.evaluate(RANGES, list(VALUES)))


def show(found: Found, trials: int) -> None:
    print(f"{'':24}{'median of':>11}{'median of':>13}{'':>7}{'longest':>11}{'first':>11}{'':>9}")
    print(f"{'':24}{f'{FEW} trials':>11}{f'{trials} trials':>13}{'ratio':>7}{'':>11}{'visit':>11}{'kB':>9}")
    for name in dict.fromkeys(name for name, _ in found):
        small, large = found[(name, SMALL)], found[(name, LARGE)]
        few, many = statistics.median(small.times), statistics.median(large.times)
        print(
            f"{name:24}{few:8.0f} ms{many:10.0f} ms{many / few:7.1f}{max(large.times):8.0f} ms"
            f"{large.times[0]:8.0f} ms{large.bytes / 1e3:9.0f}"
        )
    paints = [time for seen in found.values() for time in seen.paints]
    print(
        f"first contentful paint, all pages: median {statistics.median(paints):.0f}, longest {max(paints):.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    launch: dict[str, Any] = {"executable_path": chromium, "args": ["--no-sandbox"]}
    found: Found = {}
    with served(options.trials) as airflow, sync_playwright() as playwright:
        browser, cookie = playwright.chromium.launch(**launch), token(airflow)
        for _ in range(options.rounds):
            for name in PAGES:
                for search in (SMALL, LARGE):
                    with window(browser, airflow, cookie) as page:
                        visit(page, airflow, search, name, found)
                        act(page, search, name, found)
        browser.close()
    show(found, options.trials)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
