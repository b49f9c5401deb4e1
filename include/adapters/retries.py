"""What both clients need: how often a call is made again, how long it may take, what may be logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from include.errors import OutcomeUnknownError, RetryableError

Result = TypeVar("Result")

TIMEOUTS = (10.0, 30.0)
"""Seconds to connect and between two bytes of an answer."""


_INDISCREET = ("odps.rest", "odps.accounts", "oss2.http", "oss2.auth")


def quiet_clients() -> None:
    """Keep headers and answers of the clients out of debug logs: they hold key ids, signatures and tokens.

    urllib3 still logs every request with its path and status. A level that somebody set for one of these
    loggers stays.
    """
    for name in _INDISCREET:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


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
