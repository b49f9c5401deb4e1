"""One trial of a search as one deferrable task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from easyrec.task_state import ENDED, state_of
from easyrec.triggers.trial import TrialTrigger
from include.errors import EasyRecAutoMLError, NoMoreTrials, PermanentError, StaleEpochError
from include.search.trial import TrialState

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.plan import Plan
    from include.experiments.services import Services
    from include.store import TaskKey, Trial


class TrialOperator(BaseOperator):
    """Asks for parameters, submits the trial's job, and waits deferred until it has ended.

    Map it over assignments under a pool with ``include_deferred=True``: the pool is the concurrency. A
    retry watches the job that is already there; a clear stops it and starts a new one (design section 5).
    An early-stopped trial is a successful task, a failed one a failed task.

    :param assignment: what to run, as ``OpenExperimentOperator`` returns it (templated).
    """

    template_fields: Sequence[str] = ("assignment",)

    def __init__(self, *, assignment: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.assignment = assignment

    def execute(self, context: Context) -> None:
        from easyrec import runtime
        from include.experiments.trial_starter import Assignment, TrialStarter

        ti = context["ti"]
        assignment = Assignment(**self.assignment)
        services, plan = runtime.services_of(assignment.experiment)
        try:
            trial = TrialStarter(services, plan).start(
                assignment, task=task_key(ti), task_max_tries=ti.max_tries
            )
        except NoMoreTrials as error:
            context["trial_label"] = "unused"
            raise AirflowSkipException(str(error)) from error
        except StaleEpochError as error:  # the trial belongs to the cleared task's new try
            raise AirflowFailException(str(error)) from error
        except Exception as error:
            permanent = isinstance(error, PermanentError)
            if permanent or is_last_try(ti):
                self._give_up(services, plan, ti, in_words(error))
            if not isinstance(error, EasyRecAutoMLError):
                raise
            raise (AirflowFailException if permanent else AirflowException)(str(error)) from error
        if trial.state.is_terminal:
            self._finish(context, trial)
            return
        self._stop_if_ended(services, plan, ti, trial)
        self._show(label(trial))
        self.defer(
            trigger=TrialTrigger(
                experiment=trial.experiment_id,
                trial=trial.number,
                epoch=trial.epoch,
                poll_seconds=plan.settings.poll_seconds,
            ),
            method_name="resume",
        )

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The trigger has seen the end, or something it can't go on with."""
        from easyrec import runtime

        store = runtime.open_store()
        trial = store.trial(event["experiment"], event["trial"])
        steps = store.steps(trial.experiment_id, trial.number)
        if trial.state.is_terminal and all(step.state.is_terminal for step in steps):
            return self._finish(context, trial)
        reason = event.get("error") or f"trial {trial.number} is still {trial.state.value}"
        if is_last_try(context["ti"]):
            self._give_up(*runtime.services_of(trial.experiment_id), context["ti"], reason)
        raise AirflowException(reason)  # the next try watches the same job again

    def _finish(self, context: Context, trial: Trial) -> dict[str, Any] | None:
        context["trial_label"] = label(trial)
        if trial.state is TrialState.FAILED:
            raise AirflowFailException(f"trial {trial.number} failed: {trial.reason}")
        if trial.state is TrialState.CANCELLED:
            raise AirflowFailException(f"trial {trial.number} was cancelled: {trial.reason}")
        self.log.info("trial %d %s: %s %s", trial.number, trial.state.value, trial.metric, trial.reason)
        return {"trial": trial.number, "state": trial.state.value, "metric": trial.metric}

    def _stop_if_ended(self, services: Services, plan: Plan, ti: Any, trial: Trial) -> None:
        """A user may have ended this task while it asked and submitted: no trigger is there to be told."""
        from include.experiments.trial_watcher import TrialWatcher

        state = state_of(ti)
        if state not in ENDED:
            return
        reason = f"a user ended the task before it was deferred (its state is {state})"
        watcher = TrialWatcher(
            services, plan, experiment=trial.experiment_id, trial=trial.number, epoch=trial.epoch
        )
        watcher.cancel(reason)
        raise AirflowFailException(reason)

    def _give_up(self, services: Services, plan: Plan, ti: Any, reason: str) -> None:
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
                stop_step(services, step, reason=reason, lookup_seconds=plan.settings.lost_answer_seconds)
            except EasyRecAutoMLError as error:
                self.log.error(
                    "job %s may still run; close_experiment stops it: %s", step.job_id or step.id, error
                )

    def _show(self, text: str) -> None:
        """Label the mapped task in the grid now: a deferral alone doesn't render it."""
        from airflow.sdk.execution_time.comms import SetRenderedMapIndex
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        SUPERVISOR_COMMS.send(msg=SetRenderedMapIndex(rendered_map_index=text))


def label(trial: Trial) -> str:
    """What the grid shows: number, state, metric."""
    metric = "" if trial.metric is None else f" {trial.metric:.4f}"
    return f"#{trial.number} {trial.state.value.lower()}{metric}"


def task_key(ti: Any) -> TaskKey:
    """What the store knows the task instance by."""
    from include.store import TaskKey

    return TaskKey(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)


def is_last_try(ti: Any) -> bool:
    """Whether Airflow won't run the task again when it fails now."""
    return bool(ti.try_number > ti.max_tries)


def in_words(error: Exception) -> str:
    """Errors of ours explain themselves; others need at least their class."""
    return str(error) if isinstance(error, EasyRecAutoMLError) else f"{type(error).__name__}: {error}"
