"""Things that are away for a while: the store, the sandbox's disk. Each ends by itself."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


class Outages:
    """Runs each in a thread of its own; ``wait`` until all are over."""

    def __init__(self, store_url: sa.URL, admin_url: sa.URL, sandbox_folder: Path) -> None:
        self._store_url = store_url
        self._admin_url = admin_url
        self._sandbox_folder = sandbox_folder
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[float], None], seconds: float) -> None:
        thread = threading.Thread(target=work, args=(seconds,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def any(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def store_locked(self, seconds: float) -> None:
        """Every table of the store is held by somebody's transaction."""
        engine = sa.create_engine(self._store_url)
        with engine.begin() as connection:
            names = [n for n in sa.inspect(connection).get_table_names() if n.startswith("easyrec_")]
            connection.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)
        engine.dispose()

    def store_down(self, seconds: float) -> None:
        """The store's database takes no connections, and those that were are cut."""
        engine = sa.create_engine(self._admin_url, isolation_level="AUTOCOMMIT")
        name = self._store_url.database
        with engine.connect() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            try:
                cut = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
                connection.execute(cut, {"name": name})
                time.sleep(seconds)
            finally:
                connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        engine.dispose()

    def disk_full(self, seconds: float) -> None:
        """Not one byte more on the sandbox's disk (a small one of its own, see ``small_disk``)."""
        filler = self._sandbox_folder / "filler"
        try:
            with filler.open("wb", buffering=0) as stream:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    try:
                        stream.write(b"x" * 65536)
                    except OSError:
                        _last_bytes(stream.write)
                        time.sleep(0.2)
        finally:
            filler.unlink(missing_ok=True)


def _last_bytes(write: Callable[[bytes], object]) -> None:
    try:
        while True:
            write(b"x")
    except OSError:
        return


@contextmanager
def small_disk(folder: Path, megabytes: int = 300) -> Iterator[bool]:
    """A file system of its own for this folder; False where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
