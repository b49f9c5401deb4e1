"""The outside world of one experiment, as ports, handed to everything that acts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from include.experiments.trial_plan import MakeAssessor, SearchPlan
from include.notices import Tell, tell_nobody
from include.ports import JobService, ObjectStore, TableCatalog, Tuner
from include.store import ExperimentStore


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Services:
    """``sleep`` and ``now`` are here so that tests can drive time."""

    store: ExperimentStore
    jobs: JobService
    objects: ObjectStore
    tables: TableCatalog
    make_tuner: Callable[[SearchPlan], Tuner]
    make_assessor: MakeAssessor
    now: Callable[[], datetime] = field(default=utc_now)
    sleep: Callable[[float], None] = field(default=time.sleep)
    tell: Tell = field(default=tell_nobody)
