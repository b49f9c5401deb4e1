"""What a person does to a search while it runs (R2, +20), on the real store with a fake Airflow."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from include.cli import main
from include.errors import AskingPaused, NoMoreTrials, RetryableError, StateError
from include.experiments.closing import close_experiment
from include.search.trial import TrialState
from include.store import ExperimentState, ExperimentStore, StepState


@pytest.fixture
def command(lab, workflow, tmp_path, capsys):
    """A command on the lab's experiment, by ada: exit code and what was shown."""

    def run(name: str, *options: object) -> tuple[int, str]:
        store = f"sqlite:///{tmp_path / 'store.db'}"
        code = main([name, lab.experiment, *map(str, options), "--by", "ada", "--store", store])
        return code, "".join(capsys.readouterr())

    return run


def who(lab, kind):
    return [e.by for e in lab.store.events(lab.experiment) if e.kind == kind]


def test_a_stopped_trial_ends_with_its_job_and_the_others_go_on(lab, command):
    lab.open(trials=2)
    lab.start(0)
    lab.start(1)

    assert command("stop", "--trial", 0)[0] == 0

    assert lab.watcher(0).is_over()
    ended = lab.watcher(0).poll()
    assert (ended.state, ended.reason) == (TrialState.CANCELLED, "stopped by ada")
    assert [job.stops for job in lab.jobs.jobs.values()] == [1, 0]
    assert who(lab, "cancelled") == ["ada"]


def test_no_trial_is_stopped_when_one_of_them_can_not_be(lab, command):
    lab.open(trials=2)
    lab.start(0)
    lab.finish(0)
    lab.start(1)

    code, shown = command("stop", "--trial", 0, "--trial", 1, "--trial", 7)

    assert code == 1
    assert "trial 0 has ended: SUCCEEDED" in shown
    assert "no trial 7" in shown
    assert lab.store.trial(lab.experiment, 1).state is TrialState.SUBMITTED


def test_a_trial_that_ends_at_the_moment_it_is_stopped_keeps_its_result(lab, command, monkeypatch):
    lab.open(trials=1)
    lab.start(0)
    seen = lab.store.trials(lab.experiment)
    lab.finish(0)
    monkeypatch.setattr(ExperimentStore, "trials", lambda _self, _experiment: seen)

    code, shown = command("stop", "--trial", 0)

    assert (code, shown.strip()) == (
        0,
        "nothing was left to stop: ended at this moment, or its task was cleared",
    )
    assert lab.store.trial(lab.experiment, 0).state is TrialState.SUCCEEDED


def test_stop_ends_what_runs_and_skips_what_has_not_begun(lab, command):
    lab.open(trials=2)
    lab.start(0)

    assert command("stop")[0] == 0

    assert lab.watcher(0).poll().state is TrialState.CANCELLED
    assert lab.job().stops == 1
    with pytest.raises(NoMoreTrials, match="stopped by ada"):
        lab.start(1)
    assert command("stop")[0] == 1


def test_a_run_that_was_asked_for_before_the_stop_does_not_undo_it(lab, command, workflow):
    lab.open(trials=2)
    command("extend", 2)
    [requested] = workflow.confs

    assert "1 runs that were asked for" in command("stop")[1]

    with pytest.raises(StateError, match="stopped by ada"):
        lab.open(run_id=requested, trials=2, extend=lab.experiment)
    assert lab.store.experiment(lab.experiment).state is ExperimentState.CANCELLED
    command("extend", 2)
    lab.open(run_id=list(workflow.confs)[1], trials=2, extend=lab.experiment)
    assert lab.store.experiment(lab.experiment).state is ExperimentState.RUNNING


def test_a_trial_that_was_cleared_before_the_stop_does_not_train_after_it(lab, command):
    lab.open(trials=1)
    lab.start(0)
    lab.store.move_trial(lab.experiment, 0, epoch=0, to=TrialState.FAILED, reason="broke")
    command("stop")

    with pytest.raises(NoMoreTrials, match="stopped by ada"):
        lab.start(0, max_tries=7)

    assert len(lab.jobs.jobs) == 1
    assert lab.job().stops == 1
    assert lab.store.trial(lab.experiment, 0).epoch == 0


def test_what_still_trains_of_a_search_that_failed_is_stopped(lab, command):
    lab.open(trials=2)
    lab.start(0)
    lab.store.set_experiment_state(lab.experiment, ExperimentState.FAILED, reason="no such metric", by="test")

    code, said = command("stop")

    assert (code, lab.watcher(0).poll().state) == (0, TrialState.CANCELLED)
    assert "1 trials with it" in said
    assert lab.store.experiment(lab.experiment).state is ExperimentState.FAILED
    code, said = command("stop")
    assert (code, "nothing of it runs" in said) == (1, True)


def test_a_paused_search_asks_for_nothing_until_it_is_resumed(lab, command):
    lab.open(trials=2)
    lab.start(0)

    assert command("resume")[0] == 1
    assert command("pause")[0] == 0
    assert command("pause")[0] == 1

    with pytest.raises(AskingPaused):
        lab.start(1)
    assert lab.start(0).number == 0  # a retry of one that has begun
    assert lab.finish(0).state is TrialState.SUCCEEDED
    assert command("resume")[0] == 0
    assert lab.start(1).number == 1


