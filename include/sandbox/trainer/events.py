"""TensorBoard event files on OSS, written record by record as TensorFlow writes them."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping

import google_crc32c
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2

from include.sandbox.trainer.oss import Oss

_MASK_DELTA = 0xA282EAD8


def record(payload: bytes) -> bytes:
    """Length, its masked CRC-32C, payload, its masked CRC-32C (TFRecord framing)."""
    head = struct.pack("<Q", len(payload))
    return head + _masked(head) + payload + _masked(payload)


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF)


class EventWriter:
    """Appends to one ``events.out.tfevents.*`` file of a folder, created with the first record."""

    def __init__(self, oss: Oss, folder: str, *, host: str, number: int = 0) -> None:
        self._oss = oss
        suffix = f".{number}" if number else ""
        self.url = f"{folder.rstrip('/')}/events.out.tfevents.{int(time.time()):010d}.{host}{suffix}"
        self._started = False
        self._held: list[bytes] | None = None

    def hold(self) -> None:
        """Keep records back until ``release``: some writers publish a file only when they close it."""
        self._held = []

    def release(self) -> None:
        held, self._held = self._held or [], None
        self.append(b"".join(held))

    def scalars(self, values: Mapping[str, float], step: int, *, checkpoint: str = "") -> bytes:
        """One framed event with all tags; with ``checkpoint`` another that names it, as evaluators write."""
        summary = summary_pb2.Summary(
            value=[summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        )
        data = self._event(step, summary)
        if checkpoint:
            # A string tensor: readers that expect scalars only trip over it.
            tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[checkpoint.encode()])
            named = summary_pb2.Summary.Value(tag="checkpoint_path", tensor=tensor)
            data += self._event(step, summary_pb2.Summary(value=[named]))
        return data

    def append(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            return
        if not data:
            return
        if not self._started:
            self._started = True
            data = self._frame(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")) + data
        self._oss.append(self.url, data)

    def _event(self, step: int, summary: summary_pb2.Summary) -> bytes:
        return self._frame(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def _frame(self, event: event_pb2.Event) -> bytes:
        return record(event.SerializeToString())
