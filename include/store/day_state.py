"""A day's states and the transitions between them: one table, one file (design section 6)."""

from __future__ import annotations

import enum

from include.errors import StateError


class DayState(enum.Enum):
    OPEN = "OPEN"
    """Begun: its inputs are known, its training has given no model yet."""
    TRAINED = "TRAINED"
    """It has a model that nobody has judged yet."""
    PROMOTED = "PROMOTED"
    """The day to go on from; the newest one serves, unless it was rolled back."""
    GATE_FAILED = "GATE_FAILED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"
    """A newer repeat of the date took its place."""
    ROLLED_BACK = "ROLLED_BACK"

    @property
    def is_over(self) -> bool:
        """Whether it has got an outcome."""
        return self not in (DayState.OPEN, DayState.TRAINED)

    @property
    def has_model(self) -> bool:
        """Whether a day in it has a model that counts for its date: one to train again when it is stale."""
        return self in (DayState.TRAINED, DayState.PROMOTED, DayState.GATE_FAILED)

    @property
    def may_be_trained(self) -> bool:
        """Whether a training may still give it its model, or another one."""
        return self is DayState.TRAINED or DayState.TRAINED in _NEXT[self]

    def to(self, new: DayState) -> DayState:
        """``new`` if this transition exists, StateError otherwise. Staying is always allowed."""
        if new is not self and new not in _NEXT[self]:
            raise StateError(
                f"a day can't go from {self.value} to {new.value}",
                hint=f"from here: {', '.join(sorted(s.value for s in _NEXT[self]))}",
            )
        return new


_S = DayState
_NEXT: dict[DayState, set[DayState]] = {
    _S.OPEN: {_S.TRAINED, _S.FAILED, _S.SUPERSEDED},
    _S.TRAINED: {_S.PROMOTED, _S.GATE_FAILED, _S.FAILED, _S.SUPERSEDED},
    _S.FAILED: {_S.TRAINED},  # an automatic retry
    _S.GATE_FAILED: {_S.PROMOTED},  # a person overrules the gate
    _S.PROMOTED: {_S.SUPERSEDED, _S.ROLLED_BACK},
    # A rollback went back to just this model, so the chain goes on from it again.
    _S.SUPERSEDED: {_S.PROMOTED},
    _S.ROLLED_BACK: {_S.PROMOTED},
}
