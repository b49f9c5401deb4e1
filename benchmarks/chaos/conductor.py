"""Carries a plan out while a search and a backfill go on, and waits for their end."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import requests
import sqlalchemy as sa

from benchmarks.chaos.kills import Kills
from benchmarks.chaos.lab import Lab, LabError
from benchmarks.chaos.outages import Outages
from benchmarks.chaos.people import People
from benchmarks.chaos.plan import JOB, WIRE, Action
from benchmarks.chaos.recovery import Recoveries
from benchmarks.chaos.work import Work
from include.errors import EasyRecAutoMLError

_AWAY = (requests.RequestException, sa.exc.SQLAlchemyError, EasyRecAutoMLError, LabError)
"""What asking says while what is asked is down: the next round asks again."""
_MEND_EVERY_S = 10.0
_EVENT_EVERY_S = 6.0
"""Apart enough that each kill meets work that goes on."""
_MISSES = 40
"""Rounds that an event waits for something it can happen to."""


@dataclass
class Record:
    """What really happened. ``left_out``: events that could not happen, and why."""

    events: Counter[str] = field(default_factory=Counter)
    wire: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    mended_days: int = 0
    away: Counter[str] = field(default_factory=Counter)
    """Rounds in which something that the suite itself asks did not answer."""

    @property
    def faults(self) -> int:
        return sum(self.events.values()) + sum(self.wire.values())


class Conductor:
    def __init__(
        self, lab: Lab, work: Work, people: People, outages: Outages, *, disk: bool, outage_seconds: float
    ) -> None:
        """``disk``: whether the sandbox has a disk of its own, which may be filled."""
        self._lab = lab
        self._work = work
        self._people = people
        self._outages = outages
        self._outage_seconds = outage_seconds
        self._faults: list[Action] = []
        self._waiting: list[Action] = []
        self._missed = 0
        self._last_event = self._mended = 0.0
        self.record = Record()
        self.recoveries = Recoveries()
        kills = Kills(lab, self.recoveries)
        self._events: dict[str, Callable[[random.Random], str]] = {
            "kill task": lambda dice: kills.task(dice, supervisor=False),
            "kill supervisor": lambda dice: kills.task(dice, supervisor=True),
            "kill triggerer": lambda _: kills.component("triggerer"),
            "kill scheduler": lambda _: kills.component("scheduler"),
            "kill api-server": lambda _: kills.component("api-server"),
            "kill sandbox": lambda dice: self._keeping_faults(lambda: kills.sandbox(dice)),
            "freeze triggerer": kills.freeze_triggerer,
            "clear trial": lambda dice: people.clear(dice, work.search_dag, "trial"),
            "fail trial": lambda dice: people.fail(dice, work.search_dag, "trial"),
            "fail trial unwatched": people.fail_unwatched,
            "clear day": lambda dice: people.clear(dice, work.days_dag, "train"),
            "fail day": lambda dice: people.fail(dice, work.days_dag, "train"),
            "fail run": people.fail_run,
            "store locked": lambda _: self._outage(outages.store_locked),
            "store down": lambda _: self._outage(outages.store_down),
        }
        if disk:
            self._events["disk full"] = lambda _: self._outage(outages.disk_full, 15.0)
        if lab.sandbox.clock is not None:
            self._events["clock step"] = self._clock_step

    def run(self, plan: tuple[Action, ...], *, minutes: float) -> None:
        """Until all work has ended. After ``minutes`` nothing more is injected. Raises LabError when
        the work does not end in twice that time."""
        self._faults = [action for action in plan if action.kind in (WIRE, JOB)]
        self._waiting = [action for action in plan if action.kind not in (WIRE, JOB)]
        since, over = time.monotonic(), False
        while not over:
            passed = time.monotonic() - since
            if passed > 120 * minutes:
                raise LabError(f"not ended after {passed / 60:.0f} minutes: {self._work.open()}")
            try:
                over = self._round(injects=passed < 60 * minutes)
            except _AWAY as error:
                self.record.away[type(error).__name__] += 1
            self.recoveries.tick()
            time.sleep(0.5)
        self._outages.wait()
        self._count_wire()
        self.record.left_out += [action.kind for action in self._waiting]
        self._lab.sandbox.control("DELETE", "/faults")

    def _round(self, *, injects: bool) -> bool:
        """Whether all work has ended."""
        if self._work.is_over():
            return True
        if injects:
            progress = self._work.progress()
            self._inject(progress)
            self._next_event(progress)
        if time.monotonic() - self._mended > _MEND_EVERY_S:
            self.record.mended_days += self._people.mend_failed_days()
            self._mended = time.monotonic()
        return False

    def _inject(self, progress: float) -> None:
        due = [action for action in self._faults if action.at <= progress]
        if due:
            self._lab.sandbox.fault(*(action.options for action in due))
            self._faults = [action for action in self._faults if action.at > progress]

    def _next_event(self, progress: float) -> None:
        """One at a time, and none while something is away; one that finds nothing to happen to waits."""
        if not self._waiting or self._waiting[0].at > progress or self._outages.any:
            return
        if time.monotonic() - self._last_event < _EVENT_EVERY_S:
            return
        action = self._waiting[0]
        if self._do(action):
            self._last_event = time.monotonic()
        else:
            self._missed += 1
            if self._missed <= _MISSES:
                return
            self.record.left_out.append(action.kind)
        self._missed = 0
        self._waiting.pop(0)

    def _do(self, action: Action) -> bool:
        """Whether it could happen now."""
        if action.kind not in self._events:
            self.record.left_out.append(f"{action.kind} (not possible on this machine)")
            return True
        what = self._events[action.kind](random.Random(action.options["seed"]))
        if what:
            self.record.events[action.kind] += 1
            _say(f"{action.kind}: {what}")
        return bool(what)

    def _outage(self, work: Callable[[float], None], seconds: float = 0.0) -> str:
        seconds = seconds or self._outage_seconds
        self._outages.start(work, seconds)
        return f"{seconds:.0f} s"

    def _clock_step(self, dice: random.Random) -> str:
        step = dice.choice((-40, -20, 20, 40))
        assert self._lab.sandbox.clock is not None
        self._lab.sandbox.clock.write_text(f"{step:+d}s\n")
        return f"the service's clock stands {step:+d} s"

    def _keeping_faults(self, work: Callable[[], str]) -> str:
        """A killed sandbox forgets its faults and counts."""
        waiting = self._count_wire()
        done = work()
        if waiting:
            self._lab.sandbox.fault(*waiting)
        return done

    def _count_wire(self) -> list[dict[str, object]]:
        state = self._lab.sandbox.control("GET", "/faults")
        self.record.wire.update(state["injected"])
        return list(state["waiting"])


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
