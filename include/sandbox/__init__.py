"""A MaxCompute and an OSS on loopback, with a real small trainer behind them.

>>> from include.sandbox import Sandbox
>>> with Sandbox(folder) as endpoints:
...     ODPS(endpoints.access_key_id, endpoints.access_key_secret, endpoints.project, endpoints.maxcompute)

Names are loaded on first use: the trainer's process needs the storages only and must start quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.sandbox.sandbox import Endpoints, Sandbox

__all__ = ["Endpoints", "Sandbox"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from include.sandbox import sandbox

        return getattr(sandbox, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
