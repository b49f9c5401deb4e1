"""Waits while a person has paused a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from easyrec.triggers.waiting import WaitTrigger


class PauseTrigger(WaitTrigger):
    """Fires once the experiment is not paused any more, whatever became of it. The task keeps its pool slot."""

    def __init__(self, *, experiment: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment

    def arguments(self) -> dict[str, Any]:
        return {"experiment": self.experiment}

    def look(self) -> Mapping[str, Any] | None:
        from easyrec import runtime
        from include.store import ExperimentState

        state = runtime.open_store().experiment(self.experiment).state
        paused = state is ExperimentState.PAUSED
        self.missing = f"{self.experiment} to be resumed" if paused else ""
        return None if paused else {"state": state.value}
