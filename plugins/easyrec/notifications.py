"""Notices to people by Airflow's notifiers: sending one never harms the task that it is about."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from easyrec.deadline import within
from include.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.settings import NotifySettings
    from include.notices import Notice

log = logging.getLogger(__name__)

SECONDS = 5.0
"""No task waits longer than this for a message to be sent."""
LOOK_UP_SECONDS = 1.0
"""More, for rendering and connections: so a notifier that limits its sending can still name its own reason."""


class DingTalkNotifier(BaseNotifier):
    """Sends a markdown message to a DingTalk group's robot, for ``on_failure_callback=`` and the like.

    A message that can't be sent within five seconds is a warning in the log, never an error: nothing that
    it tells about is harmed. Not for triggers: it blocks.

    :param dingding_conn_id: connection of type dingding (templated). Its password is the robot's token. Its
        host, if any, is a whole ``http(s)://host:port``; the field for the port isn't read. The robot must
        admit messages by keyword or address: it can't be one that wants signatures.
    :param title: what the phone's notification shows (templated); the default is for ``notify`` of ``model.yml``.
    :param text: the message in DingTalk's markdown (templated); likewise.
    """

    template_fields: Sequence[str] = ("dingding_conn_id", "title", "text")

    def __init__(
        self,
        *,
        dingding_conn_id: str = "dingding_default",
        title: str = "{{ notice.heading }}",
        text: str = "{{ notice.markdown }}",
    ) -> None:
        super().__init__()
        self.dingding_conn_id = dingding_conn_id
        self.title = title
        self.text = text

    def notify(self, context: Context) -> None:
        """Send the texts as they are; calling the notifier renders them first."""
        try:
            from airflow.sdk import Connection
            from airflow.sdk.log import redact

            from easyrec import robot

            connection = Connection.get(self.dingding_conn_id)
            title, text = str(redact(self.title)), str(redact(self.text))
            robot.send(connection, title=title, text=text, seconds=SECONDS)
        except Exception as error:  # noqa: BLE001 - it must not fail the task that it tells about
            log.warning("not told to DingTalk (connection %s): %s", self.dingding_conn_id, error)


def notify(settings: NotifySettings | None, notice: Notice) -> None:
    """Log the notice, and send it when ``settings`` ask for its topic (``include.notices.Tell``).

    Never raises for what goes wrong on the way, and takes a few seconds at most.
    """
    try:
        notice = _ready(notice)
        log.info("%s", notice.text)
        if settings is None or notice.kind.topic not in settings.on:
            return
        notifier = make_notifier(settings)
        # Rendered once, so what the notice says is never taken for a template.
        within(SECONDS + LOOK_UP_SECONDS, lambda: notifier({"notice": notice}))
    except Exception as error:  # noqa: BLE001 - it must not fail the task that it tells about
        name = settings.notifier if settings is not None else "the log"
        log.warning("nobody was told by %s: %s: %s", name, type(error).__name__, error)


def make_notifier(settings: NotifySettings) -> BaseNotifier:
    """The notifier that ``notify`` of ``model.yml`` names.

    Raises ConfigError when there is no such class, when it is no notifier, and for arguments it doesn't take.
    """
    from airflow.sdk.module_loading import import_string

    try:
        kind: Any = import_string(settings.notifier)
    except ImportError as error:
        raise ConfigError(
            f"there is no {settings.notifier}: {error}",
            where="model.yml, notify.notifier",
            hint="the dotted path of a class; is its provider installed?",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, BaseNotifier)):
        raise ConfigError(
            f"{settings.notifier} is no notifier of Airflow", where="model.yml, notify.notifier"
        )
    try:
        notifier: BaseNotifier = kind(**settings.arguments)
    except Exception as error:  # a class of anybody's may raise anything
        raise ConfigError(
            f"{settings.notifier} can't be made: {error}", where="model.yml, notify.arguments"
        ) from error
    return notifier


def check(settings: NotifySettings | None) -> None:
    """Before anything is begun: raises ConfigError for a notifier that can't be made."""
    if settings is not None:
        make_notifier(settings)


def _ready(notice: Notice) -> Notice:
    """With its link, and without any secret that Airflow knows of."""
    from airflow.sdk.log import redact

    return replace(
        notice,
        title=str(redact(notice.title)),
        lines=tuple(str(redact(line)) for line in notice.lines),
        link=notice.link or (run_link(*notice.run) if notice.run else ""),
    )


def run_link(dag_id: str, run_id: str) -> str:
    """The DAG run's page in Airflow's UI."""
    from urllib.parse import quote

    from airflow.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "http://localhost:8080")
    return f"{base.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
