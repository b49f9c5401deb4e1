"""A model's days in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest
from playwright.sync_api import expect

from tests.support.searches import add_many_days

pytestmark = [pytest.mark.airflow]


def test_the_calendar_shows_gates_promotions_and_holes(visit):
    page = visit().open("/models/movielens/days")
    days = page.locator(".calendar button")
    expect(days).to_have_count(5)
    said = days.all_inner_texts()
    for text, wanted in zip(
        said, ["promoted", "promoted", "missing", "refused by the gate", "failed"], strict=True
    ):
        assert wanted in text
    expect(page.get_by_role("heading", name="June 2022")).to_be_visible()
    days.nth(2).click()
    expect(page.get_by_text("This day was never trained")).to_be_visible()
    days.nth(1).click()
    expect(page.get_by_role("link", name=re.compile("june2"))).to_be_visible()
    expect(page.get_by_text("promotion 2")).to_be_visible()


def test_a_day_far_below_comes_into_view_and_leads_to_its_jobs_page(site, visit):
    add_many_days(site.store, "other", first=date(2022, 1, 1), count=70)
    page = visit(viewport={"width": 1280, "height": 500}).open("/models/other/days")
    expect(page.locator(".calendar button")).to_have_count(70)
    page.locator(".calendar button").first.click()
    job = page.get_by_role("link", name="curves, LogView")
    expect(job).to_be_in_viewport()
    expect(job).to_have_attribute(
        "href", re.compile(r"/task\?dag_id=daily_finetune_other&run_id=.*&task_id=train$")
    )


def test_whoever_looks_at_the_current_chain_follows_it_to_a_new_one(site, visit):
    add_many_days(site.store, "third", first=date(2022, 1, 1), count=3)
    (old,) = site.store.chains("third")
    page = visit().open("/models/third/days")
    chain = page.get_by_label("Chain", exact=True)
    expect(chain).to_have_value(old.id)
    other = replace(old.origin, checkpoint="oss://sandbox-bucket/other/model.ckpt-2")
    new = site.store.open_chain("third", origin=other, by="ann")
    expect(chain).to_have_value(new.id)
    chain.select_option(old.id)
    expect(page.locator(".calendar button")).to_have_count(3)
