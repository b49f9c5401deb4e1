"""The tunnel's row format: protobuf wire types with a CRC-32C after each row and one over them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import google_crc32c

from include.sandbox.tables import Column

_ROW_END = 33553408
_COUNT = 33554430
_STREAM_CRC = 33554431
_VARINT, _FIXED64, _BYTES = 0, 1, 2


def encode(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> bytes:
    """Fields are numbered from 1 in the order of ``columns``; a NULL is left out."""
    out = bytearray()
    checks = bytearray()
    for row in rows:
        signed = bytearray()
        for number, (column, value) in enumerate(zip(columns, row, strict=True), 1):
            if value is None:
                continue
            signed += struct.pack("<i", number)
            if column.type == "bigint":
                out += _tag(number, _VARINT) + _varint(_zigzag(value))
                signed += struct.pack("<q", value)
            elif column.type == "boolean":
                out += _tag(number, _VARINT) + _varint(int(value))
                signed += struct.pack("<?", value)
            elif column.type == "double":
                packed = struct.pack("<d", value)
                out += _tag(number, _FIXED64) + packed
                signed += packed
            else:
                text = str(value).encode()
                out += _tag(number, _BYTES) + _varint(len(text)) + text
                signed += text
        check = google_crc32c.value(bytes(signed))
        out += _tag(_ROW_END, _VARINT) + _varint(check)
        checks += struct.pack("<I", check)
    out += _tag(_COUNT, _VARINT) + _varint(_zigzag(len(rows)))
    out += _tag(_STREAM_CRC, _VARINT) + _varint(google_crc32c.value(bytes(checks)))
    return bytes(out)


def _zigzag(number: int) -> int:
    return ((number << 1) ^ (number >> 63)) & 0xFFFFFFFFFFFFFFFF


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)
