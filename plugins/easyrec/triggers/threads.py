"""Where triggers let blocking clients work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

SETTLE_SECONDS = 3.0
"""A trigger that fires right after its deferral can lose a race with the scheduler (retries cover the rest)."""
_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="easyrec")
"""This many blocking calls at once, whatever the number of triggers."""


async def in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
