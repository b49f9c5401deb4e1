"""What operators that start a job and wait for it have in common: trials of a search, and single jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from easyrec.links import LINKS
from easyrec.task_state import ENDED, state_of
from easyrec.triggers.trial import TrialTrigger
from include.errors import EasyRecAutoMLError, PermanentError, StaleEpochError
from include.search.trial import TrialState
from include.store import TaskKey

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.services import Services
    from include.experiments.settings import JobSettings
    from include.experiments.trial_plan import TrialPlan
    from include.store import Trial


class JobOperator(BaseOperator):
    """Base: waits deferred for a trial that ``execute`` has started, and says how it ended.

    A retry of the task watches the job that is already there; a clear stops it and starts a new one
    (design section 5). Subclasses implement ``execute`` and ``outcome``.
    """

    operator_extra_links = tuple(LINKS)

    def outcome(self, context: Context, trial: Trial) -> Any:
        """What the task returns for a trial that ended well."""
        raise NotImplementedError

    def label(self, context: Context, trial: Trial) -> None:
        """Show the trial's state where Airflow can show it."""

    def follow(self, context: Context, services: Services, plan: TrialPlan, trial: Trial) -> Any:
        """Wait for the trial's end, or say how it ended if it has."""
        if not trial.state.is_terminal:
            self._stop_if_ended(context, services, plan, trial)
            self.label(context, trial)
            self.defer(
                trigger=TrialTrigger(
                    experiment=trial.experiment_id,
                    trial=trial.number,
                    epoch=trial.epoch,
                    poll_seconds=plan.settings.poll_seconds,
                ),
                method_name="resume",
            )
        return self._finish(context, trial)

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """The trigger has seen the end, or something it can't go on with."""
        from easyrec import runtime

        store = runtime.open_store()
        trial = store.trial(event["experiment"], event["trial"])
        steps = store.steps(trial.experiment_id, trial.number)
        if trial.state.is_terminal and all(step.state.is_terminal for step in steps):
            return self._finish(context, trial)
        reason = event.get("error") or f"trial {trial.number} is still {trial.state.value}"
        if is_last_try(context["ti"]):
            services, plan = runtime.services_of_trial(trial.experiment_id, trial.number)
            self._give_up(services, plan.settings, context["ti"], reason)
        raise AirflowException(reason)  # the next try watches the same job again

    def fail(self, context: Context, services: Services, settings: JobSettings, error: Exception) -> NoReturn:
        """The start did not work: let Airflow try again where that can help, else end the trial."""
        ti = context["ti"]
        if isinstance(error, StaleEpochError):  # the trial belongs to the cleared task's new try
            raise AirflowFailException(str(error)) from error
        permanent = isinstance(error, PermanentError)
        if permanent or is_last_try(ti):
            self._give_up(services, settings, ti, in_words(error))
        if not isinstance(error, EasyRecAutoMLError):
            raise error
        raise (AirflowFailException if permanent else AirflowException)(str(error)) from error

    def _finish(self, context: Context, trial: Trial) -> Any:
        self.label(context, trial)
        if trial.state is TrialState.FAILED:
            raise AirflowFailException(f"trial {trial.number} failed: {trial.reason}")
        if trial.state is TrialState.CANCELLED:
            raise AirflowFailException(f"trial {trial.number} was cancelled: {trial.reason}")
        self.log.info("trial %d %s: %s %s", trial.number, trial.state.value, trial.metric, trial.reason)
        return self.outcome(context, trial)

    def _stop_if_ended(self, context: Context, services: Services, plan: TrialPlan, trial: Trial) -> None:
        """A user may have ended this task while it submitted: no trigger is there to be told."""
        from include.experiments.trial_watcher import TrialWatcher

        state = state_of(context["ti"])
        if state not in ENDED:
            return
        reason = f"a user ended the task before it was deferred (its state is {state})"
        watcher = TrialWatcher(
            services, plan, experiment=trial.experiment_id, trial=trial.number, epoch=trial.epoch
        )
        watcher.cancel(reason)
        raise AirflowFailException(reason)

    def _give_up(self, services: Services, settings: JobSettings, ti: Any, reason: str) -> None:
        """No try is left: nothing may run or stay waiting for a task that will not come back."""
        from include.experiments.job_starter import stop_step

        trial = services.store.trial_of(task_key(ti))
        if trial is None:
            return
        if not trial.state.is_terminal:
            services.store.move_trial(
                trial.experiment_id, trial.number, epoch=trial.epoch, to=TrialState.FAILED, reason=reason
            )
        for step in services.store.steps(trial.experiment_id, trial.number):
            try:
                stop_step(services, step, reason=reason, lookup_seconds=settings.lost_answer_seconds)
            except EasyRecAutoMLError as error:
                job = step.job_id or step.id
                self.log.error("job %s may still run; the run's last task stops it: %s", job, error)


def task_key(ti: Any) -> TaskKey:
    """What the store knows the task instance by: the part that no retry and no clear changes."""
    return TaskKey(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)


def is_last_try(ti: Any) -> bool:
    """Whether Airflow won't run the task again when it fails now."""
    return bool(ti.try_number > ti.max_tries)


def in_words(error: Exception) -> str:
    """Errors of ours explain themselves; others need at least their class."""
    return str(error) if isinstance(error, EasyRecAutoMLError) else f"{type(error).__name__}: {error}"
