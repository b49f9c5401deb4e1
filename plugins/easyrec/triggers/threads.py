"""Where triggers let blocking clients work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from airflow.configuration import conf

T = TypeVar("T")

SETTLE_SECONDS = conf.getint("workers", "min_heartbeat_interval") + 2.0
"""No trigger fires sooner after its task was deferred.

The supervisor of the deferred task may notice only with its next heartbeat that the task's process is gone, and
the scheduler hears of that end then. A task that is back by that time is taken for one that died: it is ended and
tried again half a minute later.
"""
_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="easyrec")
"""This many blocking calls at once, whatever the number of triggers."""


async def in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
