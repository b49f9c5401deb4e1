"""Waits for one's turn in a model's chain: its lease, or the result of the day before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from easyrec.triggers.waiting import WaitTrigger


class LeaseTrigger(WaitTrigger):
    """:param bizdate: the day of the waiting run, ISO: the earliest day gets the lease first."""

    def __init__(self, *, model: str, dag_id: str, run_id: str, bizdate: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.dag_id = dag_id
        self.run_id = run_id
        self.bizdate = bizdate

    def arguments(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "bizdate": self.bizdate,
        }

    def look(self) -> Mapping[str, Any] | None:
        from datetime import date

        from easyrec.lease import claim
        from include.store import RunKey

        in_the_way = claim(self.model, RunKey(self.dag_id, self.run_id), date.fromisoformat(self.bizdate))
        self.missing = in_the_way
        return None if in_the_way else {"model": self.model}


class DayBeforeTrigger(WaitTrigger):
    """Waits until every earlier day that was begun has a result."""

    def __init__(self, *, model: str, bizdate: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.bizdate = bizdate

    def arguments(self) -> dict[str, Any]:
        return {"model": self.model, "bizdate": self.bizdate}

    def look(self) -> Mapping[str, Any] | None:
        from datetime import date

        from easyrec import runtime
        from include.daily.chain import waits_for

        self.missing = waits_for(runtime.open_store(), self.model, date.fromisoformat(self.bizdate))
        return None if self.missing else {"model": self.model}
