"""A trial's states and the transitions between them: one table, one file (design section 3)."""

from __future__ import annotations

import enum

from include.errors import StateError


class TrialState(enum.Enum):
    WAITING = "WAITING"
    """Parameters chosen, no job submitted yet."""
    SUBMITTED = "SUBMITTED"
    """The service accepted the job; its training has not been seen running."""
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    EARLY_STOPPED = "EARLY_STOPPED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        return not _NEXT[self]

    @property
    def counts_for_tuner(self) -> bool:
        """Whether its value is told to the tuner: poor trials teach as well as good ones."""
        return self in (TrialState.SUCCEEDED, TrialState.EARLY_STOPPED)

    def to(self, new: TrialState) -> TrialState:
        """``new`` if this transition exists, StateError otherwise. Staying is always allowed."""
        if new is not self and new not in _NEXT[self]:
            raise StateError(
                f"a trial can't go from {self.value} to {new.value}",
                hint=f"from here: {', '.join(sorted(s.value for s in _NEXT[self])) or 'nothing'}",
            )
        return new


_S = TrialState
_ENDS = {_S.SUCCEEDED, _S.EARLY_STOPPED, _S.FAILED, _S.CANCELLED}
# Back to WAITING: a failed job is replaced (new attempt). An end is for good in its epoch: only a user's clear
# begins a new one.
_NEXT: dict[TrialState, set[TrialState]] = {
    _S.WAITING: {_S.SUBMITTED, _S.FAILED, _S.CANCELLED},
    _S.SUBMITTED: {_S.RUNNING, _S.WAITING} | _ENDS,
    _S.RUNNING: {_S.WAITING} | _ENDS,
    _S.SUCCEEDED: set(),
    _S.EARLY_STOPPED: set(),
    _S.FAILED: set(),
    _S.CANCELLED: set(),
}
