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


def test_the_grid_shows_number_state_and_metric_of_each_trial(world):
    search = world.search().start(trials=1)
    search.wait_for_end()

    shown = search.task()["rendered_map_index"]

    trial = search.trials()[0]
    assert shown == f"#0 succeeded {trial.metric:.4f}"


def kill_the_task_process(search) -> None:
    pid = search.world.wait(lambda: search.task()["pid"], "the task has a process")
    os.kill(pid, signal.SIGKILL)


def kill_while(search, *, service: str, method: str, path: str) -> None:
    """Kill -9 the task while one of its requests is being answered slowly."""
    world = search.world
    before = injected(world)
    world.fault(service=service, kind="slow", method=method, path=path, seconds=3.0)
    search.start(trials=1)
    world.wait(lambda: injected(world) > before, "the slow request has arrived")
    kill_the_task_process(search)


def injected(world) -> int:
    return sum(world.control("GET", "/faults")["injected"].values())


KILLS: dict[str, Callable] = {
    "before the submit": lambda s: kill_while(
        s, service="oss", method="PUT", path=f"{s.experiment}_0.*_easyrec_automl_owner"
    ),
    "between submit and record": lambda s: kill_while(s, service="odps", method="POST", path="/instances"),
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_task_killed_around_its_submit_ends_with_exactly_one_job(world, moment):
    search = world.search()
    KILLS[moment](search)

    assert search.wait_for_end() == "success"

    assert len(search.jobs()) == 1
    assert search.trials()[0].state is TrialState.SUCCEEDED
    assert search.steps()[0].job_id == search.jobs()[0]["id"]


def test_a_lost_answer_to_the_submit_costs_no_second_job(world):
    search = world.search()
    world.fault(service="odps", kind="reset_after_commit", method="POST", path="/instances")
    search.start(trials=1)

    assert search.wait_for_end() == "success"

    assert len(search.jobs()) == 1
    assert search.steps()[0].job_id == search.jobs()[0]["id"]


def running_forever(search):
    """Start a one-trial search whose job never ends by itself, and wait until it trains."""
    search.world.fault(service="job", kind="job_hang", path=search.model_dirs(), options={"step": 30})
    search.start(trials=1)
    search.wait_for_trial(lambda t: t.state is TrialState.RUNNING, "runs")
    search.world.wait(lambda: search.task()["state"] == "deferred", "the task is deferred")
    return search


def test_a_trial_marked_failed_stops_its_job(world):
    search = running_forever(world.search())

    search.change_task("failed")

    world.wait(lambda: ended(search.jobs()[0]), "the job is stopped")
    trial = search.wait_for_trial(lambda t: t.state.is_terminal, "has ended")
    assert trial.state is TrialState.CANCELLED
    # The trigger knows of the user; the run's last task, which may come first, finds a trial without its task.
    assert "a user" in trial.reason or trial.reason == "its task ended without it"
    assert search.wait_for_end() == "failed"  # its only trial did not succeed
    assert len(search.jobs()) == 1


def test_a_cleared_trial_stops_its_job_and_starts_one_new_one_elsewhere(world):
    search = running_forever(world.search())

    search.clear_task()

    assert search.wait_for_end() == "success"
    first, second = sorted(search.steps(), key=lambda s: s.id.epoch)
    assert (first.state, second.state) == (StepState.STOPPED, StepState.SUCCEEDED)
    assert first.model_dir != second.model_dir
    assert len(search.jobs()) == 2
    assert all(ended(j) for j in search.jobs())
    trial = search.trials()[0]
    assert trial.epoch == 1
    assert trial.state is TrialState.SUCCEEDED


def test_a_job_past_its_deadline_is_stopped_and_says_so(world):
    search = running_forever(world.search())

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
        **{name: leaks.rows(home / name) for name in ("airflow.db", "easyrec_automl.db")},
    }

    # Airflow has its connections from the environment: no place of it is left out.
    assert leaks.holding(places, [world.endpoints.access_key_id, world.endpoints.access_key_secret]) == []
    assert leaks.holding(places, tokens) == []
    # It was looked where it matters.
    for table in ("xcom", "rendered_task_instance_fields", "serialized_dag", "log"):
        assert f'INSERT INTO "{table}"'.encode() in places["airflow.db"], table
    assert searched.experiment.encode() in places["airflow.db"]
    assert searched.experiment.encode() in places["easyrec_automl.db"]
    assert any(b"XflowInstance" in data for data in places.values())
    for part in ("task_id=open_experiment", "triggerer.log", "report.html", "best_pipeline.config"):
        assert [where for where in places if part in where], part
    assert all(page.ok for page in pages)
