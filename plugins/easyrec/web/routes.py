"""What can be read. Each route needs read access to the DAG that the experiment belongs to."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from easyrec.discovery import adoption_dag, models_dir
from easyrec.web.access import Airflow, Readable, Store, TheirRights
from easyrec.web.recent import Recent
from include.daily.plan import FinetunePlan
from include.errors import EasyRecAutoMLError, NotFoundError
from include.experiments.closing import report_of_store
from include.experiments.control import pool_of
from include.experiments.report import to_html
from include.pages import changes, experiments, figures, runs
from include.pages import days as day_views
from include.pages import trials as trial_views
from include.ports import Workflow
from include.search.trial import TrialState
from include.store import SEARCHES, Experiment, ExperimentStore, TaskKey

router = APIRouter(tags=["read"])
_drawn = Recent[dict[str, Any]](32)
"""Plots of the newest versions: several people look at one search."""
_pools = Recent[str](1000)
"""By experiment: it is asked for every two seconds, and never changes."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


@router.get("/experiments")
def list_experiments(store: Store, rights: TheirRights, model: str | None = None) -> dict[str, Any]:
    """Searches that you may read, newest first."""
    version = changes.version_of_all(store)
    return {"version": version, **experiments.experiment_list(store, rights.may_read, model)}


@router.get("/version")
def version_of_all(store: Store, rights: TheirRights) -> dict[str, str]:  # noqa: ARG001 (logged-in people only)
    """Changes when anything does."""
    return {"version": changes.version_of_all(store)}


@router.get("/experiments/{experiment}/version")
def version(found: Readable, store: Store, airflow: Airflow) -> dict[str, str]:
    """Changes when the experiment or its pool does: cheap, for polling."""
    return {"version": _version(found, store, airflow)}


def _version(found: Experiment, store: ExperimentStore, airflow: Workflow) -> str:
    """People change pools in Airflow's own pages, which leaves no trace in the store."""
    seen = changes.version(store, found.id)
    if found.kind not in SEARCHES:
        return seen
    pool = _pools.get((store.uuid, found.id), lambda: pool_of(found))
    return f"{seen}-{airflow.pool_slots(pool)}"


@router.get("/experiments/{experiment}")
def overview(found: Readable, store: Store, airflow: Airflow, rights: TheirRights) -> dict[str, Any]:
    """State, limits, progress, best, training time used and saved."""
    seen = _version(found, store, airflow)  # before the rest: what comes meanwhile is asked for again
    data = experiments.overview(store, found.id, _now(), airflow.pool_slots)
    return {"version": seen, "may_change": rights.may_change(found.dag_id), **data}


@router.get("/experiments/{experiment}/happenings")
def happenings(found: Readable, store: Store) -> dict[str, Any]:
    """Who changed what and when, newest first."""
    return {"happenings": experiments.happenings(store, found.id)}


@router.get("/experiments/{experiment}/files")
def files(found: Readable, store: Store) -> dict[str, Any]:
    """The user's files as they were when the experiment was opened."""
    return experiments.files(store, found.id)


@router.get("/experiments/{experiment}/trials")
def trials(found: Readable, store: Store) -> dict[str, Any]:
    """All trials; ``parameters`` and ``metrics`` name the columns of the lists in each row."""
    return experiments.trial_table(store, found.id, _now())


@router.get("/experiments/{experiment}/plots/{name}")
def plot(
    found: Readable,
    store: Store,
    name: str,
    parameter: Annotated[list[str], Query()] = [],  # noqa: B006 (FastAPI copies it)
    trials: Annotated[str, Query(pattern=r"^(\d{1,9}(,\d{1,9})*)?$")] = "",
) -> dict[str, Any]:
    """A plotly figure: best, intermediate, parallel, importance, slice, contour or timeline.

    ``trials``: their numbers, with commas (``intermediate`` only). ``parameter``: may be given several times;
    what is too much for one plot is left out, and ``left_out`` says how many.
    """
    numbers = [int(n) for n in trials.split(",") if n]
    version = changes.version(store, found.id)
    key = (found.id, version, name, tuple(parameter), tuple(numbers))

    def draw() -> dict[str, Any]:
        return figures.figure(store, found.id, name, parameters=parameter, trials=numbers, now=_now())

    # The timeline's jobs that run go on until now: no version tells that.
    return draw() if name == "timeline" else _drawn.get(key, draw)


@router.get("/experiments/{experiment}/trials/{number}")
def trial(found: Readable, store: Store, number: int, rights: TheirRights) -> dict[str, Any]:
    """One trial: curves, parameters, config diff, jobs, events."""
    data = trial_views.trial_page(store, found.id, number, _now())
    may_change = rights.may_change(found.dag_id)
    fit = (
        found.kind == "finetune" and data["state"] == TrialState.SUCCEEDED.value and bool(data["parameters"])
    )
    may_adopt = may_change and fit and rights.may_change(adoption_dag(found.model))
    return {"may_change": may_change, "may_adopt": may_adopt, **data}


@router.get("/experiments/{experiment}/summary.json")
def summary_json(found: Readable, store: Store) -> Response:
    """The report as it is now, to download."""
    report = report_of_store(store, found.id).as_dict()
    return _download(json.dumps(report, ensure_ascii=False, indent=1), f"{found.id}.json", "application/json")


@router.get("/experiments/{experiment}/summary.html")
def summary_html(found: Readable, store: Store) -> Response:
    """The report as one page without scripts, to download."""
    return _download(to_html(report_of_store(store, found.id)), f"{found.id}.html", "text/html")


@router.get("/models/{model}/days")
def days(model: str, store: Store, rights: TheirRights, chain: str | None = None) -> dict[str, Any]:
    """The finetune calendar of a model: the current chain, or the one asked for."""
    rights.check_read_one_of(day_views.dags_of(store, model))
    return day_views.calendar(store, model, _now(), chain, due=_last_due(model))


def _last_due(model: str) -> date | None:
    """The last date whose day should have begun; None for a folder that is gone or can't be read."""
    try:
        return day_views.last_due(FinetunePlan.load(models_dir() / model).finetune, _now())
    except EasyRecAutoMLError:  # the DAG's page tells what is wrong with it
        return None


@router.get("/models")
def models(store: Store, rights: TheirRights) -> dict[str, Any]:
    """Models with a daily chain that you may read."""
    return {"models": day_views.models_with_days(store, rights.may_read)}


@router.get("/dags/{dag_id}/runs/{run_id:path}")
def run(dag_id: str, run_id: str, store: Store, rights: TheirRights) -> dict[str, Any]:
    """What a DAG run has made: its searches, and the day of a daily finetune."""
    rights.check_read(dag_id)
    return runs.things_of_run(store, dag_id, run_id)


@router.get("/task")
def task(
    store: Store,
    rights: TheirRights,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: Annotated[int, Query(ge=-1, lt=2**31)] = -1,
) -> dict[str, Any]:
    """Experiment and number of the trial that a task instance runs."""
    rights.check_read(dag_id)
    found = store.trial_of(TaskKey(dag_id, run_id, task_id, map_index))
    if found is None:
        raise NotFoundError(
            "the task has no trial yet", hint="it gets one when it starts; a skipped one has none"
        )
    return {"experiment": found.experiment_id, "trial": found.number}


def _download(text: str, name: str, kind: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=f"{kind}; charset=utf-8", headers=headers)
