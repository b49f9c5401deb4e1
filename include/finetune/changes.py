"""One difference between two configs as far as it concerns the variables of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What a difference does to the variables that a checkpoint holds."""

    RESHAPED = "starts afresh"
    """Existing variables get another shape or name: EasyRec initialises them anew, with a log line only."""
    REMAPPED = "stands for something else"
    """Existing variables keep their shape, but their rows or columns stand for something else."""
    ADDED = "is new"
    """Only new variables, which start untrained."""
    DROPPED = "is no longer used"
    """Variables of the checkpoint that nothing uses any more."""
    UNKNOWN = "can't be judged"
    """What the change does can't be seen from the config."""


@dataclass(frozen=True)
class ShapeChange:
    """``path``: where in the config, in the language of edits. ``reason``: what changes, from what to what.

    ``is_fatal``: variables that the checkpoint holds would start afresh, or stand for something they were not
    trained for, so finetune must not go on; the other changes are worth a warning.
    """

    path: str
    effect: Effect
    reason: str
    is_fatal: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def reshaped(path: str, reason: str) -> ShapeChange:
    return ShapeChange(path, Effect.RESHAPED, reason, is_fatal=True)


def remapped(path: str, reason: str, *, is_fatal: bool = True) -> ShapeChange:
    return ShapeChange(path, Effect.REMAPPED, reason, is_fatal)


def added(path: str, reason: str) -> ShapeChange:
    return ShapeChange(path, Effect.ADDED, reason, is_fatal=False)


def dropped(path: str, reason: str) -> ShapeChange:
    return ShapeChange(path, Effect.DROPPED, reason, is_fatal=False)


def unknown(path: str, reason: str) -> ShapeChange:
    return ShapeChange(path, Effect.UNKNOWN, reason, is_fatal=False)
