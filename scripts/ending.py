"""How long-running programs of this repository end: in order, leaving no process behind."""

from __future__ import annotations

import signal


def end_in_order_on_signals() -> None:
    """Ctrl-C and ``kill`` raise KeyboardInterrupt once; a second one does not interrupt the end."""

    def interrupt(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
