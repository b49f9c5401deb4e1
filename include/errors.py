"""The one family of errors that users and operators see.

Every error says what is wrong in its message, where in ``where`` (file, line, key) and what to do in
``hint``. Two branches decide what a caller does next: ``RetryableError`` (the same call may succeed
later) and ``PermanentError`` (it will not; a person has to change something). Adapters map client
exceptions onto these classes in exactly one place each; nothing else inspects client exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_LINE = 2000
_MOST_LISTED = 50


class EasyRecAutoMLError(Exception):
    """Root of every error this project raises on purpose."""

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        message = _readable(message)
        super().__init__(message, where, hint)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.where, self.hint)


def _readable(text: str) -> str:
    """With lines that quote something endless cut short."""
    lines = text.split("\n")
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE // 2]}… ({len(line)} characters)"
        for line in lines
    )


def _rebuild(kind: type[EasyRecAutoMLError], message: str, where: str, hint: str) -> EasyRecAutoMLError:
    error = kind.__new__(kind)
    EasyRecAutoMLError.__init__(error, message, where=where, hint=hint)
    return error


class RetryableError(EasyRecAutoMLError):
    """The same call may succeed later: network trouble, throttling, 5xx."""


class OutcomeUnknownError(RetryableError):
    """The request may or may not have been carried out: look it up before sending it again."""


class StoreUnavailableError(RetryableError):
    """The experiment store is locked by others or can't be reached, longer than we waited for it."""


class AskConflictError(RetryableError):
    """Another trial was recorded since the history was read: read it again and ask again."""


class PermanentError(EasyRecAutoMLError):
    """Repeating the call cannot help."""


class AccessError(PermanentError):
    """Wrong key, expired token or missing permission."""


class CredentialsError(AccessError):
    """The keys themselves are unknown, wrong or expired: nothing on this connection will work."""


class NotFoundError(PermanentError):
    """A project, table, partition, bucket, object, job or experiment that does not exist."""


class AlreadyExistsError(PermanentError):
    """An object that must not be overwritten exists."""


class ConfigError(PermanentError):
    """A user's file or form value is wrong. Nothing was submitted or written."""


class ConfigEditError(ConfigError):
    """An edit of a pipeline config cannot be made (reference section 3)."""


class SearchSpaceError(ConfigError):
    """A search space is wrong (reference R6)."""


class ProblemsError(ConfigError):
    """Several problems, reported together so that one run shows all of them (in words, the first fifty)."""

    def __init__(self, message: str, problems: Sequence[str], *, where: str = "", hint: str = "") -> None:
        shown = [*problems[:_MOST_LISTED]]
        if len(problems) > _MOST_LISTED:
            shown.append(f"… and {len(problems) - _MOST_LISTED} more")
        listed = "".join(f"\n  - {problem}" for problem in shown)
        super().__init__(f"{message}{listed}", where=where, hint=hint)
        self.problems = tuple(problems)


def as_one(errors: Sequence[tuple[EasyRecAutoMLError, str]], *, hint: str) -> EasyRecAutoMLError | None:
    """Errors and what is said of each, as one: retryable when any of them is; None without any."""
    if not errors:
        return None
    passing = any(isinstance(error, RetryableError) for error, _ in errors)
    kind = RetryableError if passing else PermanentError
    return kind("; ".join(text for _, text in errors), hint=hint)


class ExhaustedError(PermanentError):
    """The tuner has no parameters left to suggest (a finite search space was used up)."""


class StateError(PermanentError):
    """A transition that the state machine does not know, or an action on something that has ended."""


class StaleEpochError(StateError):
    """A user cleared the task since: what an older epoch does or finds no longer counts."""


class AskingPaused(StateError):
    """A person paused the experiment: ask again when it was resumed."""


class NoMoreTrials(StateError):
    """The experiment's limits allow no further trial."""

    @property
    def reason(self) -> str:
        """Which limit, in words for people."""
        return self.message


class MetricError(PermanentError):
    """The metrics of a job cannot give the objective (reference R9)."""


class JobFailedError(PermanentError):
    """The remote job ended without success."""
