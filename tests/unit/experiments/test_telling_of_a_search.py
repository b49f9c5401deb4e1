"""People are told how a search ended, once (+21)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from easyrec import runtime
from easyrec.assets import begin_best
from easyrec.callbacks import ToldAlready
from easyrec.operators.begin_search import CloseExperimentOperator


@pytest.fixture
def told(lab):
    """What people were told."""
    notices = []
    lab.services = replace(lab.services, tell=notices.append)
    return notices


@pytest.fixture
def close(lab, told, monkeypatch):
    """Run the operator as a task would, with the lab's services."""
    monkeypatch.setattr(runtime, "services_of", lambda _experiment: (lab.services, lab.plan))
    monkeypatch.setattr(runtime, "own_store", lambda: lab.store)

    def run(experiment=None):
        ti = SimpleNamespace(dag_id="dag", run_id="run")
        run = SimpleNamespace(run_id="run", run_type="manual", triggering_user_name=None)
        operator = CloseExperimentOperator(
            task_id="close", model="movielens", experiment=experiment or lab.experiment
        )
        events = defaultdict(SimpleNamespace)
        context = {"ti": ti, "dag_run": run, "outlet_events": events}
        said = type(operator).execute.__wrapped__(operator, context)
        assert events[begin_best("movielens")].extra["experiment"] == said["experiment"]
        return said

    return run


def search(lab, *values):
    """One more finished trial for each value."""
    before = len(lab.jobs.jobs)
    for number, value in enumerate(values, start=before):
        lab.start(number)
        lab.finish(number, value)


def test_the_best_trial_is_told_with_its_parameters_and_where_its_config_lies(lab, close, told):
    lab.open(trials=2)
    search(lab, 0.6, 0.7)

    said = close()

    (notice,) = told
    assert notice.heading == "EasyRec movielens: search ended, new best: trial 1, 0.7"
    assert '"data_config.batch_size": 128' in notice.text
    assert said["pipeline_config"] in notice.text
    assert notice.run == ("dag", "run")


def test_failed_trials_are_counted_with_their_reason(lab, close, told):
    lab.plan = replace(lab.plan, settings=lab.plan.settings.model_copy(update={"max_trial_retries": 0}))
    lab.open(trials=2)
    lab.start(0)
    lab.start(1)
    lab.jobs.run(lab.job(1).job_id)
    lab.jobs.fail(lab.job(1).job_id, "out of memory")
    lab.watcher(1).poll()
    lab.finish(0, 0.6)

    close()

    (line,) = [line for line in told[0].lines if line.startswith("failed trials: 1 (")]
    assert "out of memory" in line


def test_a_repeated_close_tells_nothing_again(lab, close, told):
    lab.open(trials=1)
    search(lab, 0.6)

    close()
    close()

    assert len(told) == 1


def test_an_extension_tells_whether_there_is_a_better_trial(lab, close, told):
    lab.open(trials=1)
    search(lab, 0.6)
    close()

    lab.open(run_id="worse", extend=lab.experiment, trials=1)
    search(lab, 0.5)
    close()
    assert told[1].title == "still the best: trial 0, 0.6"

    lab.open(run_id="better", extend=lab.experiment, trials=1)
    search(lab, 0.8)
    close()
    assert told[2].title == "new best: trial 2, 0.8"


def test_a_search_without_success_fails_and_leaves_the_telling_to_its_callback(lab, close, told):
    lab.open(trials=1)

    with pytest.raises(AirflowFailException, match="no trial succeeded"):
        close()

    assert told == []


def test_a_search_that_was_never_opened_was_told_by_its_opening(lab, close):
    with pytest.raises(ToldAlready):
        close("None")
