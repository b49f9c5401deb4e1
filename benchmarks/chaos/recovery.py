"""How long it takes until work goes on after something was killed."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

GIVE_UP_S = 300.0


@dataclass
class Watch:
    kind: str
    again: Callable[[], bool]
    """Whether work goes on again."""
    since: float = field(default_factory=time.monotonic)


@dataclass
class Recoveries:
    """Seconds by kind; ``tick`` looks at everything that has not recovered."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    open: list[Watch] = field(default_factory=list)
    never: list[str] = field(default_factory=list)

    def watch(self, kind: str, again: Callable[[], bool]) -> None:
        self.open.append(Watch(kind, again))

    def tick(self) -> None:
        for watch in list(self.open):
            passed = time.monotonic() - watch.since
            if _holds(watch.again):
                self.seconds[watch.kind].append(passed)
            elif passed > GIVE_UP_S:
                self.never.append(watch.kind)
            else:
                continue
            self.open.remove(watch)

    def rows(self) -> list[tuple[str, int, float, float]]:
        """Kind, how many, median and longest."""
        return [
            (kind, len(found), statistics.median(found), max(found))
            for kind, found in sorted(self.seconds.items())
        ]


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except Exception:  # noqa: BLE001 (whatever is asked may be what was killed)
        return False
