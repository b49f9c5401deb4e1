"""What the page changes, over HTTP and by its buttons: it needs run access, and says who did it."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from include.adapters.maxcompute import MaxComputeJobs
from include.experiments.chain_plan import plan_of
from include.experiments.services import Services
from include.experiments.trial_watcher import TrialWatcher
from include.ports import JobState
from include.search.trial import TrialState
from include.store import ExperimentState
from tests.support.fakes import MemoryObjects, MemoryTables
from tests.support.sandboxed import maxcompute_credentials
from tests.support.searches import add_running, add_search, add_waiting
from tests.web.conftest import FINETUNE, SMALL, submitted

pytestmark = [pytest.mark.airflow]

CHANGES = [
    ("concurrency", {"slots": 3}),
    ("limits", {"trials": 9}),
    ("pause", {}),
    ("resume", {}),
    ("stop", {}),
    ("extend", {"trials": 1}),
    ("add", {"parameters": [{}]}),
    ("retry", {"numbers": [3]}),
    ("stop-trials", {"numbers": [0]}),
    ("trials/0/clone", {"changes": {}}),
    ("trials/0/adopt", {"reason": "better"}),
]


@pytest.fixture
def search(site, request):
    """A running search of its own, with a trial that waits for its job."""
    name = f"movielens-{abs(hash(request.node.name)) % 2**24 + 2**28:08x}"
    add_search(site.store, name, trials=4)
    add_waiting(site.store, name, 4)
    return name


def last_event(site, search, kind):
    return [e for e in site.store.events(search) if e.kind == kind][-1]


@pytest.mark.parametrize(("path", "body"), CHANGES)
def test_whoever_may_only_read_can_change_nothing(site, path, body):
    before = site.store.change_marks(SMALL)
    answers = [
        site.call("POST", f"/api/experiments/{SMALL}/{path}", user, json=body) for user in ("viewer", None)
    ]
    forged = site.by_browser(f"/api/experiments/{SMALL}/{path}")
    assert [a.status_code for a in (*answers, forged)] == [403, 401, 403]
    assert site.store.change_marks(SMALL) == before


def test_limits_and_concurrency_follow_and_the_person_is_recorded(site, search):
    there = f"/api/experiments/{search}"
    said = site.call("POST", f"{there}/concurrency", json={"slots": 3}).json()
    site.call("POST", f"{there}/limits", json={"trials": 5}).raise_for_status()

    seen = site.json(there)
    assert "3 slots" in said["said"]
    assert (seen["limits"]["slots"], seen["limits"]["max_trials"]) == (3, 5)
    assert last_event(site, search, "limit_changed").by == "admin"


def test_a_wrong_wish_is_refused_in_words(site, search):
    answer = site.call("POST", f"/api/experiments/{search}/limits", json={"trials": 0})
    assert answer.status_code == 422
    assert "at least 1" in answer.json()["detail"]
    assert site.call("POST", f"/api/experiments/{search}/limits", json={"trail": 9}).status_code == 422


def test_only_a_finetune_search_is_adopted(site, search):
    answer = site.call("POST", f"/api/experiments/{search}/trials/0/adopt", json={"reason": "better"})
    assert answer.status_code == 422
    assert "is no finetune search" in answer.json()["detail"]
    assert site.json(f"/api/experiments/{search}/trials/0")["may_adopt"] is False


def test_a_finetune_searchs_parameters_are_adopted_with_the_persons_reason(site):
    there = f"/api/experiments/{FINETUNE}/trials"
    assert [site.json(f"{there}/{n}")["may_adopt"] for n in range(3)] == [True, False, True]
    stopped = site.call("POST", f"{there}/1/adopt", json={"reason": "better"})
    assert (stopped.status_code, site.store.adoption("movielens")) == (422, None)

    answer = site.call("POST", f"{there}/0/adopt", json={"reason": "better by 0.01"})

    assert answer.status_code == 200, answer.text
    assert answer.json()["said"].startswith(f"adoption 1 (trial 0 of {FINETUNE}, by admin) counts")
    adopted = site.store.adoption("movielens")
    assert (adopted.by, adopted.reason) == ("admin", "better by 0.01")
    assert adopted.edits == site.store.trial(FINETUNE, 0).parameters
    assert site.json("/api/models/movielens/days")["adopted"]["trial"] == 0


def test_the_adopt_button_asks_for_a_reason_and_sends_it(site, visit):
    page = visit().open(f"/experiments/{FINETUNE}/trials/2")
    before = site.store.adoption("movielens")
    button = page.get_by_role("button", name="Train coming days with these")
    button.click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    button.click()
    page.get_by_role("button", name="Yes").click()  # without a reason nothing is sent
    expect(page.get_by_role("dialog")).to_be_visible()
    assert site.store.adoption("movielens") == before

    page.get_by_label("Why").fill("good on Sundays")
    page.keyboard.press("Enter")

    expect(page.get_by_text(f"(trial 2 of {FINETUNE}, by admin) counts")).to_be_visible()
    assert site.store.adoption("movielens").reason == "good on Sundays"
    page.goto(f"{site.url}/models/movielens/days")
    expect(page.get_by_text("good on Sundays")).to_be_visible()


def test_a_run_that_airflow_cannot_start_is_refused_in_words(site, search):
    answer = site.call("POST", f"/api/experiments/{search}/extend", json={"trials": 2})
    assert answer.status_code == 404
    assert "Airflow has no DAG begin_search_movielens" in answer.json()["detail"]


def test_a_search_is_paused_resumed_and_stopped_by_buttons(site, visit, search):
    page = visit().open(f"/experiments/{search}")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("running", exact=True)).to_be_visible()

    page.get_by_role("button", name="Stop the search").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    assert site.store.experiment(search).state is ExperimentState.RUNNING
    page.get_by_role("button", name="Stop the search").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("cancelled", exact=True).first).to_be_visible()
    assert site.store.trial(search, 4).state is TrialState.CANCELLED
    assert last_event(site, search, "state_changed").by == "admin"


def test_a_number_is_set_by_the_enter_key(site, visit, search):
    page = visit().open(f"/experiments/{search}")
    page.get_by_label("Maximum trials", exact=True).fill("5")
    page.keyboard.press("Enter")
    expect(page.get_by_text("the limits are changed")).to_be_visible()
    expect(page.get_by_text("5 of 5 trials begun")).to_be_visible()


def test_the_concurrency_is_changed_here_and_followed_when_airflow_changes_it(site, visit, search):
    page = visit().open(f"/experiments/{search}")
    page.get_by_label("Concurrency", exact=True).fill("3")
    page.get_by_role("button", name="Set: Concurrency").click()
    expect(page.get_by_text("movielens_trials has 3 slots")).to_be_visible()
    expect(page.get_by_text("3 movielens_trials")).to_be_visible()
    expect(page.get_by_text("config.yml says 4")).to_be_visible()
    assert last_event(site, search, "concurrency_changed").by == "admin"

    pool = "/pools/movielens_trials"
    body = {"pool": "movielens_trials", "slots": 4, "include_deferred": True}
    assert site.airflow.api("GET", pool)["slots"] == 3
    site.airflow.api("PATCH", f"{pool}?update_mask=slots", body)
    expect(page.get_by_text("4 movielens_trials")).to_be_visible()
    expect(page.get_by_text("config.yml says")).to_have_count(0)


def test_what_trains_on_after_its_search_has_failed_is_stopped_by_the_button(site, visit, search):
    site.store.set_experiment_state(search, ExperimentState.FAILED, reason="no such metric", by="trigger")
    page = visit().open(f"/experiments/{search}")

    page.get_by_role("button", name="Stop the search").click()
    page.get_by_role("button", name="Yes").click()

    expect(page.get_by_text("1 trials with it")).to_be_visible()
    expect(page.get_by_role("button", name="Stop the search")).to_have_count(0)
    assert site.store.trial(search, 4).state is TrialState.CANCELLED


def test_a_trial_with_a_job_is_stopped_by_a_button_and_its_job_with_it(site, visit, search):
    store, job = site.store, submitted(site.store, site.endpoints, 2)
    jobs = MaxComputeJobs(maxcompute_credentials(site.endpoints))
    assert jobs.status(job).state is JobState.WAITING
    add_running(store, search, 5, job_id=job)
    page = visit().open(f"/experiments/{search}/trials/5")
    page.get_by_role("button", name="Stop this trial").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("cancelled", exact=True).first).to_be_visible()
    expect(page.get_by_text("stopped by admin").first).to_be_visible()

    watched_once_more(store, jobs, search, 5)  # as its trigger does within seconds
    assert jobs.status(job).state is JobState.CANCELLED
    page.get_by_text("Jobs", exact=True).click()
    expect(page.get_by_text("stopped", exact=True)).to_be_visible()


def watched_once_more(store, jobs, search: str, number: int) -> None:
    services = Services(store, jobs, MemoryObjects(), MemoryTables({}), lambda _: None, lambda _: None)
    plan = plan_of(store.experiment(search).snapshot)
    TrialWatcher(services, plan, experiment=search, trial=number, epoch=0).poll()


def test_two_clicks_start_one_run(visit, search):
    page = visit().open(f"/experiments/{search}")
    page.get_by_label("More trials", exact=True).fill("2")
    held = []
    page.route("**/extend", lambda route: held.append(route))  # no answer yet
    page.get_by_role("button", name="Start: More trials").dblclick()
    expect(page.locator("fieldset[aria-busy=true]")).to_be_visible()
    assert len(held) == 1
    held[0].continue_()
    expect(page.get_by_text("Airflow has no DAG")).to_be_visible()
    expect(page.locator("fieldset[aria-busy=true]")).to_have_count(0)
    expect(page.get_by_label("More trials", exact=True)).to_have_value("2")


def test_a_retry_of_all_failed_trials_says_how_many_and_asks(site, visit, search):
    page = visit().open(f"/experiments/{search}")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/retry" in request.url else None)
    page.get_by_role("button", name="Retry all failed trials").click()
    expect(page.get_by_role("dialog").get_by_text("trials that failed (1)")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    assert asked == []

    none = add_search(site.store, f"{search}0", trials=1).id
    page.goto(f"{site.url}/experiments/{none}")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("button", name="Retry all failed trials")).to_have_count(0)


def test_what_was_typed_stays_until_it_is_accepted(visit, search):
    page = visit().open(f"/experiments/{search}/trials/0")
    page.get_by_role("button", name="Clone with changes").click()
    dialog = page.get_by_role("dialog")
    area = dialog.get_by_role("textbox", name="Clone with changes")
    given = json.loads(area.input_value())
    (first, *_), rest = given, dict(list(given.items())[1:])
    for typed, answer in (
        ("{", "This is no JSON"),
        ("null", "Parameters are a JSON object"),
        (json.dumps(rest), f"these are missing: {first}"),
        (json.dumps({**given, "data_config.batch_size": -1}), "was not cloned"),
    ):
        area.fill(typed)
        dialog.get_by_role("button", name="Start").click()
        expect(dialog.get_by_text(answer)).to_be_visible()
        expect(area).to_have_value(typed)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)


def test_own_parameters_begin_with_those_of_the_best_trial(site, visit, search):
    page = visit().open(f"/experiments/{search}")
    page.get_by_role("button", name="Add trials with own parameters").click()
    given = json.loads(page.get_by_role("textbox", name="Add trials").input_value())
    assert given == [site.json(f"/api/experiments/{search}")["best"]["parameters"]]


def test_whoever_may_only_read_sees_no_buttons(visit, search):
    page = visit("viewer").open(f"/experiments/{search}")
    expect(page.get_by_text("trials begun")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
