"""What can be read. Each route needs read access to the DAG that the experiment belongs to."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter

from easyrec.web.access import Readable, Store, TheirRights
from include.pages import changes, experiments

router = APIRouter(tags=["read"])


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
def version(found: Readable, store: Store) -> dict[str, str]:
    """Changes when the experiment does: cheap, for polling."""
    return {"version": changes.version(store, found.id)}


@router.get("/experiments/{experiment}")
def overview(found: Readable, store: Store, rights: TheirRights) -> dict[str, Any]:
    """State, limits, progress, best, compute used and saved."""
    seen = changes.version(store, found.id)  # before the rest: what comes meanwhile is asked for again
    data = experiments.overview(store, found.id, _now())
    return {"version": seen, "may_change": rights.may_change(found.dag_id), **data}


@router.get("/experiments/{experiment}/files")
def files(found: Readable, store: Store) -> dict[str, Any]:
    """The user's files as they were when the experiment was opened."""
    return experiments.files(store, found.id)


@router.get("/experiments/{experiment}/trials")
def trials(found: Readable, store: Store) -> dict[str, Any]:
    """All trials; ``parameters`` and ``metrics`` name the columns of the lists in each row."""
    return experiments.trial_table(store, found.id, _now())
