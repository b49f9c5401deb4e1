"""What sensors that wait deferred for something outside have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from easyrec.failures import fails_the_task
from include.experiments.settings import JobSettings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from easyrec.triggers.waiting import WaitTrigger


class DeferredWait(BaseOperator):
    """Base: one look on the worker, then deferred until it is there or time is up.

    :param wait_hours: how long to wait; then the task fails with what was still missing.
    :param wait_poll_seconds: pause between two looks.
    :param settings: connections (``JobSettings``).
    """

    too_late: type[AirflowFailException] = AirflowFailException
    """What is raised when time is up."""

    def __init__(
        self,
        *,
        wait_hours: float = 24.0,
        wait_poll_seconds: float = 60.0,
        settings: JobSettings | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=True, **kwargs)
        self.wait_hours = wait_hours
        self.wait_poll_seconds = wait_poll_seconds
        self.settings = settings or JobSettings()

    def trigger(self, context: Context, **common: Any) -> WaitTrigger:
        """The trigger that looks; ``common`` are the arguments of every ``WaitTrigger``."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        with fails_the_task():
            return self.wait(context)

    def wait(self, context: Context) -> Any:
        until = datetime.now(timezone.utc) + timedelta(hours=self.wait_hours)
        trigger = self.trigger(context, poll_seconds=self.wait_poll_seconds, until=until.isoformat())
        found = trigger.look()
        if found is None:
            self.log.info("waiting until %s for %s", until.isoformat(timespec="minutes"), trigger.missing)
            self.defer(trigger=trigger, method_name="resume")
        return dict(found)

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        if "late" in event:
            raise self.too_late(
                f"after {self.wait_hours:g} hours there is still no {event['late']} "
                "(clear this task to wait again)"
            )
        if "error" in event:
            raise AirflowFailException(event["error"])
        return event["found"]

    def plain_settings(self) -> dict[str, Any]:
        """``settings`` as a trigger can carry them."""
        return self.settings.model_dump(include=set(JobSettings.model_fields))
