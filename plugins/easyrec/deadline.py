"""Work that others must not wait for longer than agreed."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable


def within(seconds: float, work: Callable[[], None]) -> None:
    """Do ``work`` in a thread of its own and wait for it.

    Raises what it raises, and TimeoutError when it is not done by then; then nobody waits for it any more.
    """
    failed: list[Exception] = []

    def do() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
            failed.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(do,), name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"not done within {seconds:g} s")
    if failed:
        raise failed[0]
