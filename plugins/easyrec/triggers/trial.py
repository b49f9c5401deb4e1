"""Follows a trial while its task is deferred: one coroutine per running trial."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from easyrec.task_state import ENDED, state_of
from easyrec.triggers.threads import SETTLE_SECONDS, in_thread
from include.errors import AccessError, EasyRecAutoMLError, RetryableError

if TYPE_CHECKING:
    from include.experiments.trial_watcher import TrialWatcher

_BACKOFF = 4.0
_NOTICE_SECONDS = 4.0
"""How soon a person's stop is noticed, however seldom the service is polled."""


class TrialTrigger(BaseTrigger):
    """Polls one trial until it has ended; everything it learns is in the store before it fires.

    :param poll_seconds: pause between two rounds; a poor job is stopped within one.
    """

    def __init__(self, *, experiment: str, trial: int, epoch: int, poll_seconds: float) -> None:
        super().__init__()
        self.experiment = experiment
        self.trial = trial
        self.epoch = epoch
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "easyrec.triggers.trial.TrialTrigger", {
            "experiment": self.experiment,
            "trial": self.trial,
            "epoch": self.epoch,
            "poll_seconds": self.poll_seconds,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        born = time.monotonic()
        watcher: TrialWatcher | None = None
        fresh = True  # no poll has succeeded with this watcher's clients
        event: dict[str, Any] = {"experiment": self.experiment, "trial": self.trial}
        while True:
            pause = self.poll_seconds
            try:
                if watcher is None:
                    watcher, fresh = await in_thread(self._watcher), True
                trial = await in_thread(watcher.poll)
                fresh = False
                if trial.state.is_terminal or trial.epoch != self.epoch:
                    break
            except RetryableError as error:
                pause *= _BACKOFF
                self.log.warning(
                    "trial %d can't be followed now, next look in %.0f s: %s", self.trial, pause, error
                )
            except EasyRecAutoMLError as error:
                if isinstance(error, AccessError) and not fresh:
                    self.log.warning("trial %d: reading the connections again: %s", self.trial, error)
                    watcher = None  # its keys may have been renewed there
                else:
                    event["error"] = str(error)
                    break
            except Exception as error:
                self.log.exception("trial %d can't be followed", self.trial)
                event["error"] = f"{type(error).__name__}: {error}"
                break
            await self._pause(watcher, pause)
        await asyncio.sleep(max(0.0, SETTLE_SECONDS - (time.monotonic() - born)))
        yield TriggerEvent(event)

    async def _pause(self, watcher: TrialWatcher | None, seconds: float) -> None:
        """Until the next poll is due, or a person has stopped the trial: that can't wait for a long pause."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _NOTICE_SECONDS))
            if watcher is None or left <= _NOTICE_SECONDS:
                continue
            try:
                if await in_thread(watcher.is_over):
                    return
            except EasyRecAutoMLError as error:  # the next poll meets it, too
                self.log.debug("no look at the store now: %s", error)

    async def on_kill(self) -> None:
        """Stop the job, but only when a user really ended this task.

        Airflow also calls this when a triggerer that was frozen comes back (airflow docs say otherwise), also
        when another one's trigger has fired meanwhile: the task is queued, runs or waits for its next try then.
        So does a cleared task, which stops the older job itself. When the state can't be learnt, nothing is
        stopped.
        """
        state = await in_thread(self._task_state)
        if state not in ENDED:
            self.log.warning("on_kill with task state %s: the job of trial %d goes on", state, self.trial)
            return
        watcher = await in_thread(self._watcher)
        await in_thread(lambda: watcher.cancel(f"a user ended the task (its state is {state})"))

    def _watcher(self) -> TrialWatcher:
        from easyrec import runtime

        return runtime.watcher(self.experiment, self.trial, self.epoch)

    def _task_state(self) -> str | None:
        return None if self.task_instance is None else state_of(self.task_instance)
