"""First and last task of a search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from easyrec.notifications import Kind, Notice, ToldAlready, notify
from include.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.opening import OpenRequest
    from include.experiments.report import Report
    from include.experiments.settings import ModelSettings
    from include.store import ExperimentStore

NEW_BEST = "new_best_told"
"""Event of an experiment: people were told of this best trial."""


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
        from include.experiments.opening import open_experiment, settings_of
        from include.experiments.plan import Plan

        ti = context["ti"]
        try:
            request = open_request(context["params"])
            plan = Plan.load(Path(self.model_folder))
            store = runtime.open_store()
            settings = settings_of(store, plan, request, dag_id=ti.dag_id, run_id=ti.run_id)
            opened = open_experiment(
                runtime.services(settings, store),
                plan,
                request,
                dag_id=ti.dag_id,
                run_id=ti.run_id,
                by=started_by(context),
            )
        except PermanentError as error:
            raise AirflowFailException(str(error)) from error
        for note in opened.notes:
            self.log.warning("%s", note)
        ti.xcom_push(key="experiment", value=opened.experiment.id)
        self.log.info("experiment %s: %d trials", opened.experiment.id, len(opened.assignments))
        return [asdict(a) for a in opened.assignments]


class CloseExperimentOperator(BaseOperator):
    """Stops what is left, names the best trial and publishes report and best config on OSS.

    Tells people of a best trial they were not told of before (``notify`` of ``model.yml``). Fails when no
    trial succeeded or more failed than the model's settings allow.

    :param experiment: id of the experiment (templated).
    """

    template_fields: Sequence[str] = ("experiment",)

    def __init__(self, *, experiment: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment

    def execute(self, context: Context) -> dict[str, Any]:
        from easyrec import runtime
        from include.experiments.closing import close_experiment, stop_run

        ti = context["ti"]
        if not self.experiment or self.experiment == "None":
            # The run may have been cleared while trials ran: their jobs have no task any more.
            store = runtime.open_store()
            stop_run(runtime.services_of, store, dag_id=ti.dag_id, run_id=ti.run_id)
            raise ToldAlready("no experiment was opened: see the log of open_experiment")
        services, plan = runtime.services_of(self.experiment)
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
        tell_of_new_best(services.store, plan.settings, report, context)
        return {
            "experiment": report.experiment,
            "trial": best.number,
            "metric": best.metric,
            "parameters": dict(best.parameters),
            "model_dir": report.best_model_dir,
            "pipeline_config": report.best_config,
            "report": report.prefix + "report.html",
        }


def tell_of_new_best(
    store: ExperimentStore, settings: ModelSettings, report: Report, context: Context
) -> None:
    """Send a notice, unless the last one of this experiment was about the same trial and metric.

    So a cleared or repeated close says nothing twice, and an extension only what is new.
    """
    best = report.best
    assert best is not None
    said = {"trial": best.number, "metric": best.metric}
    before = [e.data for e in store.events(report.experiment) if e.kind == NEW_BEST]
    if before and before[-1] == said:
        return
    compared = f", the config as it is: {_number(report.baseline.metric)}" if report.baseline else ""
    notice = Notice(
        Kind.NEW_BEST,
        report.model,
        title=f"trial {best.number}: {_number(best.metric)}",
        lines=(
            f"experiment: {report.experiment}, {len(report.trials)} trials",
            f"metric: {_number(best.metric)} ({report.optimize_mode}){compared}",
            f"parameters: {json.dumps(best.parameters, ensure_ascii=False)}",
            f"config: {report.best_config}",
            f"report: {report.prefix}report.html",
        ),
        link=context["ti"].log_url,
    )
    notify(settings, notice)
    store.record_event(report.experiment, None, NEW_BEST, by=started_by(context), data=said)


def _number(metric: float | None) -> str:
    return "none" if metric is None else f"{metric:.6g}"


def open_request(params: Mapping[str, Any]) -> OpenRequest:
    """The trigger form, read. Raises ConfigError for a field it can't use."""
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
        max_duration=timedelta(hours=hours) if hours else None,
        seed=params.get("seed"),
        extend=params.get("experiment") or None,
        custom_parameters=tuple(custom),
        baseline=bool(params.get("baseline")),
    )


def started_by(context: Context) -> str:
    """Who triggered the run, for the experiment's history."""
    run = context["dag_run"]
    user = getattr(run, "triggering_user_name", None)
    return f"{user or run.run_type} ({run.run_id})"
