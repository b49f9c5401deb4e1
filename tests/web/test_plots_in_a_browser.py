"""Plots in a real browser: drawn, filtered by ranges, live."""

from __future__ import annotations

import itertools
import re

import pytest
from playwright.sync_api import expect

from include.store import Result
from tests.support.searches import add_search
from tests.web.conftest import FINETUNE, SMALL

pytestmark = [pytest.mark.airflow]

PLOTS = ["best", "intermediate", "parallel", "importance", "slice", "contour", "timeline"]


def test_a_trials_curve_grows_while_one_looks(site, visit):
    search = add_search(site.store, "movielens-aaaa0005").id
    page = visit().open(f"/experiments/{search}/trials/2")
    points = page.locator(".js-plotly-plot .scatterlayer .trace").first.locator(".points path")
    expect(points).to_have_count(5)

    step = site.store.steps(search, 2)[0].id
    site.store.record_results(step, [Result(600, 0.71, {"auc_is_like": 0.71, "auc_is_love": 0.71}, 1.0)])

    expect(points).to_have_count(6)


def drag_on_axis(page, axis: int, begin: float, end: float) -> None:
    """Along an axis of the parallel coordinates; 0 is its lower end, 1 the upper one."""
    label = page.locator(".js-plotly-plot .xtick").nth(axis).bounding_box()
    area = page.locator(".js-plotly-plot .nsewdrag").bounding_box()
    x = label["x"] + label["width"] / 2
    ys = [area["y"] + area["height"] * (1.08 - place) / 1.16 for place in (begin, end)]
    page.mouse.move(x, ys[0])
    page.mouse.down()
    page.mouse.move(x, ys[1], steps=3)
    page.mouse.up()


def test_trials_outside_of_a_range_fade_and_the_rest_are_handed_to_the_table(site, visit):
    metrics = sorted(t.metric for t in site.store.trials(SMALL) if t.metric is not None)
    heights = [(value - metrics[0]) / (metrics[-1] - metrics[0]) for value in metrics]
    page = visit().open(f"/experiments/{SMALL}#plots")
    page.get_by_label("Plot", exact=True).select_option("parallel")
    expect(page.get_by_text("6 trials", exact=True)).to_be_visible()
    faded = page.locator('.js-plotly-plot .scatterlayer path[style*="rgb(128, 128, 128)"]')
    expect(faded).to_have_count(0)

    drag_on_axis(page, 0, 1.04, (heights[-2] + heights[-3]) / 2)
    expect(page.get_by_text("2 of 6 trials inside of all ranges")).to_be_visible()
    expect(faded).to_have_count(4)
    drag_on_axis(page, 0, 0.5, 0.5)  # a click
    expect(page.get_by_text("6 trials", exact=True)).to_be_visible()
    expect(faded).to_have_count(0)

    page.get_by_text("Ranges as numbers").click()
    page.get_by_label("objective: from").fill(str((metrics[2] + metrics[3]) / 2))
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 of 6 trials inside of all ranges")).to_be_visible()
    page.get_by_label("objective: to").fill(str((metrics[-1] + metrics[-2]) / 2))
    page.keyboard.press("Tab")
    expect(page.get_by_text("2 of 6 trials inside of all ranges")).to_be_visible()

    page.get_by_role("button", name="Select these trials").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody input:checked")).to_have_count(2)
    page.get_by_role("button", name="Compare selected").click()
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()

    page.get_by_role("tab", name="Plots").click()
    page.get_by_role("button", name="Reset ranges").click()
    expect(page.get_by_text("6 trials", exact=True)).to_be_visible()
    expect(page.get_by_label("objective: from")).to_have_value("")


