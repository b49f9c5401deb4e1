"""The page in a real browser, as people use it."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from playwright.sync_api import expect

from include.store import Result, TaskKey
from tests.support.searches import add_search
from tests.web.conftest import FINETUNE, HIDDEN_SEARCH, LARGE, MARKUP, PASSWORDS, SMALL

pytestmark = [pytest.mark.airflow]

PLOTS = ["best", "intermediate", "parallel", "importance", "slice", "contour", "timeline"]
PAGES = ["/", f"/experiments/{SMALL}", f"/experiments/{SMALL}/trials/0", "/models/movielens/days"]


def test_people_find_the_page_in_airflows_menu(site, visit):
    page = visit(None).page
    page.goto(site.airflow.url)
    page.fill("input[name=username]", "viewer")
    page.fill("input[name=password]", PASSWORDS["viewer"])
    page.click("button[type=submit]")
    page.get_by_role("link", name="EasyRec").or_(page.get_by_role("button", name="EasyRec")).first.click()

    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name=SMALL, exact=True).click()

    expect(frame.get_by_text("8 of 10 trials begun")).to_be_visible()
    expect(frame.get_by_text(HIDDEN_SEARCH)).to_have_count(0)


def test_a_new_trial_and_its_results_appear_without_reloading(site, visit):
    search = add_search(site.store, "movielens-aaaa0004").id
    page = visit().open(f"/experiments/{search}")
    expect(page.get_by_text("8 of 10 trials begun")).to_be_visible()
    page.evaluate("window.mark = 1")

    task = TaskKey("begin_search_movielens", f"run-{search}", "trial", 8)
    site.store.record_ask(search, expected_asks=8, task=task, task_max_tries=3, parameters={"a": 1}, seen=8)

    expect(page.get_by_text("9 of 10 trials begun")).to_be_visible()
    page.get_by_role("tab", name="Trials").click()
    expect(page.get_by_role("row").filter(has_text="waiting")).to_have_count(1)
    assert page.evaluate("window.mark") == 1


def test_a_trials_curve_grows_while_one_looks(site, visit):
    search = add_search(site.store, "movielens-aaaa0005").id
    page = visit().open(f"/experiments/{search}/trials/2")
    points = page.locator(".js-plotly-plot .scatterlayer .trace").first.locator(".points path")
    expect(points).to_have_count(5)

    step = site.store.steps(search, 2)[0].id
    site.store.record_results(step, [Result(600, 0.71, {"auc_is_like": 0.71, "auc_is_love": 0.71}, 1.0)])

    expect(points).to_have_count(6)


def test_trials_are_sorted_filtered_and_compared(site, visit):
    page = visit().open(f"/experiments/{SMALL}#trials")
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    page.get_by_role("button", name="Objective").click()
    shown = [
        float(text) for text in page.locator("tbody tr td:nth-child(5)").all_inner_texts() if text != "–"
    ]
    assert shown == sorted(shown, reverse=True)

    page.get_by_label("State").select_option("EARLY_STOPPED")
    expect(rows).to_have_count(2)
    page.get_by_label("State").select_option("")
    page.get_by_label(re.compile("Filter by number")).fill("job failed")
    expect(rows).to_have_count(2)
    page.get_by_label(re.compile("Filter by number")).fill("")

    page.get_by_label("select 0").check()
    page.get_by_label("select 2").check()
    page.get_by_role("button", name="Compare selected").click()
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    expect(page.locator(".js-plotly-plot .legend .traces")).to_have_count(2)
    expect(page.locator("tr.differs").first).to_be_visible()


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

    middle = sorted(p[key] for p in wanted)[1] * 1.0001
    page.get_by_label("embedding_regularization: to").fill(f"{middle:.9g}")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 of 6 trials")).to_be_visible()


def test_every_plot_is_drawn_without_asking_any_other_site(site, visit):
    there = visit()
    page = there.open(f"/experiments/{SMALL}#plots")
    for name in PLOTS:
        page.get_by_label("Plot", exact=True).select_option(name)
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        expect(page.locator(".notice")).to_have_count(0)
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


def test_what_a_job_says_is_shown_as_text(visit):
    page = visit().open(f"/experiments/{SMALL}/trials/3")
    expect(page.get_by_text(MARKUP).first).to_be_visible()
    assert page.locator("img").count() == 0


def test_a_thousand_trials_are_there_at_once(visit):
    there = visit()
    sizes: dict[str, int] = {}
    there.page.on("response", lambda r: sizes.update({r.url: int(r.headers.get("content-length", 0))}))
    there.open("/")
    began = time.monotonic()
    page = there.open(f"/experiments/{LARGE}#trials")
    expect(page.get_by_text("1000 rows")).to_be_visible()
    assert time.monotonic() - began < 5  # 0.8 s on an idle machine
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("2 / 20")).to_be_visible()
    assert {url for url, size in sizes.items() if size > 2_000_000 and "plotly" not in url} == set()


def test_the_browsers_language_and_airflows_dark_mode_are_followed(visit):
    page = visit(locale="zh-CN").page
    page.add_init_script("localStorage.setItem('theme', 'dark')")
    page.goto(visit().site.url + f"/experiments/{SMALL}")
    expect(page.get_by_role("tab", name="概览")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 17, 17)"
    expect(page.get_by_text("58 分 0 秒")).to_be_visible()
    page.get_by_role("tab", name="图表").click()
    page.get_by_role("combobox", name="图表").select_option("intermediate")
    expect(page.locator(".js-plotly-plot .legend .traces")).to_have_text(["成功", "提前停止"])
    expect(page.locator(".js-plotly-plot .xtitle")).to_have_text("全局步数")


def test_a_person_with_a_keyboard_stays_where_they_are_while_the_search_goes_on(site, visit):
    search = add_search(site.store, "movielens-aaaa0006").id
    page = visit().open(f"/experiments/{search}")
    for name, role in (("Pause", "button"), ("#", "link")):
        place = page.get_by_role(role, name=name).first
        place.focus()
        site.store.set_limits(search, max_trials=20 if role == "button" else 30, by="ann")
        expect(page.get_by_text("8 of 20" if role == "button" else "8 of 30")).to_be_visible()
        expect(place).to_be_focused()


def test_the_keyboard_alone_is_enough(visit):
    page = visit().open(f"/experiments/{SMALL}")
    page.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Trials")).to_be_focused()
    expect(page.locator("tbody tr").first).to_be_visible()
    button = page.get_by_role("button", name="Objective")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=descending]")).to_have_count(1)
    expect(page.get_by_role("button", name="Objective")).to_be_focused()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/experiments/{SMALL}",
        f"/experiments/{SMALL}#trials",
        f"/experiments/{SMALL}#plots",
        f"/experiments/{SMALL}/trials/0",
        "/models/movielens/days",
    ],
)
def test_a_narrow_window_needs_no_sideways_scrolling(visit, path):
    page = visit(viewport={"width": 360, "height": 740}).open(path)
    expect(page.locator("h1")).to_be_visible()
    expect(page.get_by_text("Loading…")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_narrow_calendar_cuts_no_word_off(visit):
    page = visit(viewport={"width": 400, "height": 800}).open("/models/movielens/days")
    expect(page.locator(".calendar button")).to_have_count(5)
    cut = """() => [...document.querySelectorAll(".calendar .badge")].filter(
        (b) => b.getBoundingClientRect().right > b.closest("button").getBoundingClientRect().right).length"""
    assert page.evaluate(cut) == 0


def test_the_axes_of_parallel_coordinates_keep_their_distance_in_a_narrow_window(visit):
    page = visit(viewport={"width": 400, "height": 800}).open(f"/experiments/{SMALL}#plots")
    page.get_by_label("Plot", exact=True).select_option("parallel")
    ticks = page.locator(".js-plotly-plot .xtick")
    expect(ticks).to_have_count(10)
    lefts = [tick.bounding_box()["x"] for tick in ticks.all()]
    assert min(b - a for a, b in itertools.pairwise(lefts)) > 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_trouble_says_what_to_do_and_goes_away_by_itself(site, visit):
    page = visit().open(f"/experiments/{SMALL}")
    expect(page.get_by_text("trials begun")).to_be_visible()
    page.route("**/version", lambda route: route.abort())
    expect(page.get_by_text("does not answer")).to_be_visible()
    page.unroute("**/version")
    expect(page.get_by_text("does not answer")).to_have_count(0)

    page.goto(f"{site.url}/experiments/no-such")
    expect(page.get_by_text("Look for it in the list of experiments.")).to_be_visible()


def test_a_logview_link_is_made_when_asked_for(visit):
    page = visit("viewer").open(f"/experiments/{SMALL}/trials/0")
    page.get_by_role("button", name="Make a LogView link").click()
    expect(page.get_by_role("link", name=re.compile("^job"))).to_have_attribute("href", re.compile("token="))


def test_a_dag_run_leads_to_its_experiment(visit):
    page = visit().open(f"/dags/begin_search_movielens/runs/run-{SMALL}")
    expect(page.get_by_role("heading", name=SMALL)).to_be_visible()


def test_the_calendar_shows_gates_promotions_and_holes(visit):
    page = visit().open("/models/movielens/days")
    days = page.locator(".calendar button")
    expect(days).to_have_count(5)
    said = days.all_inner_texts()
    for text, wanted in zip(
        said, ["promoted", "promoted", "missing", "refused by the gate", "failed"], strict=True
    ):
        assert wanted in text
    days.nth(2).click()
    expect(page.get_by_text("This day was never trained")).to_be_visible()
    days.nth(1).click()
    expect(page.get_by_role("link", name=re.compile("june2"))).to_be_visible()
    expect(page.get_by_text("promotion 2")).to_be_visible()
