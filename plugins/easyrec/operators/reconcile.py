"""The tasks of ``easyrec_reconcile``: what nobody owns is ended, and runs that gave way are started again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from easyrec.failures import fails_the_task
from easyrec.runs import start_of

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

        from easyrec import runtime, turn
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
                lease_is_dead=turn.is_over,
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


class RunsThatGaveWayOperator(BaseOperator):
    """Which days' runs ended so that an earlier one could begin, and may begin again: that one has begun.

    Returns their ``model``, ``dag_id`` and ``run_id``, the earliest day first.
    """

    def execute(self, context: Context) -> list[dict[str, str]]:
        from easyrec import runtime
        from easyrec.task_state import AirflowTasks

        with fails_the_task():
            given = runtime.own_store().given_places()
        tasks = AirflowTasks()
        may = [each for each in given if tasks.has_failed(each.run) and not tasks.is_queued(each.to)]
        self.log.info("%d of %d runs that gave way may begin again", len(may), len(given))
        return [{"model": g.model, "dag_id": g.run.dag_id, "run_id": g.run.run_id} for g in may]


class StartAgainOperator(BaseOperator):
    """Clears a run that gave way: all of its tasks run again, when Airflow has a place for it.

    :param run: one of what ``RunsThatGaveWayOperator`` returned (templated).
    """

    template_fields = ("run",)

    def __init__(self, *, run: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run

    def execute(self, context: Context) -> None:
        from easyrec import runtime
        from easyrec.task_state import AirflowTasks
        from include.experiments.trial_job import RECONCILE
        from include.store import RunKey

        run = RunKey(self.run["dag_id"], self.run["run_id"])
        with fails_the_task():
            store = runtime.own_store()
            if not AirflowTasks().has_failed(run):
                self.log.info("%s was started again already", run)
                return
            store.return_place(self.run["model"], run=run, by=RECONCILE)
        raise start_of(run.dag_id, run.run_id, again=True)


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
