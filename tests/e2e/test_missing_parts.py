"""What a search needs and Airflow lacks is said once and clearly, before anything is submitted."""

from __future__ import annotations

import pytest

from include.errors import NotFoundError

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]

NEWCOMERS = {
    "keyless": "maxcompute_conn_id: no_such_service\noss_conn_id: no_such_storage\n",
    "poolless": "",
}
"""Model folders that appear while Airflow runs: pools are made at its start only."""


@pytest.fixture(scope="module")
def searches(world):
    world.add_models(**NEWCOMERS)
    started = {model: world.search(model).start(trials=2) for model in NEWCOMERS}
    assert {model: search.wait_for_end() for model, search in started.items()} == dict.fromkeys(
        NEWCOMERS, "failed"
    )
    return started


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("keyless", ["no Airflow connection 'no_such_service'", "no Airflow connection 'no_such_storage'"]),
        ("poolless", ["pool 'poolless_trials' was not seen", "airflow pools set poolless_trials 4"]),
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
