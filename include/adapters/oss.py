"""ObjectStore on oss2, which itself repeats nothing: every call here has its own bounded retries."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, TypeVar

import oss2

from include import names
from include.adapters.connections import OssCredentials
from include.adapters.errors import raise_oss
from include.adapters.retries import TIMEOUTS, Retries, quiet_clients
from include.errors import AlreadyExistsError, ConfigError, NotFoundError, RetryableError
from include.ports import ObjectInfo

Result = TypeVar("Result")

# Without it a range beyond the end answers with the whole object instead of 416.
_STANDARD_RANGE = {"x-oss-range-behavior": "standard"}
_FORBID_OVERWRITE = {"x-oss-forbid-overwrite": "true"}
_PAGE = 1000
_PARTIAL, _RANGE_NOT_SATISFIABLE = 206, 416


class OssObjects:
    """Objects by ``oss://bucket/key`` URLs. Make one per connection and keep it; it is thread-safe."""

    def __init__(self, credentials: OssCredentials, *, retries: Retries | None = None) -> None:
        """No request is sent here."""
        quiet_clients()
        self._credentials = credentials
        self._retries = retries or Retries()
        self._session = oss2.Session()
        self._buckets: dict[str, Any] = {}
        self._lock = threading.Lock()

    def read(self, url: str) -> bytes:
        bucket, key = _object(url)
        data: bytes = self._call(url, lambda: self._bucket(bucket).get_object(key).read())
        return data

    def read_from(self, url: str, offset: int) -> bytes | None:
        bucket, key = _object(url)

        def attempt() -> bytes | None:
            try:
                answer = self._bucket(bucket).get_object(
                    key, byte_range=(offset, None), headers=_STANDARD_RANGE
                )
            except oss2.exceptions.ServerError as error:
                if error.status == _RANGE_NOT_SATISFIABLE:
                    return None
                raise
            data: bytes = answer.read()
            if answer.status != _PARTIAL:
                data = data[offset:]  # something in between ignored the range
            return data or None

        return self._call(url, attempt)

    def write(self, url: str, data: bytes, *, overwrite: bool = True) -> None:
        """See the port. With ``overwrite=False``, the same bytes found after a lost answer are ours."""
        bucket, key = _object(url)
        headers = {} if overwrite else dict(_FORBID_OVERWRITE)
        lost = False

        def attempt() -> None:
            nonlocal lost
            try:
                self._once(url, lambda: self._bucket(bucket).put_object(key, data, headers=headers))
            except RetryableError:
                lost = True
                raise

        try:
            self._retries.call(attempt)
        except AlreadyExistsError:
            if not lost or self.read(url) != data:
                raise

    def info(self, url: str) -> ObjectInfo | None:
        bucket, key = _object(url)
        try:
            head = self._call(url, lambda: self._bucket(bucket).head_object(key))
        except NotFoundError:
            # The answer to HEAD has no body: only another request tells a missing bucket from a missing key.
            self._call(url, lambda: self._bucket(bucket).list_objects_v2(prefix=key, max_keys=1))
            return None
        return ObjectInfo(url, head.content_length, head.etag, _time(head.last_modified))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        bucket, key_prefix = names.split_oss_url(prefix)
        token = ""
        while True:
            page = self._call(prefix, functools.partial(self._page, bucket, key_prefix, token))
            for found in page.object_list:
                yield ObjectInfo(
                    f"oss://{bucket}/{found.key}", found.size, found.etag, _time(found.last_modified)
                )
            if not page.is_truncated:
                return
            token = page.next_continuation_token

    def delete(self, url: str) -> None:
        """Remove the object; a missing one is fine."""
        bucket, key = _object(url)
        self._call(url, lambda: self._bucket(bucket).delete_object(key))

    def _page(self, bucket: str, prefix: str, after: str) -> Any:
        return self._bucket(bucket).list_objects_v2(prefix=prefix, continuation_token=after, max_keys=_PAGE)

    def _call(self, url: str, attempt: Callable[[], Result]) -> Result:
        return self._retries.call(lambda: self._once(url, attempt))

    def _once(self, url: str, attempt: Callable[[], Result]) -> Result:
        try:
            return attempt()
        except Exception as error:  # noqa: BLE001 - raised again as ours, or as it is
            bucket = names.split_oss_url(url)[0]
            raise_oss(error, where=url, bucket=bucket, keys=self._credentials)

    def _bucket(self, name: str) -> Any:
        with self._lock:
            if name not in self._buckets:
                self._buckets[name] = self._connect(name)
            return self._buckets[name]

    def _connect(self, name: str) -> Any:
        keys = self._credentials
        version = oss2.AUTH_VERSION_4 if keys.region else oss2.AUTH_VERSION_1
        if keys.security_token:
            auth = oss2.StsAuth(
                keys.access_key_id, keys.access_key_secret, keys.security_token, auth_version=version
            )
        else:
            auth = oss2.make_auth(keys.access_key_id, keys.access_key_secret, version)
        try:
            return oss2.Bucket(
                auth,
                keys.endpoint,
                name,
                session=self._session,
                connect_timeout=TIMEOUTS,
                region=keys.region or None,
            )
        except oss2.exceptions.ClientError as error:
            raise ConfigError(f"OSS: {error.body}", where=f"oss://{name}/") from error


def _object(url: str) -> tuple[str, str]:
    bucket, key = names.split_oss_url(url)
    if not key:
        raise ConfigError("this is a bucket, not an object", where=url, hint="write oss://<bucket>/<path>")
    return bucket, key


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
