"""How often a call that can succeed later is made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from include.errors import OutcomeUnknownError, RetryableError

Result = TypeVar("Result")

TIMEOUTS = (10.0, 30.0)
"""Seconds to connect and between two bytes of an answer."""


@dataclass(frozen=True)
class Retries:
    """Waits grow from ``first_wait`` to ``max_wait`` seconds, at random; no new attempt after ``give_up``."""

    attempts: int = 4
    first_wait: float = 0.5
    max_wait: float = 8.0
    give_up: float = 60.0

    def call(self, attempt: Callable[[], Result]) -> Result:
        """The first success. RetryableError is tried again; OutcomeUnknownError never is."""
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_repeat),
            stop=tenacity.stop_after_attempt(self.attempts) | tenacity.stop_after_delay(self.give_up),
            wait=tenacity.wait_random_exponential(multiplier=self.first_wait, max=self.max_wait),
            reraise=True,
        )(attempt)


def _may_repeat(error: BaseException) -> bool:
    return isinstance(error, RetryableError) and not isinstance(error, OutcomeUnknownError)
