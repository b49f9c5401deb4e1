"""Follows TensorBoard event files while a job writes them (reference R8, R9). Public and stable.

>>> follower = EventFollower(objects, "oss://bucket/model/eval_val/")
>>> follower.poll()
[ScalarEvent(global_step=100, wall_time=1700000000.0, values={'auc': 0.71, 'loss': 0.4})]

Each poll is one listing, and one ranged read for each file that changed; a byte is read once, except for
four per read that prove that the file is still the one read before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import NotFoundError
from include.metrics.records import LengthDamagedError, Record, intact_record_after, next_record, scalars
from include.ports import ObjectInfo, ObjectStore

log = logging.getLogger(__name__)

_MARK = "tfevents"
_OVERLAP = 4


@dataclass(frozen=True)
class ScalarEvent:
    """One record's scalars. ``wall_time``: seconds since the epoch, as the writer's clock had it."""

    global_step: int
    wall_time: float
    values: Mapping[str, float]


@dataclass
class _File:
    offset: int = 0
    """Where the first record begins that has not been consumed."""
    checksum: bytes = b""
    """The four bytes before ``offset``: the checksum of the last record consumed."""
    pending: bytes = b""
    """The beginning of a record that was not complete yet."""
    seen: tuple[int, str] | None = None
    """Size and ETag at the last read: while they stay, there is nothing to read."""
    reported: bool = False
    """The record at ``offset`` has been reported as damaged."""

    @property
    def reached(self) -> int:
        return self.offset + len(self.pending)

    @property
    def overlap(self) -> bytes:
        """What was read last. It is read again, to see that the file is still the same."""
        return (self.checksum + self.pending)[-_OVERLAP:]


class EventFollower:
    """Reads only the new bytes of all event files whose URL starts with ``prefix``.

    - A record that is not complete yet (torn tail) waits for its rest.
    - Files may appear late and whole, and grow at the same time; they are read in the order of their names.
    - A file that was replaced (shorter, or other bytes before the place reached) is read from its beginning;
      events may then come twice: keep the first of a step, as ``Objective`` does.
    - A record whose checksum is wrong is waited for, because a writer may put a good file in its place, and
      reported once (``problems``, and a warning in the log). Once an intact record follows, the damage is
      final: reading goes on there. So damage costs the records it hits and no others.

    Not thread-safe. ``poll`` raises what ``objects`` raises; no event is lost by that, the next poll
    returns it.
    """

    def __init__(self, objects: ObjectStore, prefix: str, *, state: Mapping[str, Any] | None = None) -> None:
        """``state``: what ``state()`` of an earlier follower returned, to go on where it was."""
        self._objects = objects
        self._prefix = prefix
        self._files: dict[str, _File] = {}
        for url, known in (state or {}).items():
            self._files[url] = _File(int(known["offset"]), bytes.fromhex(known["checksum"]))
        self._state = dict(state or {})
        self._ready: list[ScalarEvent] = []
        self._problems: list[str] = []
        self.bytes_read = 0
        """Bytes of event files received so far."""
        self.requests = 0
        """Listings and reads sent so far."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Damage found so far, one line each."""
        return tuple(self._problems)

    @property
    def is_torn(self) -> bool:
        """Whether a file ends within a record: the rest of it may still come."""
        return any(file.pending for file in self._files.values())

    def poll(self) -> list[ScalarEvent]:
        """Every scalar event that became complete since the last poll, file by file."""
        self.requests += 1
        found = [info for info in self._objects.list(self._prefix) if _is_event_file(info.url)]
        for gone in self._files.keys() - {info.url for info in found}:
            del self._files[gone]
        for info in found:
            self._follow(info)
        ready, self._ready = self._ready, []
        self._state = {
            url: {"offset": file.offset, "checksum": file.checksum.hex()} for url, file in self._files.items()
        }
        return ready

    def state(self) -> dict[str, Any]:
        """Plain data for a follower that goes on after the last poll, in another process if need be."""
        return dict(self._state)

    def _follow(self, info: ObjectInfo) -> None:
        file = self._files.setdefault(info.url, _File())
        if file.seen == (info.size, info.etag):
            return
        data = self._read_new(info, file)
        if data is None:
            log.info("%s was replaced: reading it from its beginning", info.url)
            file = self._files[info.url] = _File()
            data = self._read_new(info, file)
        if data is None:
            del self._files[info.url]  # it went away in between
            return
        file.seen = (info.size, info.etag)
        self._consume(info.url, file, file.pending + data)

    def _read_new(self, info: ObjectInfo, file: _File) -> bytes | None:
        """Bytes after those read before; None when the file is not the one read before."""
        overlap = file.overlap
        if info.size < file.reached:
            return None
        if info.size == 0:
            return b""
        self.requests += 1
        try:
            data = self._objects.read_from(info.url, file.reached - len(overlap))
        except NotFoundError:
            return None
        if data is None:
            return None if file.reached else b""
        self.bytes_read += len(data)
        return data[len(overlap) :] if data.startswith(overlap) else None

    def _consume(self, url: str, file: _File, data: bytes) -> None:
        """Take the complete records at the beginning of ``data``, which begins at ``file.offset``."""
        start, position = file.offset, 0
        joined, file.pending = bool(file.pending), b""
        while True:
            try:
                record = next_record(data, position)
            except LengthDamagedError:
                record = Record(None, position)
            if record is None:
                file.pending = data[position:]
                break
            if record.payload is not None:
                self._take(url, start + position, record.payload)
                after = record.end
            elif joined and position == 0:
                # Its beginning may be of a file that has been replaced since: read it again.
                file.seen = None
                break
            else:
                found = intact_record_after(data, position)
                if found is None:
                    self._wait_at_damage(url, file)
                    break
                self._note_skipped(url, file, start + found)
                after = found
            position = after
            file.offset, file.reported = start + after, False
            file.checksum = data[after - _OVERLAP : after]

    def _take(self, url: str, at: int, payload: bytes) -> None:
        event = scalars(payload)
        if event is None:
            self._note(f"{url}: the record at byte {at} is no event and was skipped")
        elif event[2]:
            self._ready.append(ScalarEvent(*event))

    def _wait_at_damage(self, url: str, file: _File) -> None:
        """The next read begins at the damaged record: a good file differs in bytes read already."""
        if not file.reported:
            file.reported = True
            self._note(f"{url}: the record at byte {file.offset} is damaged; waiting for what follows")

    def _note_skipped(self, url: str, file: _File, end: int) -> None:
        text = f"{url}: damaged bytes {file.offset} to {end} were skipped"
        if file.reported:
            log.warning("%s", text)
        else:
            self._note(text)

    def _note(self, problem: str) -> None:
        self._problems.append(problem)
        log.warning("%s", problem)


def _is_event_file(url: str) -> bool:
    return _MARK in url.rsplit("/", 1)[-1]
