"""The page by keyboard, in a narrow window, in Chinese and in the dark, with a thousand trials, and safe."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.support.searches import add_search
from tests.web.conftest import LARGE, MARKUP, SMALL

pytestmark = [pytest.mark.airflow]


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
    page.get_by_role("tab", name="试验").click()
    reason = page.get_by_text("作业失败：").first
    expect(reason).to_have_attribute("title", re.compile("^job failed: "))
    page.get_by_role("tab", name="图表").click()
    page.get_by_role("combobox", name="图表").select_option("intermediate")
    expect(page.locator(".js-plotly-plot .legend .traces")).to_have_text(["成功", "提前停止"])
    expect(page.locator(".js-plotly-plot .xtitle")).to_have_text("全局步数")
    expect(page.locator(".modebar-btn").first).to_have_attribute("data-title", "下载图片（PNG）")


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
