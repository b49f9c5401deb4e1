"""Waits for one's turn in a model's chain."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from easyrec.triggers.waiting import WaitTrigger
from include.store import RunKey

if TYPE_CHECKING:
    from easyrec.turn import InTheWay

_BLOCKED_SECONDS = 30.0
"""A run that was cleared begins within seconds when there is a place for it."""


class TurnTrigger(WaitTrigger):
    """Base: waits until nothing is in the way of a run's day.

    Fires ``{"give_way_to": run_id}`` when what is in the way is a run of the same DAG that stays queued: the
    waiting runs fill ``max_active_runs`` (of the DAG, or of the backfill), and it would stay so for ever.

    :param bizdate: the day of the waiting run, ISO.
    :param gives_way: whether the run may do that.
    """

    def __init__(
        self, *, model: str, dag_id: str, run_id: str, bizdate: str, gives_way: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.dag_id = dag_id
        self.run_id = run_id
        self.bizdate = bizdate
        self.gives_way = gives_way
        self._queued_since: float | None = None

    def arguments(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "bizdate": self.bizdate,
            "gives_way": self.gives_way,
        }

    def in_the_way(self) -> InTheWay | None:
        raise NotImplementedError

    def look(self) -> Mapping[str, Any] | None:
        found = self.in_the_way()
        if found is None:
            return {}
        self.missing = found.words
        if self.gives_way and found.run is not None and self._is_blocked(found.run):
            return {"give_way_to": found.run.run_id}
        return None

    def _is_blocked(self, run: RunKey) -> bool:
        from easyrec.task_state import AirflowTasks

        if run.dag_id != self.dag_id or not AirflowTasks().is_queued(run):
            self._queued_since = None
            return False
        now = time.monotonic()
        if self._queued_since is None:
            self._queued_since = now
        return now - self._queued_since > _BLOCKED_SECONDS


class LeaseTrigger(TurnTrigger):
    """Waits for the model's lease; among the waiting runs the earliest day gets it first."""

    def in_the_way(self) -> InTheWay | None:
        from easyrec.turn import claim

        return claim(self.model, RunKey(self.dag_id, self.run_id), date.fromisoformat(self.bizdate))


class EarlierRunTrigger(LeaseTrigger):
    """Waits until an earlier run has decided what its day continues from, and then for the lease: days begin in order.

    :param earlier: id of that run, of the same DAG.
    :param task_id: the task that decides.
    :param also_failed: wait also when that run has failed before it came to that.
    """

    def __init__(self, *, earlier: str, task_id: str, also_failed: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.earlier = earlier
        self.task_id = task_id
        self.also_failed = also_failed

    def arguments(self) -> dict[str, Any]:
        own = {"earlier": self.earlier, "task_id": self.task_id, "also_failed": self.also_failed}
        return {**super().arguments(), **own}

    def in_the_way(self) -> InTheWay | None:
        from easyrec.turn import EARLIER_RUN_POLL_SECONDS, earlier_run

        found = earlier_run(RunKey(self.dag_id, self.earlier), self.task_id, also_failed=self.also_failed)
        if found is not None:
            self.pause_seconds = EARLIER_RUN_POLL_SECONDS
            return found
        self.pause_seconds = self.poll_seconds
        return super().in_the_way()


class DayBeforeTrigger(TurnTrigger):
    """Waits until every earlier day that was begun has a result."""

    def in_the_way(self) -> InTheWay | None:
        from easyrec.turn import day_before

        return day_before(self.model, date.fromisoformat(self.bizdate))
