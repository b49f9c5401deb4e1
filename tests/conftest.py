"""What tests of several kinds share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated store: copying it is quicker than migrating one for each test."""
    from include.store import ExperimentStore  # not for tests that need no store

    path = tmp_path_factory.mktemp("store") / "store.db"
    ExperimentStore.open(f"sqlite:///{path}").close()
    return path


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers (``-n``): one has Airflow for itself, from the beginning, as the longest part."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
    for item in items:
        shared = {"e2e": "airflow", "web": "page"}  # one Airflow for all tests of the folder
        group = next((shared[part] for part in item.path.parts if part in shared), str(item.path))
        item.add_marker(pytest.mark.xdist_group(group))
