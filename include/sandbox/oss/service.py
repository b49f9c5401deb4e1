"""OSS on the wire: routes of a request, and how objects are read and written through it."""

from __future__ import annotations

import base64
import hashlib
import re
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import unquote

from include.errors import AlreadyExistsError, ConfigError, NotFoundError, StateError
from include.sandbox import xml
from include.sandbox.oss import listing
from include.sandbox.oss.storage import BucketStorage, NotAppendableError, PositionError, Snapshot, crc64
from include.sandbox.server import Request, Response, ServiceError
from include.sandbox.signatures import Accounts, check_oss

_KNOWN_OBJECT_QUERIES = {"objectMeta", "append", "position", "acl"}


class OssService:
    """Path-style OSS over a ``BucketStorage``. All requests must be signed."""

    name = "oss"

    def __init__(self, storage: BucketStorage, accounts: Accounts) -> None:
        self._storage = storage
        self._accounts = accounts

    def handle(self, request: Request) -> Response:
        bucket, _, key = request.path.lstrip("/").partition("/")
        check_oss(request, bucket, key, self._accounts)
        try:
            if not bucket:
                return listing.buckets(self._storage)
            if not key:
                return self._handle_bucket(request, bucket)
            self._require_bucket(bucket)
            return self._handle_object(request, bucket, key)
        except ConfigError as error:
            raise ServiceError(400, "InvalidArgument", str(error)) from error
        except NotFoundError:
            raise _no_such_bucket(bucket) from None

    def render_error(self, error: ServiceError, request: Request) -> Response:
        details = "".join(xml.text(name, value) for name, value in error.details.items())
        body = xml.HEAD + xml.element(
            "Error",
            xml.text("Code", error.code),
            xml.text("Message", error.message),
            xml.text("RequestId", "SANDBOX"),
            xml.text("HostId", request.headers.get("host", "")),
            details,
            xml.text("EC", "0000-00000000"),
        )
        # HEAD answers have no body: OSS repeats the error in a header.
        headers = {"x-oss-err": base64.b64encode(body.encode()).decode()} if request.method == "HEAD" else {}
        if error.status == 409 and "Position" in error.details:
            headers["x-oss-next-append-position"] = error.details["Position"]
        return Response(error.status, b"" if error.status == 304 else body.encode(), headers)

    # -- buckets ------------------------------------------------------------------------------------

    def _require_bucket(self, bucket: str) -> None:
        if not self._storage.bucket_exists(bucket):
            raise _no_such_bucket(bucket)

    def _handle_bucket(self, request: Request, bucket: str) -> Response:
        if request.method == "PUT" and not request.query:
            self._storage.create_bucket(bucket)
            return Response(headers={"Location": f"/{bucket}"})
        self._require_bucket(bucket)
        if request.method == "POST" and "delete" in request.query:
            return self._delete_many(request, bucket)
        if request.method == "DELETE":
            try:
                self._storage.delete_bucket(bucket)
            except StateError:
                message = "The bucket you tried to delete is not empty."
                raise ServiceError(409, "BucketNotEmpty", message) from None
            return Response(204)
        if request.method not in ("GET", "HEAD"):
            raise _unsupported(request)
        if "location" in request.query:
            return _xml(xml.text("LocationConstraint", listing.LOCATION))
        if "bucketInfo" in request.query:
            return _xml(listing.bucket_info(bucket))
        if "acl" in request.query:
            return _xml(listing.ACL)
        return _xml(listing.objects(self._storage, bucket, request.query))

    def _delete_many(self, request: Request, bucket: str) -> Response:
        _check_md5(request)
        root = xml.parse(request.body)
        keys = [node.text or "" for node in root.iterfind("Object/Key")]
        for key in keys:
            self._storage.delete(bucket, key)
        if (root.findtext("Quiet") or "").lower() == "true":
            return Response()
        encode = listing.encoder(request.query)
        deleted = "".join(xml.element("Deleted", f"<Key>{encode(key)}</Key>") for key in keys)
        encoding = xml.text("EncodingType", "url") if request.query.get("encoding-type") == "url" else ""
        return _xml(xml.element("DeleteResult", encoding, deleted))

    # -- objects ------------------------------------------------------------------------------------

    def _handle_object(self, request: Request, bucket: str, key: str) -> Response:
        unknown = {
            name
            for name, value in request.query.items()
            if not value and name not in _KNOWN_OBJECT_QUERIES and not name.startswith("x-oss-")
        }
        if unknown:
            raise _unsupported(request)
        if request.method == "PUT":
            if "x-oss-copy-source" in request.headers:
                return self._copy(request, bucket, key)
            return self._put(request, bucket, key)
        if request.method == "POST" and "append" in request.query:
            return self._append(request, bucket, key)
        if request.method == "DELETE":
            self._storage.delete(bucket, key)
            return Response(204)
        if request.method not in ("GET", "HEAD"):
            raise _unsupported(request)
        return self._get(request, bucket, key)

    def _put(self, request: Request, bucket: str, key: str) -> Response:
        _check_md5(request)
        self._write(request, bucket, key, request.body)
        headers = {
            "ETag": f'"{hashlib.md5(request.body, usedforsecurity=False).hexdigest().upper()}"',
            "x-oss-hash-crc64ecma": str(crc64(request.body)),
        }
        return Response(headers=headers)

    def _write(self, request: Request, bucket: str, key: str, data: bytes) -> None:
        forbid = request.headers.get("x-oss-forbid-overwrite", "").lower() == "true"
        try:
            self._storage.write(
                bucket,
                key,
                data,
                overwrite=not forbid,
                content_type=request.headers.get("content-type", ""),
                metadata=_metadata(request),
            )
        except AlreadyExistsError:
            message = "The object you specified already exists and can not be overwritten."
            raise ServiceError(409, "FileAlreadyExists", message) from None

    def _append(self, request: Request, bucket: str, key: str) -> Response:
        _check_md5(request)
        position = request.query.get("position", "")
        if not position.isdigit():
            raise ServiceError(400, "InvalidArgument", "The position is not a number.")
        try:
            size = self._storage.append(
                bucket,
                key,
                request.body,
                position=int(position),
                content_type=request.headers.get("content-type", ""),
                metadata=_metadata(request),
            )
        except NotAppendableError:
            raise ServiceError(409, "ObjectNotAppendable", "The object is not appendable") from None
        except PositionError as error:
            message = "Position is not equal to file length"
            raise ServiceError(409, "PositionNotEqualToLength", message, Position=str(error.size)) from None
        headers = _object_headers(self._require(bucket, key, with_data=False))
        return Response(headers={**headers, "x-oss-next-append-position": str(size)})

    def _copy(self, request: Request, bucket: str, key: str) -> Response:
        source_bucket, _, source_key = (
            unquote(request.headers["x-oss-copy-source"]).lstrip("/").partition("/")
        )
        self._require_bucket(source_bucket)
        source = self._require(source_bucket, source_key, with_data=True)
        _check_conditions(request, source, prefix="x-oss-copy-source-")
        self._write(request, bucket, key, source.data or b"")
        snapshot = self._require(bucket, key, with_data=False)
        body = xml.element(
            "CopyObjectResult",
            xml.text("ETag", f'"{snapshot.etag}"'),
            xml.text("LastModified", listing.timestamp(snapshot.info.modified)),
        )
        return Response(body=(xml.HEAD + body).encode(), headers=_object_headers(snapshot))

    def _get(self, request: Request, bucket: str, key: str) -> Response:
        with_data = request.method == "GET" and "acl" not in request.query
        snapshot = self._require(bucket, key, with_data=with_data)
        headers = _object_headers(snapshot)
        if _check_conditions(request, snapshot):
            return Response(304, headers=headers)
        kind = snapshot.info.content_type
        if request.method == "HEAD":
            return Response(headers=headers, content_type=kind, length=snapshot.info.size)
        if "acl" in request.query:
            return _xml(listing.ACL)
        data = snapshot.data or b""
        span = _range(request, len(data))
        if span is None:
            return Response(200, data, headers, kind)
        first, last = span
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Response(206, data[first : last + 1], headers, kind)

    def _require(self, bucket: str, key: str, *, with_data: bool) -> Snapshot:
        snapshot = self._storage.snapshot(bucket, key, with_data=with_data)
        if snapshot is None:
            raise ServiceError(404, "NoSuchKey", "The specified key does not exist.", Key=key)
        return snapshot


