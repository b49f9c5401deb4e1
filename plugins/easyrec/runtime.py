"""From Airflow connections to ports: the one place where clients are put together."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.notifications import notify
from include.errors import ConfigError, ProblemsError
from include.experiments.chain_plan import plan_of
from include.experiments.plan import Plan
from include.experiments.settings import JobSettings, ModelSettings

if TYPE_CHECKING:
    from include.adapters.connections import MaxComputeCredentials, OssCredentials
    from include.daily.config_files import ConfigFiles
    from include.experiments.services import Services
    from include.experiments.trial_plan import TrialPlan
    from include.experiments.trial_watcher import TrialWatcher
    from include.ports import ObjectStore, TableCatalog
    from include.store import ExperimentStore

log = logging.getLogger(__name__)

STORE_CONN_ID = "easyrec_store"
_LOCAL_EXECUTORS = {"LocalExecutor", "SequentialExecutor"}


def open_store(get_connection: Callable[[str], Any] | None = None) -> ExperimentStore:
    """The experiment store: the connection ``easyrec_store`` (Postgres), else a SQLite file in AIRFLOW_HOME.

    ``get_connection``: how a component looks connections up; without it, the way of tasks and triggers.
    Raises ConfigError for SQLite with an executor whose workers may run on other machines.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        url = (get_connection or _connection)(STORE_CONN_ID).get_uri()
    except AirflowNotFoundException:
        url = _sqlite_url()
    return _open(url)


def own_store() -> ExperimentStore:
    """The experiment store for tasks that start, change or stop something, not only look.

    Raises StateError, with what to do, when another Airflow uses it or the one that this is a copy of.
    """
    from easyrec.installation import AirflowInstallation
    from include.experiments.installation import refuse_foreign

    store = open_store()
    refuse_foreign(store, AirflowInstallation())
    return store


def services(settings: JobSettings, store: ExperimentStore | None = None) -> Services:
    """Real clients of a model's connections. Raises ConfigError or ProblemsError with what they lack.

    Without a ``store`` it is ``own_store``, with its errors.
    """
    from include.adapters import engines
    from include.adapters.maxcompute import MaxComputeJobs, MaxComputeTables
    from include.adapters.oss import OssObjects
    from include.experiments.services import Services

    maxcompute, oss = _both(settings)
    return Services(
        store=store or own_store(),
        jobs=MaxComputeJobs(maxcompute),
        objects=OssObjects(oss),
        tables=MaxComputeTables(maxcompute),
        make_tuner=engines.make_tuner,
        make_assessor=engines.make_assessor,
        tell=functools.partial(notify, settings.notify if isinstance(settings, ModelSettings) else None),
    )


def objects(settings: JobSettings) -> ObjectStore:
    """OSS alone, for what needs no more."""
    from include.adapters.oss import OssObjects

    return OssObjects(_oss(settings))


def tables(settings: JobSettings) -> TableCatalog:
    """MaxCompute's tables alone."""
    from include.adapters.maxcompute import MaxComputeTables

    return MaxComputeTables(_maxcompute(settings))


def services_of(experiment_id: str) -> tuple[Services, Plan]:
    """Clients and plan of a search that exists, from what was kept when it was opened. Raises as ``own_store``."""
    store = own_store()
    plan = plan_of(store.experiment(experiment_id).snapshot)
    return services(plan.settings, store), plan


def services_of_trial(
    experiment_id: str, trial: int, store: ExperimentStore | None = None
) -> tuple[Services, TrialPlan]:
    """Clients and plan of a trial of a search, or of a single job, from what is recorded of it."""
    from include.experiments.job_plan import JobPlan
    from include.experiments.single_job import KIND

    store = store or open_store()
    experiment = store.experiment(experiment_id)
    plan: TrialPlan
    if experiment.kind == KIND:
        plan = JobPlan.of_trial(store.trial(experiment_id, trial).parameters)
    else:
        plan = plan_of(experiment.snapshot)
    return services(plan.settings, store), plan


def watcher(experiment_id: str, trial: int, epoch: int) -> TrialWatcher:
    """What follows a trial while its task is deferred."""
    from include.experiments.trial_watcher import TrialWatcher

    known, plan = services_of_trial(experiment_id, trial)
    return TrialWatcher(known, plan, experiment=experiment_id, trial=trial, epoch=epoch)


def _both(settings: JobSettings) -> tuple[MaxComputeCredentials, OssCredentials]:
    """Raises what is wrong with either connection, ProblemsError when both are wrong."""
    found: list[Any] = []
    problems: list[ConfigError] = []
    for credentials in (_maxcompute, _oss):
        try:
            found.append(credentials(settings))
        except ConfigError as error:
            problems.append(error)
    if len(problems) > 1:
        raise ProblemsError("the connections can't be used", [str(p) for p in problems])
    if problems:
        raise problems[0]
    maxcompute, oss = found
    return maxcompute, oss


def _oss(settings: JobSettings) -> OssCredentials:
    from include.adapters.connections import OssCredentials

    return OssCredentials.from_extra(settings.oss_conn_id, _extra(settings.oss_conn_id, "oss"))


def _maxcompute(settings: JobSettings) -> MaxComputeCredentials:
    from include.adapters.connections import MaxComputeCredentials

    conn_id = settings.maxcompute_conn_id
    return MaxComputeCredentials.from_extra(conn_id, _extra(conn_id, "maxcompute"))


def _sqlite_url() -> str:
    from airflow.configuration import conf

    executors = {e.strip() for e in conf.get("core", "executor").split(",")}
    if not executors <= _LOCAL_EXECUTORS:
        raise ConfigError(
            f"the experiment store would be a SQLite file, but executor {', '.join(sorted(executors))} "
            "may run tasks on other machines",
            hint=f"create the Airflow connection {STORE_CONN_ID} to a Postgres database",
        )
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return f"sqlite:///{home / 'easyrec_automl.db'}"


@functools.lru_cache(maxsize=4)
def _open(url: str) -> ExperimentStore:
    from include.store import ExperimentStore

    return ExperimentStore.open(url)


def _connection(conn_id: str) -> Any:
    from airflow.sdk import Connection

    return Connection.get(conn_id)


def _extra(conn_id: str, conn_type: str) -> dict[str, Any]:
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = _connection(conn_id)
    except AirflowNotFoundException as error:
        raise ConfigError(
            f"there is no Airflow connection {conn_id!r}",
            hint=f"airflow connections add {conn_id} --conn-type {conn_type} --conn-extra '{{…}}', "
            "or python -m include.cli import-connections <ini>",
        ) from error
    return dict(connection.extra_dejson)


def config_files(settings: JobSettings) -> ConfigFiles:
    """Config files on OSS (by the settings' connection) or on disk."""
    from include.daily.config_files import ConfigFiles

    return ConfigFiles(lambda: objects(settings))
