"""First and last task of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from easyrec.assets import begin_best
from easyrec.callbacks import ToldAlready
from easyrec.failures import fails_the_task
from include.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Context

    from include.experiments.opening import Opened, OpenRequest
    from include.experiments.plan import Plan
    from include.experiments.services import Services


class OpenExperimentOperator(BaseOperator):
    """Checks everything, then creates (or extends) the experiment of this DAG run.

    Returns one assignment per trial, for ``TrialOperator.expand(assignment=…)``. Nothing was submitted
    when it fails; the message lists every problem.

    :param model_folder: path of the model's folder.
    """

    def __init__(self, *, model_folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_folder = model_folder

    def execute(self, context: Context) -> list[dict[str, Any]]:
        from pathlib import Path

        from easyrec import runtime
        from easyrec.notifications import check
        from include.experiments.opening import settings_of

        ti = context["ti"]
        try:
            request = open_request(context["params"])
            plan = self.load(Path(self.model_folder))
            store = runtime.own_store()
            settings = settings_of(store, plan, request, dag_id=ti.dag_id, run_id=ti.run_id)
            check(settings.notify)
            opened = self.open(runtime.services(settings, store), plan, request, context)
        except PermanentError as error:
            raise AirflowFailException(str(error)) from error
        for note in opened.notes:
            self.log.warning("%s", note)
        ti.xcom_push(key="experiment", value=opened.experiment.id)
        self.log.info("experiment %s: %d trials", opened.experiment.id, len(opened.assignments))
        return [asdict(a) for a in opened.assignments]

    def load(self, folder: Path) -> Plan:
        """The model's files, as they are now."""
        from include.experiments.plan import Plan

        return Plan.load(folder)

    def open(self, services: Services, plan: Any, request: OpenRequest, context: Context) -> Opened:
        """Check and record the experiment."""
        from include.experiments.opening import open_experiment

        return open_experiment(services, plan, request, **whose(context))


class CloseExperimentOperator(BaseOperator):
    """Stops what is left, names the best trial and publishes report and best config on OSS.

    Tells people how it ended (``notify`` of ``model.yml``). Fails when no trial succeeded or more failed than
    the model's settings allow.

    :param model: name of the model, whose asset is updated.
    :param experiment: id of the experiment (templated).
    :param begins_chains: whether a daily chain may start from the best model: then the asset is updated.
    """

    template_fields: Sequence[str] = ("experiment",)

    def __init__(self, *, model: str, experiment: str, begins_chains: bool = True, **kwargs: Any) -> None:
        super().__init__(outlets=[begin_best(model)] if begins_chains else [], **kwargs)
        self.begins_chains = begins_chains
        self.model = model
        self.experiment = experiment

    def execute(self, context: Context) -> dict[str, Any]:
        from easyrec import runtime
        from include.experiments.closing import close_experiment, stop_run

        ti = context["ti"]
        with fails_the_task():
            if not self.experiment or self.experiment == "None":
                # The run may have been cleared while trials ran: their jobs have no task any more.
                store = runtime.own_store()
                stop_run(runtime.services_of, store, dag_id=ti.dag_id, run_id=ti.run_id)
                raise ToldAlready("no experiment was opened: see the log of open_experiment")
            services, _ = runtime.services_of(self.experiment)
        try:
            report = close_experiment(
                services, self.experiment, dag_id=ti.dag_id, run_id=ti.run_id, by=started_by(context)
            )
        except PermanentError as error:
            raise AirflowFailException(str(error)) from error
        best = report.best
        assert best is not None  # close_experiment raises otherwise
        self.log.info("best trial %d: %s with %s", best.number, best.metric, best.parameters)
        self.log.info("report: %sreport.html, best config: %s", report.prefix, report.best_config)
        if self.begins_chains:
            context["outlet_events"][begin_best(self.model)].extra = {
                "experiment": report.experiment,
                "metric": best.metric,
                "model_dir": report.best_model_dir,
                "pipeline_config": report.best_config,
            }
        return {
            "experiment": report.experiment,
            "trial": best.number,
            "metric": best.metric,
            "parameters": dict(best.parameters),
            "model_dir": report.best_model_dir,
            "pipeline_config": report.best_config,
            "report": report.prefix + "report.html",
        }


def open_request(params: Mapping[str, Any]) -> OpenRequest:
    """The trigger form, read. Raises ConfigError for a field it can't use."""
    from include.experiments.limits import duration
    from include.experiments.opening import OpenRequest

    hours = params.get("max_duration_hours")
    custom = params.get("custom_parameters") or []
    custom = [custom] if isinstance(custom, Mapping) else custom
    if not all(isinstance(one, Mapping) for one in custom):
        raise ConfigError(
            "custom_parameters is not a list of parameter sets",
            where="form field custom_parameters",
            hint='[{"<key of the search space>": <value>, …}, …]',
        )
    return OpenRequest(
        trials=params.get("trials"),
        max_duration=None if hours is None else duration(hours),
        seed=params.get("seed"),
        extend=params.get("experiment") or None,
        custom_parameters=tuple(custom),
        baseline=bool(params.get("baseline")),
    )


def whose(context: Context) -> dict[str, str]:
    """The run that opens an experiment, and who triggered it."""
    ti = context["ti"]
    return {"dag_id": ti.dag_id, "run_id": ti.run_id, "by": started_by(context)}


def started_by(context: Context) -> str:
    """Who triggered the run, for the experiment's history."""
    run = context["dag_run"]
    user = getattr(run, "triggering_user_name", None)
    run_type = getattr(run.run_type, "value", run.run_type)  # an enum of Airflow's in real runs
    return f"{user or run_type} ({run.run_id})"
