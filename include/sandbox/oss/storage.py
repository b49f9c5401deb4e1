"""Buckets and objects on disk: OSS's state, shared by the server and the jobs' processes.

A key's path segments become folders (``name@``) and its last one a file, both percent-encoded, so that
every key has a file name, no key leaves the bucket's folder, ``a`` and ``a/b`` can both exist, and people
can still look at the files. Safe for several threads and processes: an object appears whole or not at
all, and appends and conditional writes take a file lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import crcmod

from include.errors import AlreadyExistsError, ConfigError, NotFoundError, StateError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_SEGMENT_LIMIT = 200
_LOCKS = 64
# A file changed this recently may change again without a visible difference in its times.
_TIME_RESOLUTION_S = 0.1
crc64 = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF, rev=True)


@dataclass(frozen=True)
class StoredObject:
    """``modified`` in seconds since the epoch; ``metadata`` holds whole ``x-oss-meta-*`` header names."""

    bucket: str
    key: str
    size: int
    modified: float
    appendable: bool = False
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """An object's state and bytes that belong together."""

    info: StoredObject
    etag: str
    crc64: int
    data: bytes | None


class NotAppendableError(StateError):
    """The object was written whole."""


class PositionError(StateError):
    """The object is ``size`` bytes long, not as long as the caller believes."""

    def __init__(self, size: int, message: str) -> None:
        super().__init__(message)
        self.size = size