def test_an_extension_of_a_paused_search_does_not_resume_it(lab, command, workflow):
    lab.open(trials=1)
    command("pause")
    assert "they wait for the resume" in command("extend", 2)[1]

    lab.open(run_id=next(iter(workflow.confs)), trials=2, extend=lab.experiment)

    assert lab.store.experiment(lab.experiment).state is ExperimentState.PAUSED


def test_concurrency_is_the_slots_of_the_models_pool(lab, command, workflow):
    lab.open(trials=1)

    assert command("limits", "--concurrency", 3)[0] == 0

    assert workflow.pools == {"movielens_trials": 3}
    assert who(lab, "concurrency_changed") == ["ada"]
    assert command("limits", "--concurrency", 0)[0] == 1


def test_given_parameters_must_be_a_point_of_the_search_space(lab, command, workflow):
    lab.open(trials=1)

    code, shown = command("add", json.dumps({"no_such": 1}))

    assert code == 1
    missing = [key for key in lab.plan.space if f"{key!r} is missing" not in shown]
    assert missing == []
    assert "'no_such' is no key" in shown
    assert workflow.confs == {}


def test_a_point_of_the_search_space_is_added_cloned_and_changed(lab, command, workflow):
    lab.open(trials=1)
    point = {key: values[0] for key, values in lab.plan.space.extremes().items()}

    assert command("add", json.dumps(point))[0] == 0

    run_id, conf = next(iter(workflow.confs.items()))
    assert conf == {"experiment": lab.experiment, "trials": 1, "custom_parameters": [point]}
    opened = lab.open(run_id=run_id, trials=1, extend=lab.experiment, custom_parameters=[point])
    lab.start(0, assignment=opened.assignments[0])
    key, values = next((k, v) for k, v in lab.plan.space.extremes().items() if len(v) > 1)
    assert command("clone", 0, "--change", json.dumps({key: values[1]}))[0] == 0
    assert list(workflow.confs.values())[1]["custom_parameters"] == [{**point, key: values[1]}]
    assert command("clone", 9)[0] == 1
    assert who(lab, "run_requested") == ["ada", "ada"]


def test_failed_trials_are_repeated_as_new_ones_with_the_same_parameters(lab, command, workflow):
    lab.open(trials=2)
    assert "no trial has failed" in command("retry")[1]
    failed = lab.start(0)
    lab.store.move_trial(lab.experiment, 0, epoch=0, to=TrialState.FAILED, reason="broke")
    lab.start(1)

    assert command("retry", "--trial", 1)[0] == 1
    assert command("retry")[0] == 0

    [conf] = workflow.confs.values()
    assert conf["custom_parameters"] == [dict(failed.parameters)]
    assert "not repeated" in command("retry")[1]  # pressed twice
    lab.open(run_id=next(iter(workflow.confs)), extend=lab.experiment, custom_parameters=[failed.parameters])
    lab.start(2, assignment=lab.opened.assignments[0])
    assert command("retry")[0] == 1
    assert len(workflow.confs) == 1
    assert command("retry", "--trial", 0)[0] == 0  # a person who names it wants it


def test_a_search_that_has_ended_is_extended(lab, command, workflow):
    lab.open(trials=1)
    lab.start(0)
    lab.finish(0)
    close_experiment(lab.services, lab.experiment, dag_id="dag", run_id="run", by="test")
    assert command("pause")[0] == 1
    assert command("stop")[0] == 1

    assert command("extend", 2)[0] == 0

    lab.open(run_id=next(iter(workflow.confs)), trials=2, extend=lab.experiment)
    assert lab.store.experiment(lab.experiment).max_trials == 3


def test_after_the_box_was_off_a_watcher_takes_the_ends_as_they_were(lab):
    lab.open(trials=2, max_duration=timedelta(hours=1))
    lab.start(0)
    job = lab.job()
    lab.jobs.run(job.job_id)
    lab.evaluate(job, 10, auc_is_like=0.7, auc_is_love=0.7)
    lab.clock.sleep(600)
    ended_at = lab.clock()
    lab.jobs.succeed(job.job_id)
    lab.clock.sleep(5 * 3600)  # nobody watched

    assert lab.watcher(0).poll().state is TrialState.SUCCEEDED

    step = lab.store.latest_step(lab.experiment, 0, epoch=0)
    assert (step.state, step.ended_at) == (StepState.SUCCEEDED, ended_at)
    with pytest.raises(NoMoreTrials, match="maximum duration"):
        lab.start(1)


def test_a_run_whose_making_was_not_answered_is_asked_for_once(lab, command, workflow):
    lab.open(trials=1)
    workflow.lost = RetryableError("the database went away")
    assert command("extend", 3)[0] == 0  # it is there
    assert len(workflow.confs) == 1

    workflow.refuses = RetryableError("the database is away")
    code, said = command("extend", 5)
    assert code == 1
    assert "ask for the same again" in said
    workflow.refuses = None
    assert command("extend", 5)[0] == 0
    assert [conf["trials"] for conf in workflow.confs.values()] == [3, 5]
    assert who(lab, "run_requested") == ["ada", "ada"]
    assert command("extend", 5)[0] == 0  # another wish, once the first one's run is there
    assert [conf["trials"] for conf in workflow.confs.values()] == [3, 5, 5]
