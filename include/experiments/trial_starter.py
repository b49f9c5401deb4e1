"""From a mapped task to a running job: ask, epoch, render, submit.

Safe to call again after any crash: a task that already has a trial keeps its number and parameters, and a
step that already has a job keeps its job (design section 5.2).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import AskConflictError, ExhaustedError, NoMoreTrials, StateError
from include.experiments.job_starter import JobStarter, stop_step
from include.experiments.plan import Plan
from include.experiments.services import Services
from include.names import StepId
from include.ports import JobPayload
from include.search.trial import TrialState
from include.store import StepState, TaskKey, Trial

log = logging.getLogger(__name__)

TUNER = "tuner"
BASELINE = "baseline"
"""A trial that runs the pipeline config as it is, for comparison; the tuner never sees it."""
CUSTOM = "custom"
_CONFLICTS = 50


@dataclass(frozen=True)
class Assignment:
    """What one mapped task is to run: the tuner's choice, or parameters that a person gave."""

    experiment: str
    source: str = TUNER
    parameters: Mapping[str, Any] | None = None


class TrialStarter:
    def __init__(self, services: Services, plan: Plan) -> None:
        self._services = services
        self._plan = plan
        self._jobs = JobStarter(services, lookup_seconds=plan.settings.lost_answer_seconds)

    def start(self, assignment: Assignment, *, task: TaskKey, task_max_tries: int) -> Trial:
        """The task's trial with its job running, or as it ended if it has ended in this epoch.

        ``task_max_tries`` is Airflow's ``ti.max_tries``: a value that differs from the recorded one
        means that a user cleared the task.

        Raises NoMoreTrials when the experiment's limits allow no further trial.
        """
        trial = self._services.store.trial_of(task)
        if trial is None:
            trial = self._ask(assignment, task, task_max_tries)
        elif trial.task_max_tries != task_max_tries:
            trial = self._services.store.begin_epoch(
                trial.experiment_id, trial.number, task=task, task_max_tries=task_max_tries
            )
        self._stop_leftovers(trial)
        return trial if trial.state.is_terminal else self.ensure_job(trial)

    def ensure_job(self, trial: Trial) -> Trial:
        """Continue the trial's current attempt, or begin the next one when the current job failed."""
        store = self._services.store
        step = store.latest_step(trial.experiment_id, trial.number, epoch=trial.epoch)
        if step is None:
            self._start_fresh(trial, attempt=0)
        elif step.state is StepState.FAILED:
            self._start_fresh(trial, attempt=step.id.attempt + 1)
        elif step.state.is_terminal:
            raise StateError(
                f"trial {trial.number} is {trial.state.value} but its job has ended ({step.state.value})"
            )
        else:  # as it was recorded: a newer version of this software might render it otherwise
            self._jobs.start(step.id, model_dir=step.model_dir, payload=JobPayload(**step.payload))
        if trial.state is TrialState.WAITING:
            return store.move_trial(
                trial.experiment_id, trial.number, epoch=trial.epoch, to=TrialState.SUBMITTED
            )
        return store.trial(trial.experiment_id, trial.number)

    def _start_fresh(self, trial: Trial, *, attempt: int) -> None:
        step_id = StepId(trial.experiment_id, trial.number, epoch=trial.epoch, attempt=attempt)
        rendered = self._plan.render_trial(step_id, trial.parameters)
        if rendered.config_upload is not None:
            url, text = rendered.config_upload
            self._services.objects.write(url, text.encode())
        self._jobs.start(step_id, model_dir=rendered.model_dir, payload=rendered.payload)

    def _ask(self, assignment: Assignment, task: TaskKey, task_max_tries: int) -> Trial:
        """Compute a suggestion outside any lock and commit it by compare-and-swap (design section 4)."""
        store = self._services.store
        experiment = store.experiment(assignment.experiment)
        for _ in range(_CONFLICTS):
            store.check_open(experiment.id)
            history = store.history(experiment.id)
            if assignment.parameters is not None:
                parameters = dict(assignment.parameters)
            else:
                try:
                    # Empty parameters are the baseline's: no point of the search space.
                    ended = [r for r in history.ended if r.parameters]
                    pending = [r for r in history.pending if r.parameters]
                    parameters = self._services.make_tuner(self._plan).ask(ended, pending, experiment.seed)
                except ExhaustedError as error:
                    raise NoMoreTrials(error.message, hint=error.hint) from error
            try:
                return store.record_ask(
                    experiment.id,
                    expected_asks=history.asks,
                    task=task,
                    task_max_tries=task_max_tries,
                    parameters=parameters,
                    source=assignment.source,
                    seen=len(history.ended),
                )
            except AskConflictError:
                log.info("another trial asked at the same moment: computing the suggestion again")
        raise AskConflictError(f"{_CONFLICTS} conflicts in a row on the asks of {experiment.id}")

    def _stop_leftovers(self, trial: Trial) -> None:
        """Jobs of epochs before a user's clear, and one that outlived its trial: its stop had failed.

        Looked for at every start, and after the new epoch is recorded: so whatever died or raced in
        between, nothing is left behind and nothing more can be submitted for the old epoch.
        """
        for step in self._services.store.steps(trial.experiment_id, trial.number):
            older = step.id.epoch != trial.epoch
            if older or trial.state.is_terminal:
                reason = "the task was cleared" if older else trial.reason or "the trial has ended"
                seconds = self._plan.settings.lost_answer_seconds
                stop_step(self._services, step, reason=reason, lookup_seconds=seconds)
