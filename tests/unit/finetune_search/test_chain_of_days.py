"""A trial of a finetune search is a chain of days: continued, judged, replaced and averaged day by day."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from unittest import mock

import pytest

from include.errors import AccessError, NotFoundError, RetryableError
from include.experiments.closing import close_experiment
from include.experiments.trial_job import TrialJob
from include.search.space import parse
from include.search.trial import TrialState

BATCH_SIZE = json.dumps({"data_config.batch_size": {"_type": "choice", "_value": [64, 128]}})


class Batches:
    def ask(self, history, pending, seed):
        return {"data_config.batch_size": 64}


@pytest.fixture
def chain(chains):
    chains.open(trials=2)
    chains.start()
    return chains


def test_every_day_continues_from_the_day_before_and_the_metric_is_the_mean(chain):
    assert chain.day(0.6).state is TrialState.SUBMITTED
    chain.day(0.7)
    ended = chain.day(0.8)

    assert (ended.state, ended.metric) == (TrialState.SUCCEEDED, pytest.approx(0.7))
    assert ended.metrics["auc_is_like"] == pytest.approx(0.7)
    assert chain.dirs() == ["19980115_model_exp_0", "19980116_model_exp_0", "19980117_model_exp_0"]
    tables = [job.payload.parameters["train_tables"] for job in chain.jobs.jobs.values()]
    assert [t[-8:] for t in tables] == ["19980115", "19980116", "19980117"]
    assert '"oss://sandbox-bucket/movielens/first/model.ckpt-10"' in chain.config(0)
    for number in (1, 2):
        before = chain.job(number - 1).payload.parameters["model_dir"]
        assert f'"{before}/model.ckpt-10"' in chain.config(number)


def test_the_assessor_sees_one_value_for_each_finished_day_and_stops_a_poor_chain(chain):
    job = chain.job()
    chain.jobs.run(job.job_id)
    chain.watcher().poll()
    assert chain.verdict.seen == []

    chain.day(0.6)
    assert chain.verdict.seen == [{0: [0.6]}]
    chain.verdict.stop = True
    stopped = chain.day(0.5)

    assert (stopped.state, stopped.metric) == (TrialState.EARLY_STOPPED, pytest.approx(0.55))
    assert stopped.reason.startswith("1998-01-16: ")
    assert len(chain.jobs.jobs) == 2


def test_a_failed_day_is_replaced_in_a_fresh_folder_from_the_same_checkpoint(chain):
    chain.day()
    chain.jobs.run(chain.job().job_id)
    chain.jobs.fail(chain.job().job_id)
    chain.watcher().poll()
    chain.day()
    ended = chain.day()

    assert ended.state is TrialState.SUCCEEDED
    assert chain.dirs() == [
        "19980115_model_exp_0", "19980116_model_exp_0", "19980116_model_exp_0_a1", "19980117_model_exp_0",
    ]  # fmt: skip
    first = chain.job(0).payload.parameters["model_dir"]
    assert f'"{first}/model.ckpt-10"' in chain.config(1)
    assert f'"{first}/model.ckpt-10"' in chain.config(2)


def test_a_chain_that_failed_goes_on_at_that_day_when_it_is_cleared(chain):
    chain.day(0.6)
    for _ in range(2):
        chain.jobs.run(chain.job().job_id)
        chain.jobs.fail(chain.job().job_id)
        failed = chain.watcher().poll()
    assert failed.state is TrialState.FAILED
    assert failed.reason.startswith("1998-01-16: ")

    chain.start(max_tries=7)
    chain.day(0.7, epoch=1)
    ended = chain.day(0.8, epoch=1)

    assert (ended.state, ended.metric) == (TrialState.SUCCEEDED, pytest.approx(0.7))
    assert chain.dirs()[3:] == ["19980116_model_exp_0_e1", "19980117_model_exp_0_e1"]


def fail_between_days(chain, error):
    """The first day has succeeded, and the second can't begin; the task gives up as the operator does."""
    with pytest.raises(error) as raised:
        chain.watcher().poll()
    reason = str(raised.value)
    return chain.store.move_trial(chain.experiment, 0, epoch=0, to=TrialState.FAILED, reason=reason)


def test_a_day_whose_model_is_gone_ends_the_chain_and_is_trained_again_only_by_a_clear(chain):
    chain.train(chain.of(0), 0.6)
    chain.objects.delete(chain.job().payload.parameters["model_dir"] + "/model.ckpt-10.index")
    failed = fail_between_days(chain, NotFoundError)
    assert "the model of 1998-01-15 is gone: " in failed.reason
    assert chain.start().state is TrialState.FAILED  # Airflow's retry
    assert len(chain.jobs.jobs) == 1

    chain.start(max_tries=7)
    for value in (0.6, 0.7, 0.8):
        ended = chain.day(value, epoch=1)

    assert (ended.state, ended.metric) == (TrialState.SUCCEEDED, pytest.approx(0.7))
    assert chain.dirs()[1:] == [
        "19980115_model_exp_0_e1", "19980116_model_exp_0_e1", "19980117_model_exp_0_e1",
    ]  # fmt: skip


def test_no_finished_day_is_trained_again_for_want_of_a_permission(chain):
    chain.train(chain.of(0), 0.6)
    denied = AccessError("no right to list")
    with mock.patch("include.experiments.trial_job.find_checkpoint", side_effect=denied):
        fail_between_days(chain, AccessError)
        for tries in (7, 8):
            with pytest.raises(AccessError):
                chain.start(max_tries=tries)
    assert len(chain.jobs.jobs) == 1

    chain.start(max_tries=9)
    chain.day(0.7, epoch=1)
    ended = chain.day(0.8, epoch=1)

    assert (ended.state, ended.metric) == (TrialState.SUCCEEDED, pytest.approx(0.7))
    assert chain.dirs() == ["19980115_model_exp_0", "19980116_model_exp_0_e1", "19980117_model_exp_0_e1"]


