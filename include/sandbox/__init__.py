"""A MaxCompute and an OSS on loopback, with a real small trainer behind them.

>>> from include.sandbox import Sandbox
>>> with Sandbox(folder) as endpoints:
...     ODPS(endpoints.access_key_id, endpoints.access_key_secret, endpoints.project, endpoints.maxcompute)

The real pyodps, oss2 and alibabacloud-oss-v2 talk to it unchanged; every request must be signed. Jobs of
the xflow ``easy_rec_ext`` are processes that train for real, so many at a time as there are slots. What it
keeps in ``folder``:

- ``oss/``, ``tables/``: objects and partitions as files (``BucketStorage``, ``TableStorage``);
- ``instances/``, ``jobs/``: MaxCompute's instances, and each job's ``job.json``, ``log.txt``, ``exit.json``;
- ``books.jsonl``: what happened, one line each; ``credentials.json``, ``ports.json``: the same after a
  restart.

Its own door, ``endpoints.control`` (JSON, unsigned, not part of what it imitates): ``GET /health``,
``GET /books`` (every instance, and how often each model_dir was trained), ``GET``/``DELETE /requests``,
``GET``/``POST``/``DELETE /faults`` (``include.sandbox.faults.Fault``), ``POST /settings`` (``capacity``,
``guid_dedup``, ``page_size``), ``POST /sts`` (temporary keys for ``seconds``).

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
