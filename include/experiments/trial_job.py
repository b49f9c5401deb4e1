"""The job of a trial that is already recorded: started once, replaced when it failed, redone on a clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.errors import StateError
from include.experiments.job_starter import JobStarter, stop_step
from include.experiments.services import Services
from include.experiments.trial_plan import TrialPlan
from include.names import StepId
from include.search.trial import TrialState
from include.store import StepState, TaskKey, Trial


class TrialJob:
    def __init__(self, services: Services, plan: TrialPlan) -> None:
        self._services = services
        self._plan = plan

    def ensure(self, trial: Trial) -> Trial:
        """Continue the trial's current attempt, or begin the next one when the current job failed."""
        store = self._services.store
        step = store.latest_step(trial.experiment_id, trial.number, epoch=trial.epoch)
        attempt = 0 if step is None else step.id.attempt
        if step is not None and step.state.is_terminal:
            if step.state is not StepState.FAILED:
                raise StateError(
                    f"trial {trial.number} is {trial.state.value} but its job has ended ({step.state.value})"
                )
            attempt += 1
        step_id = StepId(trial.experiment_id, trial.number, epoch=trial.epoch, attempt=attempt)
        rendered = self._plan.render_trial(step_id, trial.parameters)
        if rendered.config_upload is not None:
            url, text = rendered.config_upload
            self._services.objects.write(url, text.encode())
        starter = JobStarter(self._services, lookup_seconds=self._plan.settings.lost_answer_seconds)
        starter.start(
            step_id,
            model_dir=rendered.model_dir,
            payload=rendered.payload,
            makes_model=rendered.makes_model,
        )
        if trial.state is TrialState.WAITING:
            return store.move_trial(
                trial.experiment_id, trial.number, epoch=trial.epoch, to=TrialState.SUBMITTED
            )
        return store.trial(trial.experiment_id, trial.number)

    def begin_epoch(
        self,
        trial: Trial,
        *,
        task: TaskKey,
        task_max_tries: int,
        parameters: Mapping[str, Any] | None = None,
    ) -> Trial:
        """A user cleared the task: stop what older epochs left running, then start over.

        ``parameters``: the trial's from now on; None keeps them.
        """
        for step in self._services.store.steps(trial.experiment_id, trial.number):
            stop_step(
                self._services,
                step,
                reason="the task was cleared",
                lookup_seconds=self._plan.settings.lost_answer_seconds,
            )
        return self._services.store.begin_epoch(
            trial.experiment_id,
            trial.number,
            task=task,
            task_max_tries=task_max_tries,
            parameters=parameters,
        )
