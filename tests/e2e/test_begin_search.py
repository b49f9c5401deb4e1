"""A begin search in a real Airflow against the sandbox: what it finds, and that it never costs a job too many."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from include.pipeline_config import values_at
from include.search.trial import TrialState
from include.store import ExperimentState, StepState
from tests.e2e.conftest import Search
from tests.support import leaks

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


def ended(job: dict) -> bool:
    return job["ended"] is not None


@pytest.fixture(scope="module")
def searched(world):
    """A whole search, from the form to the report."""
    search = world.search().start(trials=4, seed=5, baseline=True)
    assert search.wait_for_end() == "success"
    return search


def test_a_search_runs_the_parameters_it_records_and_publishes_the_best(world, searched):
    search = searched
    trials, jobs = search.trials(), search.jobs()
    assert [t.number for t in trials] == [0, 1, 2, 3, 4]
    assert {t.state for t in trials} <= {TrialState.SUCCEEDED, TrialState.EARLY_STOPPED}
    assert len(jobs) == len(trials)
    assert all(ended(j) for j in jobs)
    for step in search.steps():
        saved = world.sandbox.buckets.read(
            world.endpoints.bucket, step.model_dir.split("/", 3)[3] + "/pipeline.config"
        ).decode()
        for key, value in trials[step.id.trial].parameters.items():
            for ran in values_at(saved, key):
                assert ran == pytest.approx(value, rel=1e-6), key
    assert trials[0].source == "baseline"
    assert trials[0].parameters == {}
    assert world.store.experiment(search.experiment).state is ExperimentState.FINISHED
    report = json.loads(
        world.sandbox.buckets.read(
            world.endpoints.bucket, f"movielens/model/{search.experiment}_report/report.json"
        )
    )
    best = report["best"]
    assert best["metric"] == max(t.metric for t in trials if t.state is TrialState.SUCCEEDED)
    best_config = world.sandbox.buckets.read(
        world.endpoints.bucket, f"movielens/model/{search.experiment}_report/best_pipeline.config"
    ).decode()
    for key, value in best["parameters"].items():
        assert values_at(best_config, key)[0] == pytest.approx(value, rel=1e-6)


def test_the_grid_shows_number_state_and_metric_of_each_trial(searched):
    shown = {task["rendered_map_index"] for task in searched.tasks()}

    assert shown == {
        f"#{trial.number} {trial.state.value.lower()} {trial.metric:.4f}" for trial in searched.trials()
    }


@pytest.fixture(scope="module")
def troubled(world):
    """Searches of one trial in which something goes wrong. They run side by side: most of their time is waiting."""
    world.slots(len(TROUBLE))
    world.control("POST", "/settings", {"capacity": len(TROUBLE)})
    searches = {name: trouble(world.search()) for name, trouble in TROUBLE.items()}
    # Faults that have not met their job by the end of a test are gone.
    searches["past its deadline"].wait_for_trial(lambda t: t.started_at, "trains")
    yield searches
    world.control("POST", "/settings", {"capacity": 4})
    world.slots(4)


def lose_the_answer(search):
    """To the submit of its job."""
    world = search.world
    before = injected(world)
    world.fault(service="odps", kind="reset_after_commit", method="POST", path="/instances")
    search.start(trials=1)
    world.wait(lambda: injected(world) > before, "the answer is lost")
    return search


def kill_while(search, *, service: str, method: str, path: str):
    """Kill -9 the task while one of its requests is being answered slowly."""
    world = search.world
    before = injected(world)
    world.fault(service=service, kind="slow", method=method, path=path, seconds=3.0)
    search.start(trials=1)
    world.wait(lambda: injected(world) > before, "the slow request has arrived")
    pid = world.wait(lambda: search.task()["pid"], "the task has a process")
    os.kill(pid, signal.SIGKILL)
    return search


def injected(world) -> int:
    return sum(world.control("GET", "/faults")["injected"].values())


def train_forever(search):
    """Its job never ends by itself."""
    search.world.fault(service="job", kind="job_hang", path=search.model_dirs(), options={"step": 30})
    return search.start(trials=1)


def act_while_it_trains(search, act):
    train_forever(search)
    search.wait_for_trial(lambda t: t.state is TrialState.RUNNING, "runs")
    search.world.wait(lambda: search.task()["state"] == "deferred", "the task is deferred")
    act(search)
    return search


MARKER = "_0.*_easyrec_automl_owner"
TROUBLE: dict[str, Callable] = {
    # The first two meet whichever submit comes next: nothing else submits while they begin.
    "answer lost": lose_the_answer,
    "killed between submit and record": lambda s: kill_while(
        s, service="odps", method="POST", path="/instances"
    ),
    "killed before the submit": lambda s: kill_while(
        s, service="oss", method="PUT", path=s.experiment + MARKER
    ),
    "marked failed": lambda s: act_while_it_trains(s, lambda s: s.change_task("failed")),
    "cleared": lambda s: act_while_it_trains(s, Search.clear_task),
    "past its deadline": train_forever,
}


@pytest.mark.parametrize(
    "moment", ["answer lost", "killed between submit and record", "killed before the submit"]
)
def test_trouble_around_the_submit_ends_with_exactly_one_job(troubled, moment):
    search = troubled[moment]

    assert search.wait_for_end() == "success"

    assert len(search.jobs()) == 1
    assert search.trials()[0].state is TrialState.SUCCEEDED
    assert search.steps()[0].job_id == search.jobs()[0]["id"]


def test_a_trial_marked_failed_stops_its_job(world, troubled):
    search = troubled["marked failed"]

    world.wait(lambda: ended(search.jobs()[0]), "the job is stopped")
    trial = search.wait_for_trial(lambda t: t.state.is_terminal, "has ended")
    assert trial.state is TrialState.CANCELLED
    # The trigger knows of the user; the run's last task, which may come first, finds a trial without its task.
    assert "a user" in trial.reason or trial.reason == "its task ended without it"
    assert search.wait_for_end() == "failed"  # its only trial did not succeed
    assert len(search.jobs()) == 1


def test_a_cleared_trial_stops_its_job_and_starts_one_new_one_elsewhere(troubled):
    search = troubled["cleared"]

    assert search.wait_for_end() == "success"
    first, second = sorted(search.steps(), key=lambda s: s.id.epoch)
    assert (first.state, second.state) == (StepState.STOPPED, StepState.SUCCEEDED)
    assert first.model_dir != second.model_dir
    assert len(search.jobs()) == 2
    assert all(ended(j) for j in search.jobs())
    trial = search.trials()[0]
    assert trial.epoch == 1
    assert trial.state is TrialState.SUCCEEDED


def test_a_job_past_its_deadline_is_stopped_and_says_so(troubled):
    search = troubled["past its deadline"]

    assert search.wait_for_end() == "failed"

    trial = search.trials()[0]
    assert trial.state is TrialState.FAILED
    assert "max_training_hours" in trial.reason or "maxTrainingTimeInHour" in trial.reason
    assert all(ended(j) for j in search.jobs())


def test_a_killed_triggerer_loses_nothing(world):
    search = world.search()
    world.control("POST", "/settings", {"capacity": 0})  # the job waits for a place
    search.start(trials=1)
    world.wait(lambda: search.trials() and search.task()["state"] == "deferred", "the task is deferred")

    world.airflow.stop("triggerer", signal.SIGKILL)
    world.airflow.start("triggerer")
    world.control("POST", "/settings", {"capacity": 4})

    assert search.wait_for_end() == "success"
    assert len(search.jobs()) == 1
    assert search.trials()[0].state is TrialState.SUCCEEDED


def test_a_job_whose_task_was_marked_failed_without_a_triggerer_is_stopped_by_reconcile(world):
    search = world.search()
    world.control("POST", "/settings", {"capacity": 0})  # jobs wait for a place
    search.start(trials=2)
    world.wait(
        lambda: len([t for t in search.trials() if t.state is TrialState.SUBMITTED]) == 2, "both submitted"
    )
    world.wait(lambda: world.pool()["deferred"] == 2, "both tasks are deferred")
    world.airflow.stop("triggerer", signal.SIGKILL)
    search.change_task("failed")
    [marked] = [t for t in search.trials() if t.task.map_index == 0]

    run = world.airflow.trigger("easyrec_reconcile", {"grace_minutes": 0})
    state = world.wait(
        lambda: (
            (found := world.airflow.run_state("easyrec_reconcile", run)) in ("success", "failed") and found
        ),
        "reconcile ends",
    )

    assert state == "success"
    stopped = [job["id"] for job in search.jobs() if ended(job)]
    assert stopped == [step.job_id for step in search.steps() if step.id.trial == marked.number]
    assert "is failed" in search.trials()[marked.number].reason
    world.airflow.start("triggerer")
    world.control("POST", "/settings", {"capacity": 4})
    assert search.wait_for_end() == "success"
    assert len(search.jobs()) == 2


def test_a_wrong_config_ends_before_the_first_submit_with_one_clear_message(world):
    space = world.models / "movielens" / "begin" / "search_space.json"
    right = space.read_text()
    space.write_text('{"train_config.num_stepz": {"_type": "randint", "_value": [100, 200]}}')
    try:
        search = world.search().start(trials=2)
        assert search.wait_for_end() == "failed"
    finally:
        space.write_text(right)

    log = search.log_of("open_experiment")
    assert "num_stepz" in log
    assert "num_steps" in log
    assert search.jobs() == []


def test_no_access_key_and_no_link_with_a_token_is_left_anywhere(world, searched):
    links = searched.page("/trials/1/logview", "POST").json()["links"]
    tokens = {parse_qs(urlsplit(link).query)["token"][0] for link in links.values()}
    pages = [searched.page(path) for path in ("", "/files", "/trials", "/trials/1", "/summary.html")]
    home = world.airflow.home

    places = {
        **leaks.files(home),  # logs of tasks and of components
        **leaks.files(world.sandbox.folder, without="credentials.json"),  # objects, jobs as they were sent
        **{page.url: page.content for page in pages},
        "Airflow's database": leaks.rows(world.database),
        "the store": leaks.rows(f"sqlite:///{home / 'easyrec_automl.db'}"),
    }

    # Airflow has its connections from the environment: no place of it is left out.
    assert leaks.holding(places, [world.endpoints.access_key_id, world.endpoints.access_key_secret]) == []
    assert leaks.holding(places, tokens) == []
    # It was looked where it matters.
    for table in ("xcom", "rendered_task_instance_fields", "serialized_dag", "log"):
        assert f"\n{table}: ".encode() in places["Airflow's database"], table
    assert searched.experiment.encode() in places["Airflow's database"]
    assert searched.experiment.encode() in places["the store"]
    assert any(b"XflowInstance" in data for data in places.values())
    for part in ("task_id=open_experiment", "triggerer.log", "report.html", "best_pipeline.config"):
        assert [where for where in places if part in where], part
    assert all(page.ok for page in pages)
