"""Airflow's pools and DAG runs, for people who control a search.

For processes that may use Airflow's database: its API server, or a command on Airflow's machine. Airflow is
imported at the first call only: the other commands need none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from include.errors import AccessError, ConfigError, NotFoundError, RetryableError, StateError

_DESCRIPTION = "Running trials of one EasyRec model; change the slots at any time"


class AirflowWorkflow:
    """A ``Workflow``. It does what ``airflow pools set`` and ``airflow dags trigger`` do.

    ``triggered_by``: what Airflow says started a run, the name of one of its ``DagRunTriggeredByType``.
    """

    def __init__(self, triggered_by: Literal["CLI", "UI"] = "CLI") -> None:
        self._triggered_by = triggered_by

    def pool_slots(self, name: str) -> int | None:
        with _session() as session:
            pool = _pool(session, name)
            return None if pool is None else int(pool.slots)

    def set_pool_slots(self, name: str, slots: int) -> None:
        with _session() as session:
            from airflow.models.pool import Pool

            pool = _pool(session, name)
            if pool is None:
                session.add(Pool(pool=name, slots=slots, description=_DESCRIPTION, include_deferred=True))
            else:
                pool.slots, pool.include_deferred = slots, True

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any], *, by: str) -> bool:
        with _session() as session:
            from airflow.api.common.trigger_dag import trigger_dag
            from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
            from airflow.models.dag import DagModel
            from airflow.utils.types import DagRunTriggeredByType

            dag = session.get(DagModel, dag_id)
            if dag is None:
                raise NotFoundError(f"Airflow has no DAG {dag_id}", hint="is the model's folder still there?")
            if dag.is_paused:
                raise StateError(f"DAG {dag_id} is paused in Airflow", hint=f"airflow dags unpause {dag_id}")
            try:
                trigger_dag(
                    dag_id,
                    run_id=run_id,
                    conf=dict(conf),
                    triggered_by=DagRunTriggeredByType[self._triggered_by],
                    triggering_user_name=by,
                    session=session,
                )
            except DagRunAlreadyExists:
                return False
            except DagNotFound as error:
                raise NotFoundError(str(error)) from error
            except (ParamValidationError, ValueError) as error:
                raise ConfigError(f"DAG {dag_id} refuses the run: {error}") from error
        return True

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        with _session() as session:
            from airflow.models.dagrun import DagRun
            from sqlalchemy import select

            query = select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            state = session.scalar(query)
            return None if state is None else str(getattr(state, "value", state))


@contextmanager
def _session() -> Iterator[Any]:
    """A transaction of Airflow's database. Two who make the same row at once: the second is told to repeat."""
    try:
        from airflow.utils.session import create_session
    except ImportError as error:
        raise ConfigError("Airflow is not installed here", hint="run this on Airflow's machine") from error
    from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

    try:
        with create_session() as session:
            yield session
    except (IntegrityError, OperationalError) as error:
        raise RetryableError(f"Airflow's database can't do it now: {type(error).__name__}") from error
    except (RuntimeError, SQLAlchemyError) as error:
        hint = "run this on Airflow's machine, with its AIRFLOW_HOME"
        raise AccessError(f"no access to Airflow's database: {type(error).__name__}", hint=hint) from error


def _pool(session: Any, name: str) -> Any:
    from airflow.models.pool import Pool
    from sqlalchemy import select

    return session.scalar(select(Pool).where(Pool.pool == name))