class BucketStorage:
    """All buckets under one folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._digests: dict[Path, tuple[tuple[int, int, int], str, int]] = {}
        self._digests_lock = threading.Lock()

    # -- buckets ------------------------------------------------------------------------------------

    def create_bucket(self, bucket: str) -> None:
        if not _BUCKET.fullmatch(bucket):
            raise ConfigError(f"{bucket!r} can't be a bucket name", hint="3-63 of a-z, 0-9 and -")
        (self.root / bucket).mkdir(parents=True, exist_ok=True)

    def buckets(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if _BUCKET.fullmatch(path.name))

    def bucket_exists(self, bucket: str) -> bool:
        return bool(_BUCKET.fullmatch(bucket)) and (self.root / bucket).is_dir()

    def delete_bucket(self, bucket: str) -> None:
        """Raises NotFoundError, and StateError while there are objects."""
        folder = self._bucket_folder(bucket)
        if self.list(bucket):
            raise StateError(f"bucket {bucket} is not empty")
        shutil.rmtree(folder)

    # -- objects ------------------------------------------------------------------------------------

    def read(self, bucket: str, key: str) -> bytes:
        """The whole object. Raises NotFoundError."""
        with self._open(bucket, key) as stream:
            return stream.read()

    def write(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        overwrite: bool = True,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        """Write the whole object at once.

        Raises NotFoundError without the bucket, AlreadyExistsError when ``overwrite`` is False and the
        object exists.
        """
        path = self._path(bucket, key)
        temporary = self._temporary(data)
        try:
            with self._locked(path):
                if not overwrite and path.is_file():
                    raise AlreadyExistsError(f"oss://{bucket}/{key} exists")
                self._write_notes(path, False, content_type, metadata or {})
                _move(temporary, path)
                return self._require(bucket, key)
        finally:
            temporary.unlink(missing_ok=True)

    def append(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        position: int | None = None,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Append to an appendable object, creating it, and return its new length.

        Raises NotAppendableError when the object was made by ``write``, PositionError when it isn't
        ``position`` bytes long.
        """
        path = self._path(bucket, key)
        with self._locked(path):
            found = self.info(bucket, key)
            if found is not None and not found.appendable:
                raise NotAppendableError(f"oss://{bucket}/{key} is not appendable")
            size = found.size if found is not None else 0
            if position is not None and position != size:
                raise PositionError(size, f"oss://{bucket}/{key} is {size} bytes long, not {position}")
            if found is None:
                self._write_notes(path, True, content_type, metadata or {})
                _move(self._temporary(data), path)
            else:
                with path.open("ab", buffering=0) as stream:
                    stream.write(data)
            return size + len(data)

    def exists(self, bucket: str, key: str) -> bool:
        return self._path(bucket, key).is_file()

    def info(self, bucket: str, key: str) -> StoredObject | None:
        """None when there is no such object. Raises NotFoundError without the bucket."""
        path = self._path(bucket, key)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._describe(bucket, key, path, status)

    def list(self, bucket: str, prefix: str = "") -> list[str]:
        """Keys that start with ``prefix``, in order. Raises NotFoundError without the bucket."""
        top = self._bucket_folder(bucket)
        start = top.joinpath(*_encode(prefix[: prefix.rfind("/") + 1])[:-1])
        keys = (_decode(path.relative_to(top)) for path in _files(start))
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, bucket: str, key: str) -> None:
        """Deleting what isn't there is fine, as on OSS. Folders stay: a write may be on its way into one."""
        path = self._path(bucket, key)
        with self._locked(path):
            path.unlink(missing_ok=True)
            self._notes_path(path).unlink(missing_ok=True)

    def snapshot(self, bucket: str, key: str, *, with_data: bool = True) -> Snapshot | None:
        """State, digests and bytes of one moment; None when there is no such object."""
        path = self._path(bucket, key)
        try:
            with path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                info = self._describe(bucket, key, path, status)
                identity = (status.st_ino, status.st_size, status.st_mtime_ns)
                with self._digests_lock:
                    known = self._digests.get(path)
                if known is not None and known[0] == identity:
                    data = stream.read(status.st_size) if with_data else None
                    return Snapshot(info, known[1], known[2], data)
                content = stream.read(status.st_size)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest().upper()
        crc: int = crc64(content)
        if abs(time.time() - status.st_mtime) > _TIME_RESOLUTION_S:
            with self._digests_lock:
                self._digests[path] = (identity, etag, crc)
        return Snapshot(info, etag, crc, content if with_data else None)

    # -- files --------------------------------------------------------------------------------------

    def _bucket_folder(self, bucket: str) -> Path:
        if not self.bucket_exists(bucket):
            known = ", ".join(self.buckets()) or "none"
            raise NotFoundError(f"there is no bucket {bucket!r}", hint=f"there are: {known}")
        return self.root / bucket

    def _path(self, bucket: str, key: str) -> Path:
        if not key or len(key.encode()) > 1023:
            raise ConfigError(f"{key[:80]!r} can't be an object key", hint="1 to 1023 bytes")
        return self._bucket_folder(bucket).joinpath(*_encode(key))

    def _open(self, bucket: str, key: str) -> BinaryIO:
        try:
            return self._path(bucket, key).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"there is no object oss://{bucket}/{key}") from None

    def _describe(self, bucket: str, key: str, path: Path, status: os.stat_result) -> StoredObject:
        notes = self._read_notes(path)
        return StoredObject(bucket, key, status.st_size, status.st_mtime, **notes)

    def _require(self, bucket: str, key: str) -> StoredObject:
        found = self.info(bucket, key)
        if found is None:
            raise NotFoundError(f"there is no object oss://{bucket}/{key}")
        return found

    def _notes_path(self, path: Path) -> Path:
        return self.root / ".notes" / path.relative_to(self.root)

    def _read_notes(self, path: Path) -> dict[str, Any]:
        try:
            notes: dict[str, Any] = json.loads(self._notes_path(path).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return notes

    def _write_notes(
        self, path: Path, appendable: bool, content_type: str, metadata: Mapping[str, str]
    ) -> None:
        """What a plain file can't tell; nothing for an ordinary object."""
        notes: dict[str, Any] = {"appendable": True} if appendable else {}
        if content_type:
            notes["content_type"] = content_type
        if metadata:
            notes["metadata"] = dict(metadata)
        where = self._notes_path(path)
        if notes:
            _move(self._temporary(json.dumps(notes).encode()), where)
        else:
            where.unlink(missing_ok=True)

    def _temporary(self, data: bytes) -> Path:
        folder = self.root / ".tmp"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        return Path(name)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Across threads and processes: each holder opens the lock file for itself."""
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        stripe = int(hashlib.md5(os.fsencode(path), usedforsecurity=False).hexdigest(), 16) % _LOCKS
        with (folder / f"{stripe:02d}").open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _encode(key: str) -> list[str]:
    """Folder names ending in ``@`` (a whole segment) or ``+`` (the first part of a long one), then a file."""
    *folders, last = key.split("/")
    names = [name for folder in folders for name in _chunks(folder, "@")]
    return names + _chunks(last, "")


def _chunks(segment: str, mark: str) -> list[str]:
    text = quote(segment, safe="=,:")
    if not mark:
        # "%" alone stands for an empty name; "." and ".." mean something to the file system.
        text = {"": "%", ".": "%2E", "..": "%2E%2E"}.get(text, text)
    parts = []
    while len(text) > _SEGMENT_LIMIT:
        parts.append(text[:_SEGMENT_LIMIT] + "+")
        text = text[_SEGMENT_LIMIT:]
    return [*parts, text + mark]


def _decode(path: Path) -> str:
    *folders, last = path.parts
    text = "".join(name[:-1] + ("/" if name.endswith("@") else "") for name in folders)
    return unquote(text + ("" if last == "%" else last))


def _files(folder: Path) -> Iterator[Path]:
    for top, _, names in os.walk(folder):
        for name in names:
            yield Path(top, name)


def _move(temporary: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
