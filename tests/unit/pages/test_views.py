"""What the page is told, from a store alone."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from include.errors import NotFoundError
from include.pages import changes, days, experiments, runs, trials
from include.search.trial import TrialState
from include.store import Result
from tests.support.searches import add_days, add_running, add_search

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
POOLS = {"movielens_trials": 4}


def test_the_list_shows_only_what_a_person_may_read(store, search):
    add_search(store, "other-aaaa0009", dag_id="begin_search_other")
    seen = experiments.experiment_list(store, lambda dag_id: dag_id == "begin_search_movielens")
    (row,) = seen["experiments"]
    assert (row["id"], row["trials"], row["counts"]["FAILED"]) == (search, 8, 2)
    finished = [t.metric for t in store.trials(search) if t.state.value == "SUCCEEDED"]
    assert row["best"] == max(finished)


def test_every_change_changes_the_version(store, search):
    seen = [changes.version(store, search)]
    store.set_limits(search, max_trials=20, by="ann")
    seen.append(changes.version(store, search))
    step = store.steps(search, 0)[0].id
    store.record_results(step, [Result(900, 0.7, {}, 1.0)])
    seen.append(changes.version(store, search))
    assert len(set(seen)) == 3
    assert changes.version(store, search) == seen[-1]
    with pytest.raises(NotFoundError):
        changes.version(store, "no-such")


def test_all_answers_are_plain_json(store, search):
    add_days(store)
    answers = [
        experiments.overview(store, search, NOW, POOLS.get),
        experiments.trial_table(store, search, NOW),
        trials.trial_page(store, search, 3, NOW),
        days.calendar(store, "movielens", NOW),
        runs.things_of_run(store, "daily_finetune_movielens", "june1"),
    ]
    for answer in answers:
        json.dumps(answer, allow_nan=False)


def test_a_table_reads_the_trials_and_jobs_of_a_search_once(store, search, monkeypatch):
    reads = []
    for name in ("trials", "steps"):
        whole = getattr(store, name)
        monkeypatch.setattr(
            store, name, lambda *given, _name=name, _whole=whole: reads.append(_name) or _whole(*given)
        )
    assert len(experiments.trial_table(store, search, NOW)["rows"]) == 8
    assert sorted(reads) == ["steps", "trials"]


def test_the_pools_slots_count_and_the_configs_are_told_beside_them(store, search):
    limits = experiments.overview(store, search, NOW, {"movielens_trials": 7}.get)["limits"]
    assert (limits["slots"], limits["planned_slots"]) == (7, 4)
    assert experiments.overview(store, search, NOW, {}.get)["limits"]["slots"] is None


def test_a_trial_that_runs_tells_its_time_until_now_and_its_newest_value(store, search):
    add_running(store, search, 8)
    step = store.steps(search, 8)[0].id
    store.record_results(step, [Result(n, 0.5 + n / 1000, {}, 1.0) for n in (100, 200)])
    began = store.trial(search, 8).started_at

    later = began + timedelta(seconds=90)
    ended, running = experiments.trial_table(store, search, later)["rows"][-2:]

    assert (running["metric"], running["latest"], running["seconds"]) == (None, 0.7, 90)
    assert running["began_at"] == began.isoformat()
    assert ended["latest"] is None
    assert trials.trial_page(store, search, 8, later)["seconds"] == 90


def test_what_people_did_is_told_newest_first_and_nothing_that_trials_do_by_themselves(store, search):
    add_running(store, search, 8)
    store.set_limits(search, max_trials=20, by="ann")
    store.move_trial(search, 8, epoch=0, to=TrialState.CANCELLED, reason="stopped by ann", by="ann")
    told = experiments.happenings(store, search)
    assert [(e["kind"], e["by"], e["trial"]) for e in told] == [
        ("cancelled", "ann", 8),
        ("limit_changed", "ann", None),
        ("created", "ann", None),
    ]
    assert told[1]["data"] == {"max_trials": {"from": 10, "to": 20}}


def test_own_parameters_begin_with_those_of_the_best_trial(store, search):
    seen = experiments.overview(store, search, NOW, POOLS.get)
    assert seen["example"] == seen["best"]["parameters"]
    none = add_search(store, "movielens-aaaa0008", trials=0).id
    assert experiments.overview(store, none, NOW, POOLS.get)["example"] == {}
