"""What operators that start a job and wait for it have in common: trials of a search, and single jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from easyrec.triggers.trial import TrialTrigger
from include.errors import EasyRecAutoMLError, PermanentError
from include.search.trial import TrialState
from include.store import TaskKey

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.services import Services
    from include.experiments.settings import JobSettings
    from include.store import Trial


class JobOperator(BaseOperator):
    """Base: waits deferred for a trial that ``execute`` has started, and says how it ended.

    A retry of the task watches the job that is already there; a clear stops it and starts a new one
    (design section 5). Subclasses implement ``execute`` and ``outcome``.
    """

    def outcome(self, context: Context, trial: Trial) -> Any:
        """What the task returns for a trial that ended well."""
        raise NotImplementedError

    def label(self, context: Context, trial: Trial) -> None:
        """Show the trial's state where Airflow can show it."""

    def follow(self, context: Context, trial: Trial, settings: JobSettings) -> Any:
        """Wait for the trial's end, or say how it ended if it has."""
        if not trial.state.is_terminal:
            self.defer(
                trigger=TrialTrigger(
                    experiment=trial.experiment_id,
                    trial=trial.number,
                    epoch=trial.epoch,
                    poll_seconds=settings.poll_seconds,
                ),
                method_name="resume",
            )
        return self._finish(context, trial)

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """The trigger has seen the end, or something it can't go on with."""
        from easyrec import runtime

        trial = runtime.open_store().trial(event["experiment"], event["trial"])
        if "error" in event and not trial.state.is_terminal:
            raise AirflowException(event["error"])  # the next try watches the same job again
        return self._finish(context, trial)

    def fail(
        self, context: Context, services: Services, settings: JobSettings, error: EasyRecAutoMLError
    ) -> NoReturn:
        """The start did not work: let Airflow try again where that can help, else end the trial."""
        ti = context["ti"]
        permanent = isinstance(error, PermanentError)
        if permanent or ti.try_number > ti.max_tries:
            self._give_up(services, settings, task_key(ti), str(error))
        raise (AirflowFailException if permanent else AirflowException)(str(error)) from error

    def _finish(self, context: Context, trial: Trial) -> Any:
        self.label(context, trial)
        if trial.state is TrialState.FAILED:
            raise AirflowFailException(f"trial {trial.number} failed: {trial.reason}")
        if trial.state is TrialState.CANCELLED:
            raise AirflowFailException(f"trial {trial.number} was cancelled: {trial.reason}")
        self.log.info("trial %d %s: %s %s", trial.number, trial.state.value, trial.metric, trial.reason)
        return self.outcome(context, trial)

    def _give_up(self, services: Services, settings: JobSettings, task: TaskKey, reason: str) -> None:
        """No try is left: nothing may stay waiting for a task that will not come back."""
        from include.experiments.job_starter import stop_step

        trial = services.store.trial_of(task)
        if trial is None or trial.state.is_terminal:
            return
        services.store.move_trial(
            trial.experiment_id, trial.number, epoch=trial.epoch, to=TrialState.FAILED, reason=reason
        )
        for step in services.store.steps(trial.experiment_id, trial.number):
            try:
                stop_step(services, step, reason=reason, lookup_seconds=settings.lost_answer_seconds)
            except EasyRecAutoMLError as error:
                self.log.error("step %s may still run; the run's last task stops it: %s", step.id, error)


def task_key(ti: Any) -> TaskKey:
    """The part of a task instance that no retry and no clear changes."""
    return TaskKey(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)
