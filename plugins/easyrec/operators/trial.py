"""One trial of a search as one deferrable task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from easyrec.failures import fails_the_task
from easyrec.operators.job import JobOperator, task_key
from easyrec.triggers.pause import PauseTrigger
from include.errors import AskingPaused, NoMoreTrials

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.store import Trial

_PAUSE_POLL_SECONDS = 3.0


class TrialOperator(JobOperator):
    """Asks for parameters, submits the trial's job, and waits deferred until it has ended.

    Map it over assignments under a pool with ``include_deferred=True``: the pool is the concurrency. An
    early-stopped trial is a successful task, a failed one a failed task.

    :param assignment: what to run, as ``OpenExperimentOperator`` returns it (templated).
    """

    template_fields: Sequence[str] = ("assignment",)

    def __init__(self, *, assignment: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.assignment = assignment

    def resumed(self, context: Context, event: Mapping[str, Any]) -> Any:
        """The pause is over, or the experiment can't be looked at any more."""
        if "error" in event:
            raise AirflowException(event["error"])
        return self.execute(context)

    def execute(self, context: Context) -> Any:
        from easyrec import runtime
        from include.experiments.trial_starter import Assignment, TrialStarter

        ti = context["ti"]
        assignment = Assignment(**self.assignment)
        with fails_the_task():
            services, plan = runtime.services_of(assignment.experiment)
        try:
            trial = TrialStarter(services, plan).start(
                assignment, task=task_key(ti), task_max_tries=ti.max_tries
            )
        except AskingPaused:
            context["trial_label"] = "paused"
            show_label("paused")
            self.defer(
                trigger=PauseTrigger(experiment=assignment.experiment, poll_seconds=_PAUSE_POLL_SECONDS),
                method_name="resumed",
            )
        except NoMoreTrials as error:
            context["trial_label"] = "unused"
            raise AirflowSkipException(str(error)) from error
        except Exception as error:  # noqa: BLE001 (fail raises it again)
            self.fail(context, services, plan.settings, error)
        return self.follow(context, services, plan, trial)

    def outcome(self, context: Context, trial: Trial) -> dict[str, Any]:
        return {"trial": trial.number, "state": trial.state.value, "metric": trial.metric}

    def label(self, context: Context, trial: Trial) -> None:
        context["trial_label"] = label(trial)
        if not trial.state.is_terminal:  # a deferral alone doesn't render it
            show_label(label(trial))


def show_label(text: str) -> None:
    """Sets the label of the running mapped task in the grid now, not at its end."""
    from airflow.sdk.execution_time.comms import SetRenderedMapIndex
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    SUPERVISOR_COMMS.send(msg=SetRenderedMapIndex(rendered_map_index=text))


def label(trial: Trial) -> str:
    """What the grid shows: number, state, metric."""
    metric = "" if trial.metric is None else f" {trial.metric:.4f}"
    return f"#{trial.number} {trial.state.value.lower()}{metric}"
