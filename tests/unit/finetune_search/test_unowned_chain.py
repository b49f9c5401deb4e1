"""A chain of days whose task is gone is ended, and its next day is never begun."""

from __future__ import annotations

import pytest

from include.errors import JobFailedError, RetryableError
from include.experiments.closing import close_experiment
from include.experiments.unowned import end_unowned
from include.search.trial import TrialState


def test_the_day_that_succeeded_is_kept_and_the_next_one_is_not_submitted(chains):
    chains.open(trials=1)
    trial = chains.start()
    chains.train(chains.job())

    found = list(
        end_unowned(chains.services, chains.kept, trial, model="movielens", why="its task is failed")
    )

    assert found
    assert len(chains.jobs.jobs) == 1
    assert chains.store.trial(chains.experiment, 0).state is TrialState.CANCELLED
    assert chains.store.open_steps() == []
    assert chains.store.steps(chains.experiment)[0].state.value == "SUCCEEDED"


def end(chains, trial):
    list(end_unowned(chains.services, chains.kept, trial, model="movielens", why="its task is failed"))


def test_a_clear_goes_on_with_the_day_that_was_not_submitted(chains):
    chains.open(trials=1)
    trial = chains.start()
    chains.train(chains.job(), 0.6)
    end(chains, trial)

    chains.start(max_tries=7)
    chains.day(0.7, epoch=1)
    ended = chains.day(0.8, epoch=1)

    assert (ended.state, ended.metric) == (TrialState.SUCCEEDED, pytest.approx(0.7))
    assert chains.dirs() == ["19980115_model_exp_0", "19980116_model_exp_0_e1", "19980117_model_exp_0_e1"]


def test_a_clear_trains_the_day_that_was_stopped_again_and_none_before_it(chains):
    chains.open(trials=1)
    chains.start()
    trial = chains.day(0.6)
    end(chains, trial)
    assert chains.job().stops == 1

    chains.start(max_tries=7)
    chains.day(0.7, epoch=1)
    ended = chains.day(0.8, epoch=1)

    assert (ended.state, ended.metric) == (TrialState.SUCCEEDED, pytest.approx(0.7))
    assert chains.dirs()[1:] == [
        "19980116_model_exp_0", "19980116_model_exp_0_e1", "19980117_model_exp_0_e1",
    ]  # fmt: skip


def test_a_clear_after_the_end_of_the_run_trains_no_finished_day_again(chains):
    """The last task of the run ended the trial, not reconcile."""
    chains.open(trials=1)
    chains.start()
    chains.day(0.6)
    with pytest.raises(JobFailedError):
        close_experiment(chains.services, chains.experiment, dag_id="dag", run_id="run", by="test")
    assert chains.job().stops == 1

    chains.start(max_tries=7)

    assert chains.dirs()[2:] == ["19980116_model_exp_0_e1"]


@pytest.mark.parametrize("judged", [True, False])
def test_a_clear_of_a_chain_that_still_trains_trains_no_finished_day_again(chains, judged):
    """Its task failed, and nobody has ended the trial yet."""
    chains.open(trials=1)
    chains.start()
    if judged:
        chains.day(0.6)
    else:
        chains.train(chains.job(), 0.6)
        watcher = chains.watcher()
        chains.objects.fail_write(".config", RetryableError("503"))
        with pytest.raises(RetryableError):
            watcher.poll()  # died between two days

    chains.start(max_tries=7)

    assert chains.dirs()[-1] == "19980116_model_exp_0_e1"
    assert len(chains.dirs()) == (3 if judged else 2)


def test_a_chain_whose_model_is_gone_is_ended_all_the_same(chains):
    chains.open(trials=1)
    trial = chains.start()
    chains.train(chains.job(), 0.6)
    model_dir = chains.job().payload.parameters["model_dir"]
    for found in list(chains.objects.list(f"{model_dir}/model.ckpt")):
        chains.objects.delete(found.url)

    end(chains, trial)

    assert chains.store.trial(chains.experiment, 0).state is TrialState.CANCELLED


def test_a_chain_that_a_person_cancelled_starts_over(chains):
    chains.open(trials=1)
    chains.start()
    chains.day(0.6)
    chains.watcher().cancel("a user ended the task")

    chains.start(max_tries=7)

    assert chains.dirs()[2:] == ["19980115_model_exp_0_e1"]
