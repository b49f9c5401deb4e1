"""Who may see and change what: Airflow's own login and its permissions on DAGs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request, status

from easyrec.runtime import open_store
from easyrec.web.address import airflow_url
from include.adapters.airflow_workflow import AirflowWorkflow
from include.ports import Workflow
from include.store import Experiment, ExperimentStore

FORGERY_HEADER = "X-EasyRec-Request"
"""A page of another origin can't send it without asking first (CORS preflight)."""

User = Annotated[Any, Depends(get_user)]


def store() -> ExperimentStore:
    from airflow.models.connection import Connection

    return open_store(Connection.get_connection_from_secrets)


Store = Annotated[ExperimentStore, Depends(store)]


def workflow() -> Workflow:
    return AirflowWorkflow(triggered_by="UI")


Airflow = Annotated[Workflow, Depends(workflow)]


class Rights:
    """What one person may do, asked of Airflow's auth manager once for each DAG."""

    def __init__(self, user: User) -> None:
        self.user = user
        self._known: dict[tuple[str, str], bool] = {}

    @property
    def name(self) -> str:
        return str(self.user.get_name())

    def may_read(self, dag_id: str) -> bool:
        """Read access to the DAG's runs."""
        return self._may("GET", dag_id)

    def may_change(self, dag_id: str) -> bool:
        """Run access: whoever may trigger the DAG."""
        return self._may("POST", dag_id)

    def check_read(self, dag_id: str) -> None:
        if not self.may_read(dag_id):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"you have no read access to the DAG {dag_id}")

    def check_read_one_of(self, dag_ids: Collection[str]) -> None:
        """403 unless at least one of them may be read."""
        if not any(self.may_read(dag_id) for dag_id in sorted(dag_ids)):
            self.check_read(min(dag_ids))

    def check_change(self, dag_id: str) -> None:
        if not self.may_change(dag_id):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"you may not run the DAG {dag_id}")

    def _may(self, method: Any, dag_id: str) -> bool:
        key = (method, dag_id)
        if key not in self._known:
            details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
            self._known[key] = get_auth_manager().is_authorized_dag(
                method=method, access_entity=DagAccessEntity.RUN, details=details, user=self.user
            )
        return self._known[key]


TheirRights = Annotated[Rights, Depends()]


def readable(experiment: str, known: Store, rights: TheirRights) -> Experiment:
    """The experiment that the path names; 404 without one, 403 without read access to its DAG."""
    found = known.experiment(experiment)
    rights.check_read(found.dag_id)
    return found


Readable = Annotated[Experiment, Depends(readable)]


def changeable(found: Readable, rights: TheirRights) -> Experiment:
    """As ``readable``, with run access to its DAG."""
    rights.check_change(found.dag_id)
    return found


Changeable = Annotated[Experiment, Depends(changeable)]


def refuse_forgery(request: Request, _user: User) -> None:
    """403 for a request that another site could have made this person's browser send.

    The login cookie alone would be sent by the browser: so a header is asked for that no form can set, and an
    ``Origin`` must be ours: the host that was asked, or the one of Airflow's ``base_url``, since a proxy may
    have rewritten the first. Scripts with a bearer token send no cookie and need neither.
    """
    if request.headers.get("Authorization", "").lower().startswith("bearer "):
        return
    origin = request.headers.get("Origin")
    ours = {request.headers.get("Host"), airflow_url().netloc} - {None, ""}
    foreign = origin is not None and _host(origin) not in ours
    if foreign or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the request comes from another site")
    if request.headers.get(FORGERY_HEADER) != "1":
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"send the header {FORGERY_HEADER}: 1")


def _host(origin: str) -> str:
    """Empty for ``null``, which hidden origins send, and for what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


Guarded = Depends(refuse_forgery)
