"""Following event files while a job writes them, with the records TensorBoard itself would write."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys

import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from include.errors import RetryableError
from include.metrics.events import EventFollower, ScalarEvent
from include.metrics.records import masked_crc
from tests.support.fakes import MemoryObjects

PREFIX = "oss://bkt/model/eval_val/"
URL = PREFIX + "events.out.tfevents.1700000000.host"


def framed(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", masked_crc(length)) + payload + struct.pack("<I", masked_crc(payload))


def record(step: int, **values: float) -> bytes:
    """An evaluation as TF1 writes it; values that single precision holds exactly."""
    summary = summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
    )
    event = event_pb2.Event(wall_time=1000.0 + step, step=step, summary=summary)
    return framed(event.SerializeToString())


def version() -> bytes:
    return framed(event_pb2.Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())


def expected(*steps: int) -> list[ScalarEvent]:
    return [ScalarEvent(s, 1000.0 + s, {"auc": s / 1024, "loss": 2.0}) for s in steps]


def rows(*steps: int) -> bytes:
    return b"".join(record(s, auc=s / 1024, loss=2.0) for s in steps)


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def follower(objects: MemoryObjects) -> EventFollower:
    return EventFollower(objects, PREFIX)


def test_nothing_there_yet_is_no_event(follower: EventFollower) -> None:
    assert follower.poll() == []


def test_every_value_once_and_every_byte_once_however_the_file_grows(
    objects: MemoryObjects, follower: EventFollower
) -> None:
    data = version() + rows(*range(200))
    random_pieces = random.Random(7)
    got, at, polls = [], 0, 0
    while at < len(data):
        size = random_pieces.choice([1, 3, 7, 50, 400, 2000])
        objects.append(URL, data[at : at + size])
        at += size
        got += follower.poll()
        polls += 1
    assert got == expected(*range(200))
    assert follower.poll() == []
    assert follower.bytes_read <= len(data) + 4 * polls
    assert follower.problems == ()


def test_a_file_that_did_not_change_is_not_read_again(
    objects: MemoryObjects, follower: EventFollower
) -> None:
    objects.append(URL, rows(1) + rows(2)[:-3])
    follower.poll()
    before = follower.bytes_read
    for _ in range(3):
        assert follower.poll() == []
    assert follower.bytes_read == before
    assert [method for method, _ in objects.requests[-3:]] == ["list"] * 3


def test_a_whole_object_that_is_written_anew_each_time_costs_only_its_new_bytes(
    objects: MemoryObjects, follower: EventFollower
) -> None:
    data, got = rows(*range(50)), []
    for end in range(100, len(data) + 100, 100):
        objects.write(URL, data[:end])
        got += follower.poll()
    assert got == expected(*range(50))
    assert follower.bytes_read < len(data) * 1.1


def test_a_file_that_shrank_is_seen_in_the_listing(objects: MemoryObjects, follower: EventFollower) -> None:
    objects.append(URL, rows(1, 2))
    follower.poll()
    objects.write(URL, rows(7))
    before = follower.requests
    assert follower.poll() == expected(7)
    assert follower.requests == before + 2  # the listing, and one read from the beginning


def test_files_that_rotate_or_show_up_late_and_whole(objects: MemoryObjects, follower: EventFollower) -> None:
    second, earlier = PREFIX + "events.out.tfevents.1700000009.h", PREFIX + "events.out.tfevents.16.h"
    objects.append(URL, rows(1))
    assert follower.poll() == expected(1)
    objects.append(second, rows(3))
    objects.append(URL, rows(2))
    assert follower.poll() == expected(2, 3)
    objects.append(earlier, version() + rows(0))
    objects.append(PREFIX + "checkpoint", b"not an event file")
    assert follower.poll() == expected(0)


@pytest.mark.parametrize("new", [rows(7), rows(7, 8, 9, 10), b""], ids=["shorter", "longer", "empty"])
def test_a_replaced_file_is_read_from_its_beginning(
    objects: MemoryObjects, follower: EventFollower, new: bytes
) -> None:
    objects.append(URL, rows(1, 2, 3))
    follower.poll()
    objects.write(URL, new)
    assert [e.global_step for e in follower.poll()] == list(range(7, 7 + new.count(b"auc")))
    objects.append(URL, rows(20))
    assert follower.poll() == expected(20)


@pytest.mark.parametrize("torn", [17, 20], ids=["same bytes before the end", "other bytes"])
def test_a_file_replaced_while_a_record_was_torn(
    objects: MemoryObjects, follower: EventFollower, torn: int
) -> None:
    objects.append(URL, rows(1) + record(2, another_tag=1.0)[:torn])
    assert follower.poll() == expected(1)
    objects.write(URL, rows(1, 5, 6))
    got = follower.poll() + follower.poll()
    assert [event for event in got if event.global_step != 1] == expected(5, 6)
    assert follower.problems == ()


def test_a_file_that_was_removed_and_came_back(objects: MemoryObjects, follower: EventFollower) -> None:
    objects.append(URL, rows(1))
    follower.poll()
    objects.delete(URL)
    assert follower.poll() == []
    objects.append(URL, rows(1))
    assert follower.poll() == expected(1)


@pytest.mark.parametrize("byte", [0, 9, 30, -2], ids=["length", "length crc", "payload", "payload crc"])
def test_a_damaged_record_is_reported_once_waited_for_and_costs_only_itself(
    objects: MemoryObjects, follower: EventFollower, byte: int
) -> None:
    damaged = bytearray(rows(2))
    damaged[byte] ^= 1
    objects.append(URL, rows(1) + damaged)
    assert follower.poll() == expected(1)
    assert follower.poll() == []
    objects.append(URL, rows(3)[:10])
    assert follower.poll() == []
    assert len(follower.problems) == 1
    assert f"byte {len(rows(1))}" in follower.problems[0]
    objects.append(URL, rows(3)[10:] + rows(4))
    assert follower.poll() == expected(3, 4)
    objects.append(URL, rows(5))
    assert follower.poll() == expected(5)
    assert len(follower.problems) == 1


def test_damage_in_the_middle_of_a_whole_file(objects: MemoryObjects, follower: EventFollower) -> None:
    data = bytearray(rows(1, 2, 3))
    data[len(rows(1)) + 30] ^= 1
    objects.append(URL, bytes(data))
    assert follower.poll() == expected(1, 3)
    assert "were skipped" in follower.problems[0]


def test_a_damaged_file_that_is_put_right(objects: MemoryObjects, follower: EventFollower) -> None:
    data = rows(1, 2)
    objects.write(URL, data[:-1] + b"x")
    assert follower.poll() == expected(1)
    objects.write(URL, data)
    assert follower.poll() == expected(2)


def test_a_record_that_is_no_event_is_reported_and_passed(
    objects: MemoryObjects, follower: EventFollower
) -> None:
    objects.append(URL, framed(b"\xff\xff\xff") + rows(1))
    assert follower.poll() == expected(1)
    assert "is no event" in follower.problems[0]


def test_trouble_in_the_middle_of_a_poll_loses_nothing(
    objects: MemoryObjects, follower: EventFollower
) -> None:
    second = PREFIX + "events.out.tfevents.1700000009.h"
    objects.append(URL, rows(1))
    objects.append(second, rows(2))
    real, calls = objects.read_from, []

    def broken(url: str, offset: int) -> bytes | None:
        calls.append(url)
        if url == second and len(calls) == 2:
            raise RetryableError("reset")
        return real(url, offset)

    objects.read_from = broken  # type: ignore[method-assign]
    with pytest.raises(RetryableError):
        follower.poll()
    assert follower.poll() == expected(1, 2)


def test_a_new_process_goes_on_where_the_old_one_was(objects: MemoryObjects, follower: EventFollower) -> None:
    objects.append(URL, rows(1, 2) + rows(3)[:15])
    follower.poll()
    state = json.loads(json.dumps(follower.state()))
    objects.append(URL, rows(3)[15:])

    successor = EventFollower(objects, PREFIX, state=state)

    assert successor.poll() == expected(3)
    assert successor.bytes_read == len(rows(3)) + 4
    assert EventFollower(objects, PREFIX).poll() == expected(1, 2, 3)


def tensor(dtype: int, dims: tuple[int, ...] = (), **fields: object) -> tensor_pb2.TensorProto:
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=d) for d in dims]
    )
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **fields)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (tensor(types_pb2.DT_FLOAT, float_val=[0.5]), 0.5),
        (tensor(types_pb2.DT_FLOAT, tensor_content=struct.pack("<f", 0.5)), 0.5),
        (tensor(types_pb2.DT_FLOAT, (1,), float_val=[0.5]), 0.5),
        (tensor(types_pb2.DT_FLOAT), 0.0),
        (tensor(types_pb2.DT_DOUBLE, double_val=[0.1]), 0.1),
        (tensor(types_pb2.DT_DOUBLE, tensor_content=struct.pack("<d", 0.1)), 0.1),
        (tensor(types_pb2.DT_INT64, int64_val=[7]), 7.0),
        (tensor(types_pb2.DT_HALF, half_val=[0x3800]), 0.5),
        (tensor(types_pb2.DT_BFLOAT16, tensor_content=b"\x00\x3f"), 0.5),
        (tensor(types_pb2.DT_FLOAT, (2,), float_val=[1, 2]), None),
        (tensor(types_pb2.DT_STRING, string_val=[b"text"]), None),
        (tensor(types_pb2.DT_FLOAT, tensor_content=b"xy"), None),
    ],
)
def test_scalars_as_tf2_writes_them(
    objects: MemoryObjects, follower: EventFollower, value: tensor_pb2.TensorProto, number: float | None
) -> None:
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="auc", tensor=value)])
    objects.append(URL, framed(event_pb2.Event(step=3, summary=summary).SerializeToString()))
    assert [e.values for e in follower.poll()] == ([] if number is None else [{"auc": number}])


def test_reading_events_imports_no_tensorflow() -> None:
    program = (
        "import sys, include.metrics.events; print([m for m in ('tensorflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
