"""How an error of ours ends a task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.errors import PermanentError, RetryableError


@contextmanager
def fails_the_task() -> Iterator[None]:
    """Inside the ``with``: a permanent error fails the task at once, a retryable one uses up a try."""
    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(str(error)) from error
    except RetryableError as error:
        raise AirflowException(str(error)) from error
