"""One trial of a search as one deferrable task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from easyrec.triggers.trial import TrialTrigger
from include.errors import EasyRecAutoMLError, NoMoreTrials, PermanentError
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
        from include.store import TaskKey

        ti = context["ti"]
        assignment = Assignment(**self.assignment)
        task = TaskKey(ti.dag_id, ti.run_id, ti.task_id, ti.map_index or 0)
        services, plan = runtime.services_of(assignment.experiment)
        try:
            trial = TrialStarter(services, plan).start(assignment, task=task, task_max_tries=ti.max_tries)
        except NoMoreTrials as error:
            context["trial_label"] = "unused"
            raise AirflowSkipException(str(error)) from error
        except EasyRecAutoMLError as error:
            permanent = isinstance(error, PermanentError)
            if permanent or ti.try_number > ti.max_tries:
                self._give_up(services, plan, task, str(error))
            raise (AirflowFailException if permanent else AirflowException)(str(error)) from error
        if trial.state.is_terminal:
            self._finish(context, trial)
            return
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

        trial = runtime.open_store().trial(event["experiment"], event["trial"])
        if "error" in event and not trial.state.is_terminal:
            raise AirflowException(event["error"])  # the next try watches the same job again
        return self._finish(context, trial)

    def _finish(self, context: Context, trial: Trial) -> dict[str, Any] | None:
        context["trial_label"] = label(trial)
        if trial.state is TrialState.FAILED:
            raise AirflowFailException(f"trial {trial.number} failed: {trial.reason}")
        if trial.state is TrialState.CANCELLED:
            raise AirflowFailException(f"trial {trial.number} was cancelled: {trial.reason}")
        self.log.info("trial %d %s: %s %s", trial.number, trial.state.value, trial.metric, trial.reason)
        return {"trial": trial.number, "state": trial.state.value, "metric": trial.metric}

    def _give_up(self, services: Services, plan: Plan, task: TaskKey, reason: str) -> None:
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
                stop_step(services, step, reason=reason, lookup_seconds=plan.settings.lost_answer_seconds)
            except EasyRecAutoMLError as error:
                self.log.error("step %s may still run; close_experiment stops it: %s", step.id, error)

    def _show(self, text: str) -> None:
        """Label the mapped task in the grid now: a deferral alone doesn't render it."""
        from airflow.sdk.execution_time.comms import SetRenderedMapIndex
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        SUPERVISOR_COMMS.send(msg=SetRenderedMapIndex(rendered_map_index=text))


def label(trial: Trial) -> str:
    """What the grid shows: number, state, metric."""
    metric = "" if trial.metric is None else f" {trial.metric:.4f}"
    return f"#{trial.number} {trial.state.value.lower()}{metric}"
