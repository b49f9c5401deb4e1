"""The job of a trial that is already recorded: started once, replaced when it failed, redone on a clear."""

from __future__ import annotations

from include.errors import NotFoundError, StateError
from include.experiments.checkpoints import find_checkpoint
from include.experiments.job_starter import JobStarter, stop_step
from include.experiments.services import Services
from include.experiments.step_results import best_step
from include.experiments.trial_plan import TrialPlan
from include.names import StepId
from include.ports import JobPayload
from include.search.trial import TrialState
from include.store import Step, StepState, Trial
from include.store.trials import CANCELLED

RECONCILE = "reconcile"
"""Who ends a trial whose task is gone."""


class TrialJob:
    def __init__(self, services: Services, plan: TrialPlan) -> None:
        self._services = services
        self._plan = plan
        self._jobs = JobStarter(services, lookup_seconds=plan.settings.lost_answer_seconds)

    def continue_or_end(self, trial: Trial) -> Trial:
        """At the start of a task: the trial with its job running, or as it ended; nothing older runs."""
        self.stop_leftovers(trial)
        return trial if trial.state.is_terminal else self.ensure(trial)

    def ensure(self, trial: Trial) -> Trial:
        """Continue the trial's current attempt, or begin the next one when the current job failed.

        A step that succeeded leads to the next one only when that was decided (the trial waits); until then
        the watcher has to judge it, and the trial comes back as it is. So it does when its last step has ended:
        whoever recorded that died before the trial's own end, which the watcher concludes.
        """
        store = self._services.store
        step = store.latest_step(trial.experiment_id, trial.number, epoch=trial.epoch)
        if step is None:
            self._start_fresh(trial)
        elif step.state is StepState.FAILED:
            self._start_fresh(trial, step=step.id.step, attempt=step.id.attempt + 1)
        elif self.leads_on(trial, step):
            self._start_fresh(trial, step=step.id.step + 1)
        elif step.state.is_terminal:
            return trial
        else:  # as it was recorded: a newer version of this software might render it otherwise
            self._jobs.start(step.id, model_dir=step.model_dir, payload=JobPayload(**step.payload))
        if trial.state is TrialState.WAITING:
            return store.move_trial(
                trial.experiment_id, trial.number, epoch=trial.epoch, to=TrialState.SUBMITTED
            )
        return store.trial(trial.experiment_id, trial.number)

    def leads_on(self, trial: Trial, step: Step) -> bool:
        """Whether the step was judged, and the trial waits for the job of the next one."""
        succeeded = step.state is StepState.SUCCEEDED and trial.state is TrialState.WAITING
        return succeeded and step.id.step + 1 < self._plan.step_count

    def lost_its_task(self, trial: Trial) -> bool:
        """Whether the trial was cancelled because nobody watched it, and not because somebody wanted it so."""
        if trial.state is not TrialState.CANCELLED:
            return False
        events = self._services.store.events(trial.experiment_id, trial=trial.number)
        return next((e.by for e in reversed(events) if e.kind == CANCELLED), "") == RECONCILE

    def is_between_steps(self, trial: Trial) -> bool:
        """Whether the next step has not begun, or could not, and the model to go on from is there.

        False, too, when that model is gone for good: its step has to run again. Raises AccessError and
        RetryableError when that can't be told.
        """
        step = self._services.store.latest_step(trial.experiment_id, trial.number, epoch=trial.epoch)
        # A trial that waits for its next job has no time of a submission.
        waits_or_failed = trial.state in (TrialState.WAITING, TrialState.FAILED)
        if not waits_or_failed and not self.lost_its_task(trial):
            return False
        if trial.submitted_at is not None or step is None:
            return False
        if step.state is not StepState.SUCCEEDED or step.id.step + 1 >= self._plan.step_count:
            return False
        try:
            self._made_by(trial, step.id.step)
        except NotFoundError:
            return False
        return True

    def _start_fresh(self, trial: Trial, *, step: int = 0, attempt: int = 0) -> None:
        step_id = StepId(trial.experiment_id, trial.number, step, epoch=trial.epoch, attempt=attempt)
        checkpoint = self._made_by(trial, step - 1) if step else ""
        rendered = self._plan.render_trial(step_id, trial.parameters, checkpoint=checkpoint)
        if rendered.config_upload is not None:
            url, text = rendered.config_upload
            self._services.objects.write(url, text.encode())
        self._jobs.start(step_id, model_dir=rendered.model_dir, payload=rendered.payload)

    def _made_by(self, trial: Trial, step: int) -> str:
        """Exact checkpoint of a step that succeeded: the one that its result is of."""
        store = self._services.store
        made = store.latest_step(trial.experiment_id, trial.number, step=step, epoch=trial.epoch)
        if made is None or made.state is not StepState.SUCCEEDED:
            raise StateError(f"trial {trial.number} has no model of {self._plan.step_name(step)}")
        try:
            found = find_checkpoint(self._services.objects, made.model_dir, step=self._best(trial, made))
        except NotFoundError as error:
            raise NotFoundError(
                f"the model of {self._plan.step_name(step)} is gone: {error.message}",
                where=error.where,
                hint="clear the task: that day is trained again, and the chain goes on",
            ) from error
        return found.prefix

    def _best(self, trial: Trial, step: Step) -> int | None:
        results = self._services.store.results(trial.experiment_id, trial.number)
        return best_step(self._plan, results, step.id.step)

    def stop_leftovers(self, trial: Trial) -> None:
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
