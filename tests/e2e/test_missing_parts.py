"""What a search needs and Airflow lacks is said once and clearly, before anything is submitted; people are told."""

from __future__ import annotations

import json

import pytest

from include.errors import NotFoundError
from tests.support.robots import TOKEN, running_robot

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]

TELL = "notify: {arguments: {dingding_conn_id: recommender_group}, on: [failures]}\n"
NEWCOMERS = {
    "keyless": f"maxcompute_conn_id: no_such_service\noss_conn_id: no_such_storage\n{TELL}",
    "poolless": TELL,
    "stopped": TELL,
}
"""Model folders that appear while Airflow runs: pools are made at its start only."""


@pytest.fixture(scope="module")
def robot(world):
    """A DingTalk group whose connection a person made in the UI."""
    with running_robot() as one:
        connection = {"connection_id": "recommender_group", **json.loads(one.connection())}
        world.airflow.api("POST", "/connections", connection)
        yield one
        world.airflow.api("DELETE", "/connections/recommender_group")


@pytest.fixture(scope="module")
def searches(world, robot):
    world.add_models(**NEWCOMERS)
    started = {model: world.search(model).start(trials=2) for model in NEWCOMERS}
    stop_opening(world, started["stopped"])
    assert {model: search.wait_for_end() for model, search in started.items()} == dict.fromkeys(
        NEWCOMERS, "failed"
    )
    return started


def stop_opening(world, search):
    """As a user does in the UI: Airflow calls no task's callback then."""
    world.wait(lambda: world.airflow.task_instances(search.dag_id, search.run_id), "the run has tasks")
    path = f"/dags/{search.dag_id}/dagRuns/{search.run_id}/taskInstances/open_experiment"
    world.airflow.api("PATCH", path, {"new_state": "failed"})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("keyless", ["no Airflow connection 'no_such_service'", "no Airflow connection 'no_such_storage'"]),
        (
            "poolless",
            [
                "pool 'poolless_trials' that counts deferred tasks was not seen",
                "airflow pools set poolless_trials 4",
            ],
        ),
    ],
)
def test_a_search_that_lacks_something_ends_with_one_message_and_no_job(world, searches, model, said):
    search = searches[model]

    opening = search.task("open_experiment")

    assert (opening["state"], opening["try_number"]) == ("failed", 1)
    log = search.log_of("open_experiment")
    for words in said:
        assert words in log
    assert search.jobs() == []
    with pytest.raises(NotFoundError):
        world.store.experiment(search.experiment)


def test_people_are_told_of_each_failed_search_once_with_a_link_to_its_run(world, searches, robot):
    def messages():
        """The models' days may fail as well, and say so."""
        return sorted(text for text in robot.texts() if "search failed" in text)

    world.wait(lambda: len(messages()) >= len(searches), "the messages arrive", seconds=30)

    texts = messages()

    assert len(texts) == len(searches)
    for text, (model, search) in zip(texts, sorted(searches.items()), strict=True):
        assert text.startswith(f"#### EasyRec {model}: search failed")
        assert f"/dags/{search.dag_id}/runs/{search.run_id})" in text
    assert "no_such_service" in texts[0]
    assert "failed tasks: open_experiment" in texts[2]
    assert all(path == f"/robot/send?access_token={TOKEN}" for path, _ in robot.requests)
    logs = [path.read_text(errors="replace") for path in world.airflow.home.rglob("*.log")]
    assert any("Sending Dingding" in log for log in logs)
    assert not any(TOKEN in log for log in logs)
