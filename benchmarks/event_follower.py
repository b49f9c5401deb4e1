"""What following event files costs: bytes against the old way, time against TensorBoard's own reader.

    python benchmarks/event_follower.py

The old way downloads every event file whole at each poll (reference, defects).
"""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tensorboard.compat.proto import event_pb2, summary_pb2

from include.metrics.events import EventFollower
from include.metrics.records import masked_crc
from include.ports import ObjectInfo

EVENTS, TAGS, POLLS = 10_000, 13, 200
PREFIX = "oss://bucket/model/eval_val/"
URL = PREFIX + "events.out.tfevents.1700000000.host"


class OneFile:
    """The part of an ObjectStore that a follower needs, over one growing file."""

    def __init__(self) -> None:
        self.data = b""

    def list(self, _prefix: str) -> Iterator[ObjectInfo]:
        yield ObjectInfo(URL, len(self.data), str(len(self.data)), datetime.now(timezone.utc))

    def read_from(self, _url: str, offset: int) -> bytes | None:
        return self.data[offset:] or None


def event_file() -> bytes:
    numbers = random.Random(1)
    out = bytearray()
    for step in range(EVENTS):
        values = [
            summary_pb2.Summary.Value(tag=f"auc_of_objective_{tag}", simple_value=numbers.random())
            for tag in range(TAGS)
        ]
        event = event_pb2.Event(wall_time=step, step=step, summary=summary_pb2.Summary(value=values))
        payload = event.SerializeToString()
        length = struct.pack("<Q", len(payload))
        out += length + struct.pack("<I", masked_crc(length))
        out += payload + struct.pack("<I", masked_crc(payload))
    return bytes(out)


def bytes_read(data: bytes) -> None:
    cuts = [*sorted(random.Random(2).sample(range(1, len(data)), POLLS - 1)), len(data)]
    store = OneFile()
    follower = EventFollower(store, PREFIX)  # type: ignore[arg-type]
    events = 0
    for cut in cuts:
        store.data = data[:cut]
        events += len(follower.poll())
    assert events == EVENTS
    old = sum(cuts)
    print(f"{POLLS} polls of a file growing to {len(data):,} bytes, {EVENTS:,} evaluations of {TAGS} tags")
    print(f"  bytes read: {follower.bytes_read:,} ({follower.bytes_read / len(data):.4f} of the file)")
    print(f"  the old way: {old:,}, {old / follower.bytes_read:.0f} times as many")


OURS = """
import sys, time; t = time.perf_counter()
sys.path.insert(0, {root!r})
from include.metrics.records import next_record, scalars
i = time.perf_counter(); data = open({path!r}, "rb").read(); at = n = 0
while (r := next_record(data, at)) is not None:
    n += len(scalars(r.payload)[2]); at = r.end
e = time.perf_counter()
"""
THEIRS = """
import sys, time; t = time.perf_counter()
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
i = time.perf_counter()
a = EventAccumulator({folder!r}, size_guidance={{"scalars": 0}}); a.Reload()
n = sum(len(a.Scalars(tag)) for tag in a.Tags()["scalars"]); n = n or sum(
    len(a.Tensors(tag)) for tag in a.Tags()["tensors"])
e = time.perf_counter()
"""
SHOW = (
    "import resource; print(f'import {i - t:.2f} s, parse {e - i:.2f} s, {n:,} values, '"
    "f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB')"
)


def parse_time(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.out.tfevents.1700000000.host"
        path.write_bytes(data)
        root = str(Path(__file__).resolve().parents[1])
        for name, program in (("EventFollower's reader", OURS), ("EventAccumulator", THEIRS)):
            code = program.format(path=str(path), folder=folder, root=root) + SHOW
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            print(f"  {name}: {done.stdout.strip()}")


if __name__ == "__main__":
    started = time.perf_counter()
    content = event_file()
    bytes_read(content)
    parse_time(content)
    print(f"({time.perf_counter() - started:.1f} s)")
