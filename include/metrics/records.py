"""Records of TensorBoard event files and the scalars in them, without TensorFlow.

A record is ``length (8 bytes) | masked CRC of length | payload | masked CRC of payload``, little-endian.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

import google_crc32c
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2, tensor_pb2, types_pb2

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
_OVERHEAD = HEADER.size + FOOTER.size


@dataclass(frozen=True)
class Record:
    """A complete record. ``payload`` is None when its checksum is wrong. ``end``: where the next begins."""

    payload: bytes | None
    end: int


class LengthDamagedError(Exception):
    """The length of a record is damaged: nothing after it can be framed. Never leaves this package."""


def masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def next_record(data: bytes, start: int) -> Record | None:
    """The record at ``start``, or None when it is not complete yet. Raises LengthDamagedError."""
    if len(data) - start < HEADER.size:
        return None
    length, length_crc = HEADER.unpack_from(data, start)
    if masked_crc(data[start : start + 8]) != length_crc:
        raise LengthDamagedError
    end = start + _OVERHEAD + length
    if end > len(data):
        return None
    payload = data[start + HEADER.size : end - FOOTER.size]
    intact = masked_crc(payload) == FOOTER.unpack_from(data, end - FOOTER.size)[0]
    return Record(payload if intact else None, end)


def intact_record_after(data: bytes, damaged: int) -> int | None:
    """Where the first intact record after the damaged one at ``damaged`` begins, if there is one.

    Works for a damaged length too: every position is tried, and two checksums make a false find unlikely.
    """
    with contextlib.suppress(LengthDamagedError):
        record = next_record(data, damaged)
        if record is not None and _is_intact(data, record.end):
            return record.end
    return next((at for at in range(damaged + 1, len(data) - _OVERHEAD + 1) if _is_intact(data, at)), None)


def _is_intact(data: bytes, start: int) -> bool:
    try:
        record = next_record(data, start)
    except LengthDamagedError:
        return False
    return record is not None and record.payload is not None


def scalars(payload: bytes) -> tuple[int, float, dict[str, float]] | None:
    """``(global step, wall time in seconds, values)`` of an event; None when it is no event at all.

    ``values`` is empty for events without scalars (file version, graph, histograms).
    """
    try:
        event = event_pb2.Event.FromString(payload)
    except DecodeError:
        return None
    values: dict[str, float] = {}
    for value in event.summary.value:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            values[value.tag] = value.simple_value
        elif kind == "tensor" and (number := _tensor_scalar(value.tensor)) is not None:
            values[value.tag] = number
    return event.step, event.wall_time, values


def _bfloat16(content: bytes) -> float:
    number: float = struct.unpack("<f", b"\0\0" + content)[0]
    return number


def _unpack(code: str) -> Callable[[bytes], float]:
    def unpack(content: bytes) -> float:
        return float(struct.unpack(code, content)[0])

    return unpack


# dtype: (field that holds the number when tensor_content does not, decoder of tensor_content)
_DTYPES: dict[int, tuple[str, Callable[[bytes], float]]] = {
    types_pb2.DT_FLOAT: ("float_val", _unpack("<f")),
    types_pb2.DT_DOUBLE: ("double_val", _unpack("<d")),
    types_pb2.DT_INT32: ("int_val", _unpack("<i")),
    types_pb2.DT_INT64: ("int64_val", _unpack("<q")),
    types_pb2.DT_HALF: ("half_val", _unpack("<e")),
    types_pb2.DT_BFLOAT16: ("half_val", _bfloat16),
}


def _tensor_scalar(tensor: tensor_pb2.TensorProto) -> float | None:
    """The number in a tensor of one element; None for anything else (text, histograms)."""
    size = 1
    for dim in tensor.tensor_shape.dim:
        size *= dim.size
    if size != 1 or tensor.dtype not in _DTYPES:
        return None
    field, decode = _DTYPES[tensor.dtype]
    if tensor.tensor_content:
        try:
            return decode(tensor.tensor_content)
        except struct.error:
            return None
    numbers = getattr(tensor, field)
    if not numbers:
        return 0.0  # protobuf writers leave a tensor of the default value empty
    if field == "half_val":
        return decode(struct.pack("<H", numbers[0] & 0xFFFF))
    return float(numbers[0])
