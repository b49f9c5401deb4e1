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
from include.experiments.plan import Plan
from include.experiments.services import Services
from include.experiments.trial_job import TrialJob
from include.store import TaskKey, Trial

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
        self._job = TrialJob(services, plan)

    def start(self, assignment: Assignment, *, task: TaskKey, task_max_tries: int) -> Trial:
        """The task's trial with its job running, or as it ended if it has ended in this epoch.

        ``task_max_tries`` is Airflow's ``ti.max_tries``: a value that differs from the recorded one
        means that a user cleared the task.

        Raises NoMoreTrials when the experiment's limits allow no further trial or a person has stopped it,
        AskingPaused while a person has paused it, and what reading the model of a cleared chain's last day
        raises: then nothing was cleared, so that no day is trained again for want of a permission.
        """
        trial = self._services.store.trial_of(task)
        if trial is None:
            trial = self._ask_or_give_up(assignment, task, task_max_tries)
        elif trial.task_max_tries != task_max_tries:
            trial = self._begin_anew(trial, task, task_max_tries)
        return self._job.continue_or_end(trial)

    def _begin_anew(self, trial: Trial, task: TaskKey, task_max_tries: int) -> Trial:
        try:
            return self._services.store.begin_epoch(
                trial.experiment_id,
                trial.number,
                task=task,
                task_max_tries=task_max_tries,
                keep_last=self._job.is_between_steps(trial),
                keep_cancelled=self._job.lost_its_task(trial),
            )
        except NoMoreTrials:  # a person stopped the search after the clear
            self._job.stop_leftovers(self._services.store.trial(trial.experiment_id, trial.number))
            raise

    def _ask_or_give_up(self, assignment: Assignment, task: TaskKey, task_max_tries: int) -> Trial:
        """A task that ends without a trial is recorded: a maximum raised later counts on other tasks."""
        while True:
            try:
                return self._ask(assignment, task, task_max_tries)
            except NoMoreTrials as error:
                if isinstance(error.__cause__, ExhaustedError):  # other tasks would get nothing either
                    raise
                try:
                    self._services.store.give_up_task(assignment.experiment, task)
                except StateError:
                    log.info("the limits were changed at this moment: asking again")
                    continue
                raise

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
