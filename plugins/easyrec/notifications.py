"""Messages to people: what happened, who asked to hear of it, and sending that never harms the task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException

from include.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.settings import ModelSettings, Topic

log = logging.getLogger(__name__)

_LINE = 500
"""Characters of one line that are sent; DingTalk refuses messages of more than 20,000 bytes."""
_DIED = (
    "none was left: the process was killed (out of memory?), its machine was lost, or a user ended the task"
)
_TOLD = "told_of_failure"
"""XCom of a failed task that told people itself."""


class Kind(Enum):
    """What a notice is about: in words, and the topic of ``model.yml`` that asks for it."""

    def __init__(self, words: str, topic: Topic) -> None:
        self.words = words
        self.topic = topic

    DAY_FAILED = ("day failed", "failures")
    GATE_FAILED = ("gate refused a day", "gate")
    DAY_PROMOTED = ("day promoted", "promotions")
    CHAIN_GAP = ("days are missing in the chain", "failures")
    PARTITIONS_LATE = ("partitions are late", "failures")
    NEW_BEST = ("search found a new best", "best")
    SEARCH_FAILED = ("search failed", "failures")


@dataclass(frozen=True)
class Notice:
    """One message. ``title`` says in a few words which day or trial; ``link``: URL to look at, or empty."""

    kind: Kind
    model: str
    title: str
    lines: tuple[str, ...] = ()
    link: str = ""

    @property
    def heading(self) -> str:
        """Begins with EasyRec: the word to give a DingTalk robot that admits messages by keyword."""
        about = f"EasyRec {self.model}: {self.kind.words}"
        return f"{about}, {self.title}" if self.title else about

    @property
    def markdown(self) -> str:
        lines = [f"- {_one_line(line)}" for line in self.lines]
        link = [f"[open in Airflow]({self.link})"] if self.link else []
        return "\n\n".join([f"#### {self.heading}", *(["\n".join(lines)] if lines else []), *link])


class ToldAlready(AirflowFailException):
    """A failure that only follows from another task's: that one tells people."""


class DingTalkNotifier(BaseNotifier):
    """Sends a markdown message to a DingTalk group's robot, for ``on_failure_callback=`` and the like.

    A message that can't be sent within ten seconds is a warning in the log, never an error: nothing that
    it tells about is harmed. Not for triggers: it blocks.

    :param text: the message in DingTalk's markdown (templated).
    :param title: what the phone's notification shows (templated).
    :param dingding_conn_id: connection of type dingding (templated). Its password is the robot's token. Its
        host, if any, is a whole ``http(s)://host:port``; the field for the port isn't read. The robot must
        admit messages by keyword or address: it can't be one that wants signatures.
    """

    template_fields: Sequence[str] = ("dingding_conn_id", "title", "text")

    def __init__(self, *, text: str, title: str, dingding_conn_id: str = "dingding_default") -> None:
        super().__init__()
        self.dingding_conn_id = dingding_conn_id
        self.title = title
        self.text = text

    def notify(self, context: Context) -> None:  # noqa: ARG002 - the base class's signature
        """Send the texts as they are; calling the notifier renders them first."""
        try:
            from airflow.sdk import Connection
            from airflow.sdk.log import redact

            from easyrec import robot

            connection = Connection.get(self.dingding_conn_id)
            title, text = str(redact(self.title)), str(redact(self.text))
            robot.send(connection, title=title, text=text, seconds=robot.SEND_SECONDS)
        except Exception as error:  # noqa: BLE001 - it must not fail the task that it tells about
            log.warning("not told to DingTalk (connection %s): %s", self.dingding_conn_id, error)


def notify(settings: ModelSettings, notice: Notice) -> None:
    """Log the notice, and send it when the model's ``notify`` asks for its topic, in ten seconds at most.

    Never raises for what goes wrong on the way.
    """
    log.info("%s\n%s", notice.heading, "\n".join(notice.lines))
    wanted = settings.notify
    if wanted is not None and notice.kind.topic in wanted.on:
        # Not called but told to notify: an error's text may look like a template.
        DingTalkNotifier(
            title=notice.heading, text=notice.markdown, dingding_conn_id=wanted.dingding_conn_id
        ).notify({})


def on_failure(
    model: str, settings: ModelSettings, kind: Kind, *, timezone: str | None = None
) -> Callable[[Context], None]:
    """An ``on_failure_callback`` for tasks: called once, when no retry is left. ToldAlready tells nothing.

    Airflow 3.3 doesn't call it when the task's process is killed or a user marks the task failed: give the DAG
    ``on_run_failure`` as well.

    :param timezone: the business's zone; with it the notice names the run's business date.
    """

    def tell(context: Context) -> None:
        if isinstance(context.get("exception"), ToldAlready):
            return
        notify(settings, failure_notice(model, kind, context, timezone=timezone))
        try:
            context["ti"].xcom_push(key=_TOLD, value=True)
        except Exception as error:  # noqa: BLE001 - a DAG processor can't; then the DAG tells it once more
            log.warning("it can't be noted that people were told: %s", error)

    return tell


def on_run_failure(
    model: str, settings: ModelSettings, kind: Kind, *, timezone: str | None = None
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
    day = _business_date(context, timezone)
    return Notice(
        kind,
        model,
        title=day or f"task {ti.task_id}",
        lines=(
            f"DAG run: {ti.dag_id}, {ti.run_id}",
            f"task: {ti.task_id}, try {ti.try_number}",
            f"error: {_first_line(context.get('exception'))}",
            f"to go on: remove the cause, then clear the task {ti.task_id} of this run (Clear on its page)",
        ),
        link=ti.log_url,
    )


def run_failure_notice(
    model: str, kind: Kind, context: Context, failed: Sequence[str], *, timezone: str | None = None
) -> Notice:
    """What a failed run has to say whose ``failed`` tasks are silent."""
    ti, reason = context.get("ti"), context.get("reason")
    run_id = context["run_id"]
    return Notice(
        kind,
        model,
        title=_business_date(context, timezone) or f"run {run_id}",
        lines=(
            f"DAG run: {context['dag'].dag_id}, {run_id}",
            f"failed tasks: {', '.join(failed) or 'none'}",
            f"error: {_DIED if reason == 'task_failure' else reason}",
            "to go on: remove the cause, then clear the failed tasks of this run (Clear on its page)",
        ),
        link=ti.log_url if ti is not None else "",
    )


def _failed_tasks(context: Context) -> list[str]:
    """Of a run that failed; mapped tasks, which never tell, aren't among them."""
    ti = context.get("ti")
    if ti is None:  # no task failed: the run took too long
        return []
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id) or {}
    return [task_id for task_id in context["dag"].task_ids if states.get(task_id) == "failed"]


def _business_date(context: Context, timezone: str | None) -> str:
    from easyrec import macros

    run = context.get("dag_run")
    if timezone is None or run is None:
        return ""
    try:
        return macros.business_date(run, timezone).isoformat()
    except ConfigError:  # perhaps the very error that the notice is about
        return ""


def _first_line(error: BaseException | str | None) -> str:
    if error is None:
        return _DIED
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    return f"{first} (and {len(more)} lines more in the log)" if more else first


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"
