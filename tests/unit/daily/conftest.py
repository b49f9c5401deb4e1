"""Days on memory ports; see ``tests/support/daily.py``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.daily.plan import FinetunePlan
from include.experiments.services import Services
from include.notices import Notice
from include.store import ExperimentStore
from tests.support.daily import MODEL, ORIGIN, Days
from tests.support.fakes import MemoryJobs, MemoryObjects, MemoryTables
from tests.unit.experiments.conftest import CONFIG_URL, TABLES, Clock, CountingTuner, Verdict


@pytest.fixture
def days(tmp_path: Path, empty_store: Path) -> Iterator[Days]:
    shutil.copy(empty_store, tmp_path / "store.db")
    told: list[Notice] = []
    clock = Clock()
    with ExperimentStore.open(f"sqlite:///{tmp_path / 'store.db'}", clock=clock) as store:
        store.record_pool("movielens_trials", 4)
        services = Services(
            store=store,
            jobs=MemoryJobs(clock),
            objects=MemoryObjects(clock),
            tables=MemoryTables(TABLES),
            make_tuner=lambda _: CountingTuner(),
            make_assessor=lambda _: Verdict(),
            now=clock,
            sleep=clock.sleep,
            tell=told.append,
        )
        services.objects.write(CONFIG_URL, (MODEL / "pipeline.config").read_bytes())
        days = Days(services, FinetunePlan.load(MODEL), told)
        days.set(start_from=ORIGIN, learning_rate="unchanged")
        days.checkpoint(ORIGIN)
        yield days
