"""What tests of several kinds share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated store: copying it is quicker than migrating one for each test."""
    from include.store import ExperimentStore  # not for tests that need no store

    path = tmp_path_factory.mktemp("store") / "store.db"
    ExperimentStore.open(f"sqlite:///{path}").close()
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first."""
    first = ("e2e", "web")
    items.sort(key=lambda item: next((n for n, folder in enumerate(first) if folder in item.path.parts), 9))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """With workers (``-n``): tests of a file stay together, and those that share one Airflow.

    ``--dist loadgroup`` would do it, but xdist 3.8 marks its groups in a way that pytest 9.2 overlooks.
    """
    return _TogetherByFile(config, log)


_SECOND_AIRFLOW = ("test_daily_finetune.py", "test_live_concurrency.py")
"""End-to-end tests of half the time: two workers make an Airflow each and go through one half."""


class _TogetherByFile(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        folder, name = file.split("/")[1], file.split("/")[-1]
        if folder == "e2e":
            return f"e2e {2 if name in _SECOND_AIRFLOW else 1}"
        return "web" if folder == "web" else file
