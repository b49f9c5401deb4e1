"""What OSS answers when it is asked what there is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from urllib.parse import quote

from include.sandbox import xml
from include.sandbox.oss.storage import BucketStorage
from include.sandbox.server import Response, ServiceError

LOCATION = "oss-cn-sandbox"
ACL = xml.element(
    "AccessControlPolicy",
    xml.element("Owner", xml.text("ID", "sandbox"), xml.text("DisplayName", "sandbox")),
    xml.element("AccessControlList", xml.text("Grant", "private")),
)
_CREATED = "2024-01-01T00:00:00.000Z"


def timestamp(seconds: float) -> str:
    """OSS knows whole seconds, and clients insist on the zeros."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def encoder(query: Mapping[str, str]) -> Callable[[str], str]:
    if query.get("encoding-type") == "url":
        return lambda value: xml.escape(quote(value))
    return xml.escape


def buckets(storage: BucketStorage) -> Response:
    rows = "".join(
        xml.element(
            "Bucket",
            xml.text("Name", bucket),
            xml.text("CreationDate", _CREATED),
            xml.text("Location", LOCATION),
            xml.text("ExtranetEndpoint", "127.0.0.1"),
            xml.text("IntranetEndpoint", "127.0.0.1"),
            xml.text("StorageClass", "Standard"),
        )
        for bucket in storage.buckets()
    )
    body = xml.element("ListAllMyBucketsResult", xml.element("Buckets", rows))
    return Response(body=(xml.HEAD + body).encode())


def bucket_info(bucket: str) -> str:
    fields = {
        "Name": bucket,
        "Location": LOCATION,
        "CreationDate": _CREATED,
        "ExtranetEndpoint": "127.0.0.1",
        "IntranetEndpoint": "127.0.0.1",
        "StorageClass": "Standard",
    }
    return xml.element(
        "BucketInfo",
        xml.element(
            "Bucket",
            *(xml.text(name, value) for name, value in fields.items()),
            xml.element("Owner", xml.text("ID", "sandbox"), xml.text("DisplayName", "sandbox")),
            xml.element("AccessControlList", xml.text("Grant", "private")),
        ),
    )


def objects(storage: BucketStorage, bucket: str, query: Mapping[str, str]) -> str:
    """ListObjects and ListObjectsV2."""
    second = query.get("list-type") == "2"
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = query.get("max-keys") or "100"
    if not limit.isdigit() or not 1 <= int(limit) <= 1000:
        raise ServiceError(400, "InvalidArgument", "max-keys is not in 1..1000")
    names = _collapse(storage.list(bucket, prefix), prefix, delimiter)
    after = _start(query) if second else query.get("marker", "")
    names = [name for name in names if name > after]
    page, truncated = names[: int(limit)], len(names) > int(limit)
    encode = encoder(query)
    parts = [
        xml.text("Name", bucket),
        f"<Prefix>{encode(prefix)}</Prefix>",
        xml.text("MaxKeys", limit),
        f"<Delimiter>{encode(delimiter)}</Delimiter>",
        xml.text("IsTruncated", str(truncated).lower()),
    ]
    if query.get("encoding-type") == "url":
        parts.append(xml.text("EncodingType", "url"))
    if second:
        parts.append(xml.text("KeyCount", len(page)))
    if truncated and second:
        token = base64.b64encode(page[-1].encode()).decode()
        parts.append(xml.text("NextContinuationToken", token))
    elif truncated:
        parts.append(f"<NextMarker>{encode(page[-1])}</NextMarker>")
    for name in page:
        if delimiter and delimiter in name[len(prefix) :]:
            parts.append(xml.element("CommonPrefixes", f"<Prefix>{encode(name)}</Prefix>"))
        else:
            parts.append(_object(storage, bucket, name, encode))
    return xml.element("ListBucketResult", *parts)


def _object(storage: BucketStorage, bucket: str, key: str, encode: Callable[[str], str]) -> str:
    snapshot = storage.snapshot(bucket, key, with_data=False)
    if snapshot is None:  # deleted since the keys were read
        return ""
    return xml.element(
        "Contents",
        f"<Key>{encode(key)}</Key>",
        xml.text("LastModified", timestamp(snapshot.info.modified)),
        xml.text("ETag", f'"{snapshot.etag}"'),
        xml.text("Type", "Appendable" if snapshot.info.appendable else "Normal"),
        xml.text("Size", snapshot.info.size),
        xml.text("StorageClass", "Standard"),
    )


def _collapse(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """Keys, with those that share a part up to the delimiter (after the prefix) as that one part."""
    names: dict[str, None] = {}
    for key in keys:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        names[key if end < 0 else key[: end + len(delimiter)]] = None
    return list(names)


def _start(query: Mapping[str, str]) -> str:
    token = query.get("continuation-token", "")
    if not token:
        return query.get("start-after", "")
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ServiceError(400, "InvalidArgument", "The continuation token is invalid.") from None
