"""Ends what nobody owns: the one task of ``easyrec_reconcile``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from easyrec.failures import fails_the_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from include.experiments.reconcile import Project, Report
    from include.experiments.settings import ModelSettings
    from include.notices import Notice
    from include.store import ExperimentStore


GRACE_MINUTES, STOP_UNKNOWN = "grace_minutes", "stop_unknown"


class ReconcileOperator(BaseOperator):
    """Compares store, Airflow and MaxCompute, stops jobs without an owner, and closes what ended unseen.

    Returns what was done, in words: ``stopped``, ``closed``, ``left``, ``errors``. Fails when something could not be
    looked at or stopped; the next round tries again. The form's ``grace_minutes``: what changed later than so
    long ago is left for the next round. Its ``stop_unknown``: also stop jobs that the store doesn't know.
    """

    def execute(self, context: Context) -> dict[str, list[str]]:
        from datetime import timedelta

        from easyrec import lease, runtime
        from easyrec.task_state import AirflowTasks
        from include.daily.dead_runs import end_dead_runs
        from include.experiments.reconcile import Reconciler, Report
        from include.experiments.services import utc_now

        grace = timedelta(minutes=context["params"][GRACE_MINUTES])
        with fails_the_task():
            store, report, tasks = runtime.own_store(), Report(), AirflowTasks()
            projects = list(_projects(store, report))
            Reconciler(
                store,
                tasks,
                runtime.services_of_trial,
                projects,
                grace=grace,
                stop_unknown=bool(context["params"].get(STOP_UNKNOWN)),
            ).run(report)
            end_dead_runs(
                store,
                report,
                is_over=tasks.is_over,
                lease_is_dead=lease.is_over,
                now=utc_now(),
                grace=grace,
                tell=_tell,
            )
            self.log.info(
                "%d jobs stopped, %d things done, %d errors",
                len(report.stopped),
                len(report.findings),
                len(report.errors),
            )
            done = report.as_dict()
            context["ti"].xcom_push(key="report", value=done)
            error = report.error()
            if error is not None:
                raise error
        return done


def _projects(store: ExperimentStore, report: Report) -> Iterator[Project]:
    """The MaxCompute project of each connection that a model folder names, once."""
    from easyrec import runtime
    from include.experiments.reconcile import Project

    for conn_id, settings in _connections().items():
        with report.going_on(f"connection {conn_id}"):
            services = runtime.services(settings, store)
            yield Project(f"of connection {conn_id}", services.jobs, services.tell)


def _tell(notice: Notice) -> None:
    """As the settings of the model's folder say; nobody when it is gone."""
    from easyrec.discovery import finetune_models
    from easyrec.notifications import notify

    for model in finetune_models():
        if model.name == notice.model and model.plan is not None:
            notify(model.plan.settings.notify, notice)


def _connections() -> dict[str, ModelSettings]:
    """The first model's settings by MaxCompute connection."""
    from easyrec.discovery import begin_models, finetune_models, finetune_search_models

    found: dict[str, Any] = {}
    for model in (*begin_models(), *finetune_models(), *finetune_search_models()):
        if model.plan is not None:
            found.setdefault(model.plan.settings.maxcompute_conn_id, model.plan.settings)
    return found
