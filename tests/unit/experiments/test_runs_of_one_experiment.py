"""Several DAG runs work on one experiment: its own, extensions, and each of them again after a clear."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest

from include.errors import (
    AccessError,
    ConfigError,
    JobFailedError,
    NotFoundError,
    PermanentError,
    ProblemsError,
    RetryableError,
)
from include.experiments.chain_plan import plan_of
from include.experiments.closing import close_experiment, stop_run
from include.experiments.plan import Plan
from include.experiments.settings import ModelSettings
from include.experiments.trial_starter import TrialStarter
from include.search.trial import TrialState
from include.store import ExperimentState, StepState, TaskKey
from tests.support.fakes import MemoryTables
from tests.support.stores import new_experiment

FIRST, SECOND = "run", "run2"


def close(lab, run_id=FIRST):
    return close_experiment(lab.services, lab.experiment, dag_id="dag", run_id=run_id, by="test")


def start(lab, index, *, run_id=FIRST, max_tries=3):
    starter = TrialStarter(lab.services, lab.plan)
    task = TaskKey("dag", run_id, "trial", index)
    return starter.start(lab.opened.assignments[0], task=task, task_max_tries=max_tries)


def fail(lab, number):
    """Both jobs of a trial fail."""
    watcher = lab.watcher(number)
    while (trial := watcher.poll()).state is not TrialState.FAILED:
        step = lab.store.latest_step(lab.experiment, number, epoch=trial.epoch)
        lab.jobs.fail(step.job_id, "ODPS-0130131: table not found")
    return trial


def state(lab) -> ExperimentState:
    return lab.store.experiment(lab.experiment).state


class TestExtension:
    """``trigger again with experiment = its id``, while the first run is still at work."""

    def test_goes_on_after_the_first_run_was_closed(self, lab):
        """With one slot its tasks wait behind those of the first run: none runs when that one closes."""
        first = lab.open(trials=1)
        start(lab, 0)
        lab.open(run_id=SECOND, trials=1, extend=first.experiment.id)
        lab.finish(0)

        close(lab, FIRST)
        trial = start(lab, 0, run_id=SECOND)

        assert trial.number == 1
        assert state(lab) is ExperimentState.RUNNING
        lab.finish(1)
        close(lab, SECOND)
        assert state(lab) is ExperimentState.FINISHED

    def test_goes_on_when_the_first_run_had_no_success(self, lab):
        first = lab.open(trials=1)
        start(lab, 0)
        lab.open(run_id=SECOND, trials=1, extend=first.experiment.id)
        fail(lab, 0)
        with pytest.raises(JobFailedError):
            close(lab, FIRST)

        start(lab, 0, run_id=SECOND)

        assert state(lab) is ExperimentState.RUNNING

    def test_that_is_opened_twice_at_once_with_another_gives_both_their_trials(self, lab):
        """Both read the old limit before either sets its own."""
        first = lab.open(trials=1)
        store, experiment = lab.services.store, first.experiment

        with mock.patch.object(store, "experiment", autospec=True, return_value=experiment):
            lab.open(run_id=SECOND, trials=2, extend=experiment.id)
            lab.open(run_id="run3", trials=4, extend=experiment.id)

        assert store.experiment(experiment.id).max_trials == 7

    def test_checks_the_outside_as_an_opening_does(self, lab):
        first = lab.open(trials=1)
        lab.services = replace(lab.services, tables=MemoryTables({}, projects=["sandbox"]))
        lab.plan = replace(
            lab.plan, settings=ModelSettings(pool="elsewhere")
        )  # of the folder: its tasks use it

        with pytest.raises(ProblemsError) as caught:
            lab.open(run_id=SECOND, trials=1, extend=first.experiment.id)

        assert "ratings_train" in str(caught.value)
        assert "airflow pools set elsewhere" in str(caught.value)
        assert lab.store.experiment(first.experiment.id).max_trials == 1

    def test_is_refused_when_the_config_on_oss_is_another_one_now(self, lab):
        """The jobs would run the new one; results, best config and dry runs are of the old."""
        first = lab.open(trials=1)
        url = lab.plan.job.parameters["config"]
        lab.objects.write(url, lab.objects.read(url) + b"\n# changed\n")

        with pytest.raises(ProblemsError, match="changed since"):
            lab.open(run_id=SECOND, trials=1, extend=first.experiment.id)

    def test_by_a_patched_config_does_not_need_the_one_on_oss(self, lab):
        texts = {**lab.plan.texts, "model.yml": "parameters_via: patched_config\n"}
        lab.plan = Plan.from_snapshot({**lab.plan.snapshot(), "texts": texts})
        first = lab.open(trials=1)
        lab.objects.write(lab.plan.job.parameters["config"], b"# changed\n")

        assert lab.open(run_id=SECOND, trials=1, extend=first.experiment.id).assignments

    def test_of_another_kind_is_refused(self, lab):
        """Whoever may run this DAG may not run the other one; and nobody would look for its runs there."""
        dag_id = "finetune_search_movielens"
        other = new_experiment(
            "movielens-1", model="movielens", kind="finetune", dag_id=dag_id, snapshot=lab.plan.snapshot()
        )
        lab.store.create_experiment(other)

        with pytest.raises(ConfigError, match="belongs to the DAG finetune_search_movielens"):
            lab.open(run_id=SECOND, trials=1, extend="movielens-1")

    def test_of_a_single_job_is_refused(self, lab):
        job = new_experiment("movielens-1", model="movielens", kind="job", snapshot={"command": "train"})
        experiment = lab.store.create_experiment(job)

        with pytest.raises(ConfigError):
            lab.open(run_id=SECOND, trials=1, extend="movielens-1")
        with pytest.raises(ConfigError, match="single job"):
            plan_of(experiment.snapshot)

    def test_with_another_seed_is_refused(self, lab):
        first = lab.open(trials=1, seed=5)

        with pytest.raises(ConfigError, match="seed 5"):
            lab.open(run_id=SECOND, trials=1, seed=6, extend=first.experiment.id)

        lab.open(run_id=SECOND, trials=1, seed=5, extend=first.experiment.id)


class TestClear:
    def test_of_the_trials_of_a_failed_search_ends_as_a_success(self, lab):
        """A right was missing; it is granted and the trials are cleared."""
        lab.open(trials=1)
        start(lab, 0)
        fail(lab, 0)
        with pytest.raises(JobFailedError):
            close(lab)
        start(lab, 0, max_tries=7)
        job = list(lab.jobs.jobs.values())[-1]
        lab.jobs.run(job.job_id)
        lab.evaluate(job, 10, auc_is_like=0.7, auc_is_love=0.7)
        lab.jobs.succeed(job.job_id)
        lab.watcher(0, epoch=1).poll()

        assert close(lab).best.number == 0
        assert state(lab) is ExperimentState.FINISHED

    def test_of_the_best_trial_that_fails_then_names_another_and_removes_a_best_config_of_none(self, lab):
        lab.open(trials=2)
        start(lab, 0)
        lab.finish(0)
        report = close(lab)
        assert lab.objects.info(report.best_config) is not None
        start(lab, 0, max_tries=7)
        lab.watcher(0, epoch=1).cancel("a user")

        with pytest.raises(JobFailedError):
            close(lab)

        assert lab.objects.info(report.best_config) is None
        assert state(lab) is ExperimentState.FAILED

    def test_of_the_whole_run_opens_the_search_again(self, lab):
        """Trials that were never asked before must be asked now, within a time of their own."""
        lab.open(trials=2, max_duration=timedelta(hours=1))
        start(lab, 0)
        fail(lab, 0)
        with pytest.raises(JobFailedError):
            close(lab)
        lab.clock.time += timedelta(days=1)

        lab.open(trials=2, max_duration=timedelta(hours=1))

        assert state(lab) is ExperimentState.RUNNING
        assert start(lab, 1).number == 1

    def test_of_the_whole_run_keeps_the_files_of_the_search_and_says_so(self, lab):
        lab.open(trials=2)
        kept, lab.plan = (
            lab.plan,
            replace(lab.plan, texts={**lab.plan.texts, "model.yml": "poll_seconds: 9\n"}),
        )

        again = lab.open(trials=2)

        assert again.experiment.snapshot["texts"] == kept.texts
        assert any("model.yml" in note and "new run" in note for note in again.notes)

    def test_of_an_extension_run_counts_its_trials_once(self, lab):
        first = lab.open(trials=1)
        start(lab, 0)
        lab.finish(0)
        close(lab)
        for _ in range(2):
            extended = lab.open(run_id=SECOND, trials=2, extend=first.experiment.id)
            assert extended.experiment.max_trials == 3
            assert state(lab) is ExperimentState.RUNNING
            close(lab, SECOND)
            assert state(lab) is ExperimentState.FINISHED

    def test_an_open_that_is_only_retried_moves_no_deadline(self, lab):
        before = lab.open(trials=2, max_duration=timedelta(hours=1)).experiment
        lab.clock.time += timedelta(minutes=10)

        assert lab.open(trials=2, max_duration=timedelta(hours=1)).experiment.deadline == before.deadline


class TestClosing:
    def leave_two_running(self, lab) -> None:
        lab.open(trials=3)
        start(lab, 0)
        lab.finish(0)
        for number in (1, 2):
            start(lab, number)
            lab.jobs.run(lab.job(number).job_id)

    @pytest.mark.parametrize("error", [AccessError("no right"), NotFoundError("no such job")])
    def test_a_job_that_can_not_be_stopped_keeps_nothing_else_from_being_done(self, lab, error):
        self.leave_two_running(lab)
        stop = lab.jobs.stop

        def refuse_one(job_id):
            if job_id == lab.job(1).job_id:
                raise error
            stop(job_id)

        with (
            mock.patch.object(lab.jobs, "stop", autospec=True, side_effect=refuse_one),
            pytest.raises(PermanentError, match=f"{lab.job(1).job_id} may still run"),
        ):
            close(lab)

        assert lab.job(2).stops == 1
        prefix = f"{lab.plan.base_dir}/{lab.experiment}_report/"
        assert json.loads(lab.objects.read(prefix + "report.json"))["best"]["number"] == 0
        assert close(lab).best.number == 0  # repeated: stops what is left
        assert lab.job(1).stops == 1

    def test_trouble_that_may_pass_while_stopping_is_retryable_after_all_else_is_done(self, lab):
        self.leave_two_running(lab)

        with (
            mock.patch.object(lab.jobs, "stop", autospec=True, side_effect=RetryableError("503")) as stop,
            pytest.raises(RetryableError, match="may still run"),
        ):
            close(lab)

        assert stop.call_count == 2

    def test_the_published_report_says_how_the_search_ended(self, lab):
        lab.open(trials=1)
        start(lab, 0)
        lab.finish(0)

        report = close(lab)

        assert json.loads(lab.objects.read(report.prefix + "report.json"))["state"] == "FINISHED"

    def test_a_search_that_a_wrong_metric_ended_fails_with_that_reason_though_a_trial_succeeded(self, lab):
        lab.open(trials=2)
        for number in (0, 1):
            start(lab, number)
        lab.finish(0)
        job = lab.job(1)
        lab.jobs.run(job.job_id)
        lab.objects.write(
            job.payload.parameters["model_dir"] + "/pipeline.config", lab.plan.pipeline_config.encode()
        )
        lab.evaluate(job, 10, auc_is_like=0.7, auc_is_love=0.7)
        lab.watcher(1).poll()

        with pytest.raises(JobFailedError, match="other parameters"):
            close(lab)

        assert state(lab) is ExperimentState.FAILED

    def test_a_trial_refused_by_an_ended_search_says_what_ended_it(self, lab):
        lab.open(trials=2)
        start(lab, 0)
        fail(lab, 0)
        with pytest.raises(JobFailedError):
            close(lab)

        with pytest.raises(PermanentError, match="table not found"):
            start(lab, 1)

    def test_of_a_search_that_a_person_cancelled_leaves_it_cancelled(self, lab):
        lab.open(trials=1)
        start(lab, 0)
        lab.finish(0)
        lab.store.set_experiment_state(lab.experiment, ExperimentState.CANCELLED, reason="enough", by="ada")

        close(lab)

        assert state(lab) is ExperimentState.CANCELLED

    def test_a_run_whose_experiment_is_not_known_any_more_stops_its_jobs(self, lab):
        """The whole run was cleared while trials ran, and opening failed this time."""
        self.leave_two_running(lab)

        stop_run(lambda _: (lab.services, lab.plan), lab.store, dag_id="dag", run_id=FIRST)

        assert [lab.job(n).stops for n in (1, 2)] == [1, 1]
        assert lab.store.trial(lab.experiment, 1).state is TrialState.CANCELLED
        assert all(s.state is not StepState.RUNNING for s in lab.store.steps(lab.experiment))
