"""A store for the views."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.store import ExperimentStore
from tests.support.searches import add_search


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Iterator[ExperimentStore]:
    shutil.copy(empty_store, tmp_path / "store.db")
    with ExperimentStore.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def search(store: ExperimentStore) -> str:
    return add_search(store).id
