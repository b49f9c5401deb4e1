"""Follows a trial while its task is deferred: one coroutine per running trial."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from easyrec.triggers.threads import SETTLE_SECONDS, in_thread
from include.errors import EasyRecAutoMLError, RetryableError

if TYPE_CHECKING:
    from include.experiments.trial_watcher import TrialWatcher

_BACKOFF = 4.0


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
        event: dict[str, Any] = {"experiment": self.experiment, "trial": self.trial}
        while True:
            pause = self.poll_seconds
            try:
                watcher = watcher or await in_thread(self._watcher)
                trial = await in_thread(watcher.poll)
                if trial.state.is_terminal or trial.epoch != self.epoch:
                    break
            except RetryableError as error:
                pause *= _BACKOFF
                self.log.warning(
                    "trial %d can't be followed now, next look in %.0f s: %s", self.trial, pause, error
                )
            except EasyRecAutoMLError as error:
                event["error"] = str(error)
                break
            await asyncio.sleep(pause)
        await asyncio.sleep(max(0.0, SETTLE_SECONDS - (time.monotonic() - born)))
        yield TriggerEvent(event)

    async def on_kill(self) -> None:
        """Stop the job, but only when a user really ended this task.

        Airflow also calls this when a triggerer that was frozen comes back (airflow docs say otherwise).
        The task's own state tells the two apart; when it can't be learnt, nothing is stopped.
        """
        state = await in_thread(self._task_state)
        if state is None or state == "deferred":
            self.log.warning("on_kill with task state %s: the job of trial %d goes on", state, self.trial)
            return
        watcher = await in_thread(self._watcher)
        await in_thread(lambda: watcher.cancel(f"a user ended the task (its state is {state})"))

    def _watcher(self) -> TrialWatcher:
        from easyrec import runtime

        return runtime.watcher(self.experiment, self.trial, self.epoch)

    def _task_state(self) -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        ti = self.task_instance
        if ti is None:
            return None
        states = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        found = list((states.get(ti.run_id) or {}).values())
        return None if len(found) != 1 or found[0] is None else str(found[0])