def test_a_range_over_choices_and_a_range_over_a_logarithm(site, visit):
    key = "model_config.embedding_regularization"
    found = [t.parameters for t in site.store.trials(SMALL) if t.metric is not None]
    page = visit().open(f"/experiments/{SMALL}#plots")
    page.get_by_label("Plot", exact=True).select_option("parallel")
    page.get_by_text("Ranges as numbers").click()
    page.get_by_label("batch_size: from").select_option("128")
    page.get_by_label("batch_size: to").select_option("512")
    wanted = [p for p in found if p["data_config.batch_size"] >= 128]
    expect(page.get_by_text(f"{len(wanted)} of 6 trials")).to_be_visible()
    page.reload()  # the plot and its ranges stay
    expect(page.get_by_text(f"{len(wanted)} of 6 trials")).to_be_visible()
    page.get_by_text("Ranges as numbers").click()

    middle = sorted(p[key] for p in wanted)[1] * 1.0001
    page.get_by_label("embedding_regularization: to").fill(f"{middle:.9g}")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 of 6 trials")).to_be_visible()


def test_a_finger_draws_a_range_on_an_axis_and_scrolls_between_two(visit):
    page = visit(has_touch=True).open(f"/experiments/{SMALL}#plots")
    page.get_by_label("Plot", exact=True).select_option("parallel")
    expect(page.get_by_text("6 trials", exact=True)).to_be_visible()
    touch = page.context.new_cdp_session(page)
    area = page.locator(".js-plotly-plot .nsewdrag").bounding_box()
    apart = area["width"] / (page.locator(".js-plotly-plot .xtick").count() - 0.5)
    first, second = (area["x"] + apart * (place + 0.25) for place in (0, 1))
    for x, said in (((first + second) / 2, "6 trials"), (second, re.compile(r"\d of 6 trials inside"))):
        for kind, share in (
            ("touchStart", 0.2),
            ("touchMove", 0.35),
            ("touchMove", 0.45),
            ("touchEnd", None),
        ):
            points = [] if share is None else [{"x": x, "y": area["y"] + area["height"] * share}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        expect(page.get_by_text(said, exact=isinstance(said, str))).to_be_visible()


def test_every_plot_is_drawn_without_asking_any_other_site(site, visit):
    there = visit()
    page = there.open(f"/experiments/{SMALL}#plots")
    for name in PLOTS:
        page.get_by_label("Plot", exact=True).select_option(name)
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        expect(page.locator(".notice")).to_have_count(0)
    expect(page.locator(".modebar-btn").first).to_be_attached()
    expect(page.locator("[data-title^='Share']")).to_have_count(0)  # with plotly's servers
    assert {
        url for url in there.requests if not url.startswith((site.airflow.url, "data:", "blob:"))
    } == set()


def test_the_days_of_a_chain_are_told_apart(visit):
    page = visit().open(f"/experiments/{FINETUNE}/trials/0")
    legend = page.locator(".js-plotly-plot .legend .traces")
    expect(legend).to_have_text(["1998-01-15", "1998-01-16", "1998-01-17"])
    expect(page.locator(".js-plotly-plot .ytitle")).to_have_text("objective")
    page.get_by_label("Metric", exact=True).select_option("auc_is_love")
    expect(page.locator(".js-plotly-plot .ytitle")).to_have_text("auc_is_love")

    page.goto(f"{page.url.partition('/trials')[0]}#plots")
    page.get_by_label("Plot", exact=True).select_option("intermediate")
    expect(page.locator(".js-plotly-plot .xtick")).to_have_text(["1998-01-15", "1998-01-16", "1998-01-17"])
    expect(page.get_by_text("What each day of a chain came to")).to_be_visible()


def test_the_axes_of_parallel_coordinates_keep_their_distance_in_a_narrow_window(visit):
    page = visit(viewport={"width": 400, "height": 800}).open(f"/experiments/{SMALL}#plots")
    page.get_by_label("Plot", exact=True).select_option("parallel")
    ticks = page.locator(".js-plotly-plot .xtick")
    expect(ticks).to_have_count(10)
    lefts = [tick.bounding_box()["x"] for tick in ticks.all()]
    assert min(b - a for a, b in itertools.pairwise(lefts)) > 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