def _xml(content: str) -> Response:
    return Response(body=(xml.HEAD + content).encode())


def _metadata(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.startswith("x-oss-meta-")}


def _object_headers(snapshot: Snapshot) -> dict[str, str]:
    info = snapshot.info
    headers = {
        "ETag": f'"{snapshot.etag}"',
        "x-oss-hash-crc64ecma": str(snapshot.crc64),
        "Last-Modified": formatdate(info.modified, usegmt=True),
        "x-oss-object-type": "Appendable" if info.appendable else "Normal",
        "x-oss-storage-class": "Standard",
        "Accept-Ranges": "bytes",
        **info.metadata,
    }
    if info.appendable:
        headers["x-oss-next-append-position"] = str(info.size)
    return headers


def _check_md5(request: Request) -> None:
    given = request.headers.get("content-md5")
    actual = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
    if given and given != actual:
        raise ServiceError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")


def _check_conditions(request: Request, snapshot: Snapshot, prefix: str = "") -> bool:
    """True when the answer is 304 Not Modified; raises ServiceError 412."""
    headers = request.headers

    def given(name: str) -> str:
        return headers.get(prefix + name, "")

    def matches(value: str) -> bool:
        return value == "*" or snapshot.etag in [part.strip().strip('"') for part in value.split(",")]

    def not_after(value: str) -> bool:
        try:
            return int(snapshot.info.modified) <= parsedate_to_datetime(value).timestamp()
        except (TypeError, ValueError):
            raise ServiceError(400, "InvalidArgument", f"{value} is not a date.") from None

    failed = ""
    if given("if-match") and not matches(given("if-match")):
        failed = "If-Match"
    elif given("if-unmodified-since") and not not_after(given("if-unmodified-since")):
        failed = "If-Unmodified-Since"
    if failed:
        message = "At least one of the pre-conditions you specified did not hold."
        raise ServiceError(412, "PreconditionFailed", message, Condition=failed)
    if given("if-none-match"):
        return matches(given("if-none-match"))
    return bool(given("if-modified-since")) and not_after(given("if-modified-since"))


