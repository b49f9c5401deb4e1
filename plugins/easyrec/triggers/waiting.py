"""Triggers that look again and again at something outside, cheaply, until it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timezone
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from easyrec.triggers.threads import SETTLE_SECONDS, in_thread
from include.errors import EasyRecAutoMLError, RetryableError

_BACKOFF = 4.0


class WaitTrigger(BaseTrigger):
    """Calls ``look`` every ``poll_seconds`` until it returns something, fails for good, or time is up.

    Fires ``{"found": …}``, ``{"error": …}``, or ``{"late": …}`` with what was still missing. Trouble that
    may pass is waited out.

    :param until: when to give up, ISO 8601 with offset; None waits for ever.
    """

    def __init__(self, *, poll_seconds: float, until: str | None = None) -> None:
        super().__init__()
        self.poll_seconds = poll_seconds
        self.pause_seconds = poll_seconds
        """Until the next look; ``look`` may change it."""
        self.until = until
        self.missing = ""
        """What ``look`` still waits for, in words."""

    def arguments(self) -> dict[str, Any]:
        """What the constructor of the concrete class gets besides the common arguments."""
        raise NotImplementedError

    def look(self) -> Mapping[str, Any] | None:
        """One bounded round; None while there is nothing yet (then ``missing`` says what)."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        common = {"poll_seconds": self.poll_seconds, "until": self.until}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**common, **self.arguments()}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(SETTLE_SECONDS)
        said = ""
        while True:
            try:
                found = await in_thread(self.look)
                if found is not None:
                    yield TriggerEvent({"found": dict(found)})
                    return
                pause = self.pause_seconds
            except RetryableError as error:
                pause = self.pause_seconds * _BACKOFF
                self.log.warning("no look possible now, the next one in %.0f s: %s", pause, error)
            except EasyRecAutoMLError as error:
                yield TriggerEvent({"error": str(error)})
                return
            if self.missing != said:
                said = self.missing
                self.log.info("waiting for %s", said)
            if self.until is not None and datetime.now(timezone.utc) > datetime.fromisoformat(self.until):
                yield TriggerEvent({"late": self.missing})
                return
            await asyncio.sleep(pause)
