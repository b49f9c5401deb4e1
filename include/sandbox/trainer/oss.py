"""Objects by ``oss://`` URL, limited to the buckets that ``-Dbuckets`` lets the workers see."""

from __future__ import annotations

from collections.abc import Iterable

from include.errors import AccessError, ConfigError, NotFoundError
from include.names import split_oss_url
from include.sandbox.oss.storage import BucketStorage


class Oss:
    """What a job can reach of the object storage."""

    def __init__(self, storage: BucketStorage, buckets: Iterable[str]) -> None:
        self._storage = storage
        self._buckets = frozenset(buckets)

    def read(self, url: str) -> bytes:
        """The whole object. Raises NotFoundError, AccessError for a bucket outside ``-Dbuckets``."""
        return self._storage.read(*self._split(url))

    def write(self, url: str, data: bytes) -> None:
        self._storage.write(*self._split(url), data)

    def append(self, url: str, data: bytes) -> None:
        self._storage.append(*self._split(url), data)

    def exists(self, url: str) -> bool:
        return self._storage.exists(*self._split(url))

    def delete(self, url: str) -> None:
        self._storage.delete(*self._split(url))

    def names(self, folder: str) -> list[str]:
        """Names of what lies in a folder, sub-folders' content with its relative path."""
        bucket, prefix = self._split(folder.rstrip("/") + "/")
        return [key[len(prefix) :] for key in self._storage.list(bucket, prefix)]

    def _split(self, url: str) -> tuple[str, str]:
        bucket, key = split_oss_url(url)
        # oss://bucket.host/key names the same bucket.
        bucket = bucket.partition(".")[0]
        if bucket not in self._buckets:
            raise AccessError(
                f"workers have no access to bucket {bucket!r}",
                where=url,
                hint=f"add it to -Dbuckets, which has {', '.join(sorted(self._buckets)) or 'none'}",
            )
        if not self._storage.bucket_exists(bucket):
            raise NotFoundError(f"there is no bucket {bucket!r}", where=url)
        return bucket, key


def bucket_names(buckets: str) -> list[str]:
    """``oss://a/,oss://b.host/`` → ``["a", "b"]``. ConfigError for anything else."""
    found = []
    for entry in filter(None, (part.strip() for part in buckets.split(","))):
        scheme, _, rest = entry.partition("://")
        if scheme != "oss" or not rest:
            raise ConfigError(f"{entry!r} is not a bucket", where="-Dbuckets", hint="write oss://<bucket>/")
        found.append(rest.split("/")[0].partition(".")[0])
    return found
