"""The end of a search is told once for each best trial (+21)."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from easyrec import runtime
from easyrec.notifications import ToldAlready
from easyrec.operators.begin_search import CloseExperimentOperator
from include.experiments.settings import NotifySettings
from tests.support.robots import running_robot


@pytest.fixture
def robot(monkeypatch):
    with running_robot() as one:
        monkeypatch.setenv("AIRFLOW_CONN_GROUP", one.connection())
        yield one


@pytest.fixture
def close(lab, monkeypatch):
    """Run the operator as a task would, with the lab's services and the settings under test."""

    def services_of(_experiment):
        settings = lab.plan.settings.model_copy(update={"notify": NotifySettings(dingding_conn_id="group")})
        return lab.services, replace(lab.plan, settings=settings)

    monkeypatch.setattr(runtime, "services_of", services_of)

    def run(experiment=None):
        ti = SimpleNamespace(dag_id="dag", run_id="run", log_url="http://airflow.invalid/close")
        run = SimpleNamespace(run_id="run", run_type="manual", triggering_user_name=None)
        operator = CloseExperimentOperator(task_id="close", experiment=experiment or lab.experiment)
        return type(operator).execute.__wrapped__(operator, {"ti": ti, "dag_run": run})

    return run


def search(lab, *values):
    """One more finished trial for each value."""
    before = len(lab.jobs.jobs)
    for number, value in enumerate(values, start=before):
        lab.start(number)
        lab.finish(number, value)


def test_the_best_trial_is_told_with_its_parameters_and_where_its_config_lies(lab, close, robot):
    lab.open(trials=2)
    search(lab, 0.6, 0.7)

    said = close()

    (text,) = robot.texts()
    assert "search found a new best, trial 1: 0.7" in text
    assert '"data_config.batch_size": 128' in text
    assert said["pipeline_config"] in text
    assert "(http://airflow.invalid/close)" in text


def test_a_repeated_close_tells_nothing_again(lab, close, robot):
    lab.open(trials=1)
    search(lab, 0.6)

    close()
    close()

    assert len(robot.requests) == 1


def test_an_extension_tells_only_of_a_better_trial(lab, close, robot):
    lab.open(trials=1)
    search(lab, 0.6)
    close()

    lab.open(run_id="worse", extend=lab.experiment, trials=1)
    search(lab, 0.5)
    close()
    assert len(robot.requests) == 1

    lab.open(run_id="better", extend=lab.experiment, trials=1)
    search(lab, 0.8)
    close()
    assert "trial 2: 0.8" in robot.texts()[1]


def test_a_robot_that_is_away_does_not_fail_the_search(lab, close, robot, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_GROUP")
    lab.open(trials=1)
    search(lab, 0.6)

    assert close()["trial"] == 0


def test_a_search_without_success_fails_and_leaves_the_telling_to_its_callback(lab, close, robot):
    lab.open(trials=1)

    with pytest.raises(AirflowFailException, match="no trial succeeded"):
        close()

    assert robot.requests == []


def test_a_search_that_was_never_opened_was_told_by_its_opening(close):
    with pytest.raises(ToldAlready):
        close("None")
