"""What people are told: one notice, whatever way it goes to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias, get_args

Topic = Literal["failures", "gate", "promotions", "searches"]
"""What one can ask to hear of: what needs a person, refused days, what serves now, searches that ended well."""
TOPICS: tuple[Topic, ...] = get_args(Topic)

_LINE = 500
"""Characters of one line that are sent; DingTalk refuses messages of more than 20,000 bytes."""


class Kind(Enum):
    """What a notice is about: in words, and the topic that asks for it."""

    def __init__(self, words: str, topic: Topic) -> None:
        self.words = words
        self.topic = topic

    SEARCH_FAILED = ("search failed", "failures")
    SEARCH_ENDED = ("search ended", "searches")
    DAY_FAILED = ("day failed", "failures")
    DAY_WAITS = ("day waits for an earlier one", "failures")
    CHAIN_GAP = ("days are missing in the chain", "failures")
    PARTITIONS_LATE = ("partitions are late", "failures")
    GATE_FAILED = ("gate refused a day", "gate")
    PROMOTED = ("new model serves", "promotions")
    CHAIN_MENDED = ("an earlier day was trained anew", "promotions")
    ROLLED_BACK = ("rolled back", "promotions")
    DAY_LEFT = ("a trained day waits for a person", "failures")
    UNOWNED_STOPPED = ("jobs that no task watched were stopped", "failures")
    UNKNOWN_JOBS = ("jobs run on that the store does not know", "failures")


@dataclass(frozen=True)
class Notice:
    """One message, in plain text.

    ``title``: in a few words, which day or trial. ``lines``: what happened and what to do. ``run``: DAG id and
    run id of the DAG run that it is about, if there is one; whoever sends it makes ``link`` (URL) from it.
    """

    kind: Kind
    model: str
    title: str
    lines: tuple[str, ...] = ()
    run: tuple[str, str] | None = None
    link: str = ""

    @property
    def heading(self) -> str:
        """Begins with EasyRec: the word to give a DingTalk robot that admits messages by keyword."""
        about = f"EasyRec {self.model}: {self.kind.words}"
        return f"{about}, {self.title}" if self.title else about

    @property
    def text(self) -> str:
        """For mails and the like."""
        return "\n".join([self.heading, *map(_one_line, self.lines), *([self.link] if self.link else [])])

    @property
    def markdown(self) -> str:
        lines = [f"- {_one_line(line)}" for line in self.lines]
        link = [f"[open in Airflow]({self.link})"] if self.link else []
        return "\n\n".join([f"#### {self.heading}", *(["\n".join(lines)] if lines else []), *link])


Tell: TypeAlias = Callable[[Notice], None]
"""Brings a notice to people. It never raises, and takes a few seconds at most."""


def tell_nobody(_notice: Notice) -> None:
    """A ``Tell`` for where nobody is to be told."""


def number(metric: float | None) -> str:
    """A metric as people read it."""
    return "none" if metric is None else f"{metric:.6g}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"
