"""Airflow calls these when a task or a run has failed; they tell people."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from easyrec.dates import business_date_of
from easyrec.notifications import notify
from include.errors import ConfigError
from include.notices import Kind, Notice

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.settings import NotifySettings

log = logging.getLogger(__name__)

_DIED = (
    "none was left: the process was killed (out of memory?), its machine was lost, or a user ended the task"
)
_TOLD = "told_of_failure"
"""XCom of a failed task that told people itself."""


class ToldAlready(AirflowFailException):
    """A failure that only follows from another task's: that one tells people."""


class GaveWay(AirflowFailException):
    """The run ends to make room and will be started again: nobody needs to know."""


class PartitionsLateError(AirflowFailException):
    """The time to wait for a day's tables is up."""


def on_failure(
    model: str, settings: NotifySettings | None, kind: Kind, *, timezone: str | None = None
) -> Callable[[Context], None]:
    """An ``on_failure_callback`` for tasks: called once, when no retry is left. ToldAlready and GaveWay tell nothing.

    Airflow 3.3 doesn't call it when the task's process is killed or a user marks the task failed: give the DAG
    ``on_run_failure`` as well.

    :param timezone: the business's zone; with it the notice names the run's business date.
    """

    def tell(context: Context) -> None:
        if isinstance(context.get("exception"), ToldAlready):
            return
        if not isinstance(context.get("exception"), GaveWay):
            notify(settings, failure_notice(model, kind, context, timezone=timezone))
        try:
            context["ti"].xcom_push(key=_TOLD, value=True)
        except Exception as error:  # noqa: BLE001 - a DAG processor can't; then the DAG tells it once more
            log.warning("it can't be noted that people were told: %s", error)

    return tell


def on_run_failure(
    model: str, settings: NotifySettings | None, kind: Kind, *, timezone: str | None = None
) -> Callable[[Context], None]:
    """An ``on_failure_callback`` for DAGs: tells what none of the run's failed tasks could tell itself."""

    def tell(context: Context) -> None:
        ti = context.get("ti")
        failed = _failed_tasks(context)
        if ti is None or not any(ti.xcom_pull(task_ids=task_id, key=_TOLD) for task_id in failed):
            notify(settings, run_failure_notice(model, kind, context, failed, timezone=timezone))

    return tell


def failure_notice(model: str, kind: Kind, context: Context, *, timezone: str | None = None) -> Notice:
    """What a failed task has to say. A task that was killed has no exception in its context."""
    ti = context["ti"]
    error = context.get("exception")
    return Notice(
        _kind_of(error, kind),
        model,
        title=_business_date(context, timezone) or f"task {ti.task_id}",
        lines=(
            f"DAG run: {ti.dag_id}, {ti.run_id}",
            f"task: {ti.task_id}, try {ti.try_number}",
            *_error_lines(error),
            f"to do: remove the cause, then clear the task {ti.task_id} of this run (Clear on its page)",
        ),
        run=(ti.dag_id, ti.run_id),
    )


def run_failure_notice(
    model: str, kind: Kind, context: Context, failed: Sequence[str], *, timezone: str | None = None
) -> Notice:
    """What a failed run has to say whose ``failed`` tasks are silent."""
    reason, dag_id, run_id = context.get("reason"), context["dag"].dag_id, context["run_id"]
    return Notice(
        kind,
        model,
        title=_business_date(context, timezone) or f"run {run_id}",
        lines=(
            f"DAG run: {dag_id}, {run_id}",
            f"failed tasks: {', '.join(failed) or 'none'}",
            f"error: {_DIED if reason == 'task_failure' else reason}",
            "to do: remove the cause, then clear the failed tasks of this run (Clear on its page)",
        ),
        run=(dag_id, run_id),
    )


def _kind_of(error: BaseException | str | None, kind: Kind) -> Kind:
    """Some failures of a day have a name of their own."""
    from include.daily.chain import ChainGapError, DayBeforeUnfinishedError

    cause = getattr(error, "__cause__", None)
    if isinstance(cause, ChainGapError) and not isinstance(cause, DayBeforeUnfinishedError):
        return Kind.CHAIN_GAP
    return Kind.PARTITIONS_LATE if isinstance(error, PartitionsLateError) else kind


def _failed_tasks(context: Context) -> list[str]:
    """Of a run that failed; mapped tasks, which never tell, aren't among them."""
    ti = context.get("ti")
    if ti is None:  # no task failed: the run took too long
        return []
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id) or {}
    return [task_id for task_id in context["dag"].task_ids if states.get(task_id) == "failed"]


def _business_date(context: Context, timezone: str | None) -> str:
    if timezone is None or context.get("dag_run") is None:
        return ""
    try:
        return business_date_of(context, timezone).isoformat()
    except ConfigError:  # perhaps the very error that the notice is about
        return ""


_SHOWN = 5


def _error_lines(error: BaseException | str | None) -> list[str]:
    """The first lines of an error: several problems are one line each."""
    if error is None:
        return [f"error: {_DIED}"]
    lines = str(error).strip().splitlines() or [type(error).__name__]
    shown = [f"error: {lines[0]}", *(line.strip().removeprefix("- ") for line in lines[1:_SHOWN])]
    return [*shown, *([f"and {len(lines) - _SHOWN} lines more in the log"] if len(lines) > _SHOWN else [])]