def test_a_chain_that_succeeded_starts_over_when_it_is_cleared(chain):
    for _ in range(3):
        chain.day()
    chain.start(max_tries=7)

    assert chain.dirs()[3:] == ["19980115_model_exp_0_e1"]
    assert chain.store.results(chain.experiment, 0) == []


@pytest.mark.parametrize("value", [math.nan, None])
def test_a_day_without_a_metric_fails_the_trial_and_is_named(chain, value):
    chain.day()
    watcher = chain.watcher()
    chain.train(chain.of(0), value)
    for _ in range(5):
        ended = watcher.poll()

    assert ended.state is TrialState.FAILED
    assert ended.reason.startswith("1998-01-16: ")
    assert len(chain.jobs.jobs) == 2


@pytest.mark.parametrize("dies_before", ["move", "submit", "answer"])
def test_a_crash_between_two_days_leaves_one_job_for_each(chain, dies_before):
    chain.train(chain.of(0))
    if dies_before == "answer":
        chain.jobs.lose_answer()
        chain.watcher().poll()
    else:
        owner, name = {"move": (type(chain.watcher()), "_next"), "submit": (TrialJob, "ensure")}[dies_before]
        with (
            mock.patch.object(owner, name, side_effect=RetryableError("died")),
            pytest.raises(RetryableError),
        ):
            chain.watcher().poll()
        assert len(chain.jobs.jobs) == 1
        chain.start()  # Airflow's retry
        chain.watcher().poll()
    chain.watcher().poll()

    assert chain.dirs() == ["19980115_model_exp_0", "19980116_model_exp_0"]


def test_a_crash_between_the_end_of_the_last_day_and_that_of_the_trial_loses_nothing(chain):
    chain.day(0.6)
    chain.day(0.7)
    chain.train(chain.of(0), 0.8)
    with (
        mock.patch.object(type(chain.store), "move_trial", side_effect=RetryableError("died")),
        mock.patch.object(type(chain.watcher()), "_note_running", side_effect=lambda t, s, _: (t, s)),
        pytest.raises(RetryableError),
    ):
        chain.watcher().poll()

    chain.start()  # Airflow's retry
    ended = chain.watcher().poll()

    assert (ended.state, ended.metric) == (TrialState.SUCCEEDED, pytest.approx(0.7))
    assert len(chain.jobs.jobs) == 3


def test_a_day_that_was_judged_leads_on_and_is_not_judged_again(chain):
    chain.train(chain.of(0))
    with (
        mock.patch.object(TrialJob, "ensure", side_effect=RetryableError("died")),
        pytest.raises(RetryableError),
    ):
        chain.watcher().poll()
    chain.verdict.stop = True

    assert chain.watcher().poll().state is TrialState.SUBMITTED
    assert len(chain.verdict.seen) == 1
    assert chain.dirs() == ["19980115_model_exp_0", "19980116_model_exp_0"]


def test_two_chains_run_beside_each_other(chain):
    chain.start(1)
    for value in (0.6, 0.7, 0.8):
        chain.day(value, trial=0)
        chain.day(value + 0.1, trial=1)

    assert [t.metric for t in chain.store.trials(chain.experiment)] == pytest.approx([0.7, 0.8])
    assert chain.verdict.seen[1] == {0: [0.6], 1: [0.7]}
    report = close_experiment(chain.services, chain.experiment, dag_id="dag", run_id="run", by="test")
    assert report.best is not None
    assert report.best.number == 1
    assert report.best.days == pytest.approx({"1998-01-15": 0.7, "1998-01-16": 0.8, "1998-01-17": 0.9})
    assert report.best_model_dir.endswith(f"19980117_model_{chain.experiment}_1")


def saved_otherwise(chain, job, old, new):
    """The job runs, and EasyRec saves another config than it was sent."""
    parameters = job.payload.parameters
    sent = chain.objects.read(parameters["config"]).decode()
    assert old in sent
    chain.jobs.run(job.job_id)
    chain.write_model(parameters["model_dir"], sent.replace(old, new))
    chain.jobs.succeed(job.job_id)


def test_a_day_that_went_on_from_another_checkpoint_does_not_count(chain):
    chain.day(0.6)
    before = chain.job(0).payload.parameters["model_dir"]
    saved_otherwise(chain, chain.job(), f"{before}/model.ckpt-10", f"{before}/model.ckpt-5")

    ended = chain.watcher().poll()

    assert ended.state is TrialState.FAILED
    assert "model.ckpt-5" in ended.reason


def test_a_day_that_was_not_trained_at_the_rate_handed_over_does_not_count(chains):
    chains.plan = replace(
        chains.plan,
        space=parse(BATCH_SIZE, "space"),
        texts={**chains.plan.texts, "search_space.json": BATCH_SIZE},
    )
    chains.services = replace(chains.services, make_tuner=lambda _: Batches())
    chains.open(trials=1)
    chains.start()
    (rate,) = chains.kept.rates
    text = chains.config()
    (shown,) = {line for line in text.splitlines() if "initial_learning_rate" in line}
    saved_otherwise(chains, chains.job(), shown, f"initial_learning_rate: {rate * 2}")

    ended = chains.watcher().poll()

    assert ended.state is TrialState.FAILED
    assert "initial_learning_rate" in ended.reason


def test_a_sent_config_that_was_tidied_away_hinders_nothing(chain):
    chain.train(chain.job())
    chain.objects.delete(chain.job().payload.parameters["config"])

    assert chain.watcher().poll().state is TrialState.SUBMITTED
