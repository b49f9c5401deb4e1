"""The page in a real browser, as people use it."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from include.store import Result
from tests.support.searches import add_finetune_search, add_running, add_search, add_waiting
from tests.web.conftest import FINETUNE, HIDDEN_SEARCH, PASSWORDS, SMALL

pytestmark = [pytest.mark.airflow]


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

    add_waiting(site.store, search, 8)

    expect(page.get_by_text("9 of 10 trials begun")).to_be_visible()
    page.get_by_role("tab", name="Trials").click()
    expect(page.get_by_role("row").filter(has_text="waiting")).to_have_count(1)
    assert page.evaluate("window.mark") == 1


def test_trials_are_sorted_filtered_and_compared(site, visit):
    page = visit().open(f"/experiments/{SMALL}#trials")
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    page.get_by_role("button", name="Objective").click()
    shown = [
        float(text) for text in page.locator("tbody tr td:nth-child(4)").all_inner_texts() if text != "–"
    ]
    assert shown == sorted(shown, reverse=True)

    page.get_by_role("combobox", name="State").select_option("EARLY_STOPPED")
    expect(rows).to_have_count(2)
    page.get_by_role("combobox", name="State").select_option("")
    page.get_by_label(re.compile("^Filter")).fill("job failed")
    expect(rows).to_have_count(2)
    page.get_by_label(re.compile("^Filter")).fill("")

    page.get_by_label("select 0").check()
    page.get_by_label("select 2").check()
    page.get_by_role("button", name="Compare selected").click()
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    expect(page.locator(".js-plotly-plot .legend .traces")).to_have_count(2)
    expect(page.locator("tr.differs").first).to_be_visible()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Clear selection").click()
    expect(page.get_by_role("heading", name="Comparison")).to_be_hidden()
    expect(page.locator("tbody input:checked")).to_have_count(0)


def test_whoever_reads_a_live_table_stays_at_the_same_rows(site, visit):
    search = add_search(site.store, "movielens-aaaa0013", trials=40).id
    page = visit().open(f"/experiments/{search}#trials")
    expect(page.get_by_text("40 rows")).to_be_visible()
    table = page.get_by_role("region", name="Trials")
    table.evaluate("element => element.scrollTo(60, 200)")
    add_waiting(site.store, search, 40)
    expect(page.get_by_text("41 rows")).to_be_visible()
    assert table.evaluate("element => [element.scrollLeft, element.scrollTop]") == [60, 200]


def test_a_tab_that_could_not_be_read_is_tried_again(visit):
    page = visit().open(f"/experiments/{SMALL}")
    expect(page.get_by_text("trials begun")).to_be_visible()
    page.route("**/trials", lambda route: route.abort())
    page.get_by_role("tab", name="Trials").click()
    expect(page.get_by_text("does not answer")).to_be_visible()
    page.unroute("**/trials")
    expect(page.get_by_text("8 rows")).to_be_visible()
    expect(page.get_by_text("does not answer")).to_have_count(0)


def test_trials_without_a_result_are_compared_without_a_plot(visit):
    page = visit().open(f"/experiments/{SMALL}#trials")
    for failed in ("3", "7"):
        page.get_by_label(f"select {failed}").check()
    page.get_by_role("button", name="Compare selected").click()
    expect(page.get_by_text("Nothing to draw yet.")).to_be_visible()


def test_a_comparison_follows_the_search_and_a_failed_curve_is_told(site, visit):
    search = add_search(site.store, "movielens-aaaa0007").id
    page = visit().open(f"/experiments/{search}#trials")
    page.route("**/plots/intermediate?*", lambda route: route.abort())
    for number in ("0", "2"):
        page.get_by_label(f"select {number}").check()
    page.get_by_role("button", name="Compare selected").click()
    expect(page.get_by_text("does not answer")).to_be_visible()
    page.unroute("**/plots/intermediate?*")
    site.store.set_limits(search, max_trials=20, by="ann")
    expect(page.locator(".js-plotly-plot .legend .traces")).to_have_count(2)
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()


def test_a_trial_that_runs_shows_its_newest_value_and_a_clock_that_goes_on(site, visit):
    search = add_search(site.store, "movielens-aaaa0008").id
    step = add_running(site.store, search, 8)
    site.store.record_results(step, [Result(100, 0.7123, {}, 1.0)])
    page = visit().open(f"/experiments/{search}#trials")
    row = page.get_by_role("row").filter(has_text="running")
    expect(row.get_by_title("the newest value")).to_have_text("0.71230 …")
    page.goto(f"{site.url}/experiments/{search}/trials/8")
    expect(page.get_by_title("the newest value")).to_have_text("0.71230 …")
    took = page.locator("dt", has_text="Duration").locator("+ dd")
    before = took.inner_text()
    expect(took).not_to_have_text(before)


def test_parameters_that_come_later_are_offered_and_only_the_first_ones_shown(site, visit):
    search = add_search(site.store, "movielens-aaaa0009", trials=0).id
    add_waiting(site.store, search, 0, {}, source="baseline")
    page = visit().open(f"/experiments/{search}#trials")
    expect(page.get_by_text("1 rows")).to_be_visible()
    add_waiting(site.store, search, 1, {f"a.key{n}": n for n in range(9)})
    expect(page.get_by_text("2 rows")).to_be_visible()
    expect(page.get_by_role("columnheader", name=re.compile("^key"))).to_have_count(6)
    page.get_by_text("Columns").click()
    page.get_by_label("key8").check()
    expect(page.get_by_role("columnheader", name="key8")).to_be_visible()


def test_trials_are_found_by_comparisons_and_the_choice_of_columns_outlives_a_reload(site, visit):
    sizes = [t.parameters["data_config.batch_size"] for t in site.store.trials(SMALL)]
    page = visit().open(f"/experiments/{SMALL}#trials")
    rows = page.locator("tbody tr")
    for typed, wanted in (
        ("batch_size >= 128", sum(size >= 128 for size in sizes)),
        ("batch_size=128", sizes.count(128)),
        ("no_such=1", 0),
    ):
        page.get_by_label(re.compile("^Filter")).fill(typed)
        expect(rows).to_have_count(wanted)
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("Training time").uncheck()
    page.reload()
    expect(page.get_by_role("columnheader", name="Objective")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Training time")).to_have_count(0)


def test_the_best_trials_are_one_click_away_and_their_parameters_can_be_copied(site, visit):
    best = max((t for t in site.store.trials(SMALL) if t.state.value == "SUCCEEDED"), key=lambda t: t.metric)
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open(f"/experiments/{SMALL}")
    page.get_by_role("button", name=f"Copy as JSON: Parameters #{best.number}").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == dict(best.parameters)

    page.get_by_role("button", name="All trials, the best first").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Objective")
    expect(page.locator("tbody tr").first).to_contain_text(f"{best.metric:.5f}")


def test_event_files_are_saved_and_that_there_are_none_is_said(visit):
    page = visit().open(f"/experiments/{SMALL}/trials/0")
    with page.expect_download() as download:
        page.get_by_role("button", name="Event files (zip)").click()
    assert download.value.suggested_filename == f"{SMALL}_0_events.zip"

    page.goto(page.url.replace("/trials/0", "/trials/1"))
    page.get_by_role("button", name="Event files (zip)").click()
    expect(page.get_by_text("there are no event files")).to_be_visible()


def test_what_people_did_is_told_and_leads_to_the_logs(site, visit):
    search = add_search(site.store, "movielens-aaaa0010").id
    page = visit().open(f"/experiments/{search}")
    page.get_by_text("What happened", exact=True).click()
    story = page.get_by_role("region", name="What happened")
    expect(story.get_by_text("search begun")).to_be_visible()
    site.store.set_limits(search, max_trials=20, by="berta")
    line = story.get_by_role("row").filter(has_text="limits changed")
    expect(line).to_contain_text("berta")
    expect(line).to_contain_text("maximum trials: 10 → 20")
    log = page.get_by_role("link", name="log of open_experiment")
    expect(log).to_have_attribute("href", re.compile("/tasks/open_experiment$"))


def test_what_is_unfolded_and_scrolled_stays_so_while_the_search_goes_on(site, visit):
    chain = add_finetune_search(site.store, "movielens-bbbb0003", trials=1).id
    page = visit(viewport={"width": 1280, "height": 300}).open(f"/experiments/{chain}/trials/0")
    page.get_by_text("Jobs", exact=True).click()
    page.locator("summary", has_text="Payload").nth(1).click()
    page.locator("pre.diff").evaluate("element => element.scrollTo(0, 30)")

    step = site.store.steps(chain, 0)[0].id
    site.store.record_results(step, [Result(600, 0.7, {"auc_is_like": 0.7, "auc_is_love": 0.7}, 1.0)])

    first_day = page.locator(".js-plotly-plot .scatterlayer .trace").first.locator(".points path")
    expect(first_day).to_have_count(6)
    opened = "[...document.querySelectorAll('td details')].map((e) => e.open)"
    assert page.evaluate(opened) == [False, True, False]
    assert page.locator("pre.diff").evaluate("element => element.scrollTop") == 30


def test_a_trials_parameters_are_there_without_the_plot_library(visit):
    page = visit().page
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.goto(visit().site.url + f"/experiments/{SMALL}/trials/0")
    expect(page.get_by_text("does not answer")).to_be_visible()
    expect(
        page.get_by_role("region", name="Parameters").get_by_text("batch_size", exact=True)
    ).to_be_visible()


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
    expect(page.get_by_role("heading", name=SMALL, exact=True)).to_be_visible()


def test_a_dag_run_and_a_task_lead_to_what_they_make_as_soon_as_it_is_there(site, visit):
    search = "movielens-aaaa0012"
    run = visit().open(f"/dags/begin_search_movielens/runs/run-{search}")
    expect(run.get_by_text("This DAG run has made nothing yet.")).to_be_visible()
    task = visit().open(f"/task?dag_id=begin_search_movielens&run_id=run-{search}&task_id=trial&map_index=8")
    expect(task.get_by_text("This task has no trial yet.")).to_be_visible()

    add_search(site.store, search)
    expect(run.get_by_role("heading", name=search, exact=True)).to_be_visible()
    add_waiting(site.store, search, 8)
    expect(task.get_by_role("heading", name=f"{search} #8")).to_be_visible()


@pytest.mark.parametrize(
    ("dag", "shown"),
    [
        ("begin_search_movielens", SMALL),
        ("adoption_movielens", "Metric by day"),
        ("daily_finetune_fresh", "Run the DAG daily_finetune_fresh"),
        ("begin_search_other", "Trigger this DAG"),
        ("easyrec_reconcile", FINETUNE),
    ],
)
def test_each_dag_shows_what_belongs_to_it(visit, dag, shown):
    page = visit().open(f"/dags/{dag}")
    expect(page.get_by_text(shown).first).to_be_visible()
