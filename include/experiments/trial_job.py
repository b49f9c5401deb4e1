"""The job of a trial that is already recorded: started once, replaced when it failed, redone on a clear."""

from __future__ import annotations

from include.errors import StateError
from include.experiments.job_starter import JobStarter, stop_step
from include.experiments.services import Services
from include.experiments.trial_plan import TrialPlan
from include.names import StepId
from include.ports import JobPayload
from include.search.trial import TrialState
from include.store import StepState, Trial


class TrialJob:
    def __init__(self, services: Services, plan: TrialPlan) -> None:
        self._services = services
        self._plan = plan
        self._jobs = JobStarter(services, lookup_seconds=plan.settings.lost_answer_seconds)

    def continue_or_end(self, trial: Trial) -> Trial:
        """At the start of a task: the trial with its job running, or as it ended; nothing older runs."""
        self._stop_leftovers(trial)
        return trial if trial.state.is_terminal else self.ensure(trial)

    def ensure(self, trial: Trial) -> Trial:
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
