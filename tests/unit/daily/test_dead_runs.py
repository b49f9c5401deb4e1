"""Runs that are over keep neither the lease of a chain nor a day without a result."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.daily.dead_runs import end_dead_runs
from include.experiments.reconcile import GRACE, Report
from include.experiments.unowned import Done
from include.notices import Kind, tell_nobody
from tests.support.daily import june, run_of


@pytest.fixture
def begun(days):
    """The first of June holds the lease and trains."""
    claim = days.store.try_lease("movielens", run=run_of(1), bizdate=june(1), live_for=timedelta(minutes=1))
    assert claim.held
    days.begin(1)
    return days


def sweep(days, *, over, wait=GRACE, tell=tell_nobody):
    days.services.now.sleep(wait.total_seconds())
    report = Report()
    end_dead_runs(
        days.store,
        report,
        is_over=lambda _: over,
        lease_is_dead=lambda _: over,
        now=days.services.now(),
        tell=tell,
    )
    return report


def test_a_run_that_is_over_loses_the_lease_and_its_day_has_failed(begun):
    """A training that was cleared alone and failed again: ``finish`` was green and didn't run."""
    sweep(begun, over=True)

    assert begun.store.leases() == []
    assert begun.states() == {1: "FAILED"}
    assert sweep(begun, over=True).findings == []


@pytest.mark.parametrize(("over", "wait"), [(False, GRACE), (True, timedelta(0))])
def test_a_run_that_goes_on_or_has_just_begun_keeps_both(begun, over, wait):
    assert sweep(begun, over=over, wait=wait).findings == []
    assert len(begun.store.leases()) == 1
    assert begun.states() == {1: "OPEN"}


def test_a_day_that_has_a_model_waits_for_a_person(days):
    days.train(1)
    told = []

    report = sweep(days, over=True, tell=told.append)

    assert days.states() == {1: "TRAINED"}
    (finding,) = report.findings
    assert finding.done is Done.LEFT
    assert "promote" in finding.why
    assert [(notice.kind, notice.title) for notice in told] == [(Kind.DAY_LEFT, "2022-06-01")]
    assert "ended before it was promoted" in days.store.days("movielens")[0].reason
    assert sweep(days, over=True, tell=told.append).findings == []
    assert len(told) == 1


def test_a_person_may_promote_a_day_that_was_left(days):
    day = days.train(1)
    sweep(days, over=True)

    days.engine.promote(day, by="ann")

    assert days.states() == {1: "PROMOTED"}
    assert days.store.days("movielens")[0].reason == ""


@pytest.mark.parametrize(("over", "wait"), [(False, GRACE), (True, timedelta(0))])
def test_nothing_is_said_of_a_trained_day_whose_run_goes_on_or_that_was_trained_just_now(days, over, wait):
    days.train(1)

    assert sweep(days, over=over, wait=wait).findings == []
