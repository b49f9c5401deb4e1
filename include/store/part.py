"""What the parts of the store have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from include.store.database import Database


class StorePart:
    """Base of the classes that ``ExperimentStore`` is put together from."""

    _db: Database
    _now: Callable[[], datetime]