def _range(request: Request, size: int) -> tuple[int, int] | None:
    """First and last byte, or None for the whole object.

    As OSS does: a range that reaches beyond the object gives the whole object with 200, unless the
    request asks for the standard behaviour.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if match is None or not (match[1] or match[2]):
        return None
    standard = request.headers.get("x-oss-range-behavior", "") == "standard"
    if match[1]:
        first, last = int(match[1]), int(match[2] or size - 1)
    else:
        first, last = size - int(match[2]), size - 1
    outside = first >= size or (match[1] and match[2] and last < first)
    if not standard:
        return None if outside or first < 0 or last >= size else (first, last)
    if match[1] and match[2] and last < first:
        return None
    if outside:
        message = "The requested range cannot be satisfied."
        raise ServiceError(
            416, "InvalidRange", message, ActualObjectSize=str(size), RangeHeader=request.headers["range"]
        )
    return max(first, 0), min(last, size - 1)


def _no_such_bucket(bucket: str) -> ServiceError:
    return ServiceError(404, "NoSuchBucket", "The specified bucket does not exist.", BucketName=bucket)


def _unsupported(request: Request) -> ServiceError:
    operation = f"{request.method} {request.path}?{'&'.join(request.query)}"
    return ServiceError(501, "NotImplemented", f"The sandbox's OSS doesn't know {operation}")
