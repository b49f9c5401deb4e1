"""Every ObjectStore behaves so: the fake that other tests use, and oss2 against the sandbox's OSS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest

from include.adapters.oss import OssObjects
from include.errors import AccessError, AlreadyExistsError, ConfigError, NotFoundError, RetryableError
from include.ports import ObjectStore
from include.sandbox import Endpoints
from tests.support.fakes import MemoryObjects
from tests.support.sandboxed import QUICK, control, oss_credentials, running_sandbox


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    with running_sandbox(tmp_path_factory.mktemp("oss")) as sandbox:
        yield sandbox.endpoints


@dataclass
class World:
    objects: ObjectStore
    base: str


@pytest.fixture(params=["memory", "oss2 V4", "oss2 V1", "oss2 STS"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    folder = f"{tmp_path.name}/{request.param.replace(' ', '_')}"
    if request.param == "memory":
        return World(MemoryObjects(), f"oss://memory-bucket/{folder}")
    endpoints: Endpoints = request.getfixturevalue("endpoints")
    changes: dict[str, str] = {}
    if request.param == "oss2 V1":
        changes = {"region": ""}
    if request.param == "oss2 STS":
        changes = {k: str(v) for k, v in control(endpoints, "sts", {}).items() if k != "expires"}
    objects = OssObjects(oss_credentials(endpoints, **changes), retries=QUICK)
    return World(objects, f"oss://{endpoints.bucket}/{folder}")


def test_what_was_written_is_read(world: World) -> None:
    url = f"{world.base}/a b/中文+%25.txt"
    world.objects.write(url, b"one")
    world.objects.write(url, b"\0two")
    assert world.objects.read(url) == b"\0two"
    world.objects.write(url, b"")
    assert world.objects.read(url) == b""


def test_reading_on_gives_only_bytes_from_the_offset(world: World) -> None:
    url = f"{world.base}/events"
    world.objects.write(url, b"0123456789")
    assert world.objects.read_from(url, 0) == b"0123456789"
    assert world.objects.read_from(url, 7) == b"789"
    assert world.objects.read_from(url, 10) is None
    assert world.objects.read_from(url, 999) is None
    world.objects.write(url, b"")
    assert world.objects.read_from(url, 0) is None


def test_a_missing_object_is_told_from_trouble(world: World) -> None:
    url = f"{world.base}/none"
    with pytest.raises(NotFoundError):
        world.objects.read(url)
    with pytest.raises(NotFoundError):
        world.objects.read_from(url, 0)
    assert world.objects.info(url) is None


def test_an_object_is_not_overwritten_when_that_is_forbidden(world: World) -> None:
    url = f"{world.base}/marker"
    world.objects.write(url, b"mine", overwrite=False)
    for data in (b"theirs", b"mine"):
        with pytest.raises(AlreadyExistsError):
            world.objects.write(url, data, overwrite=False)
    assert world.objects.read(url) == b"mine"


def test_info_changes_with_the_content(world: World) -> None:
    url = f"{world.base}/x"
    world.objects.write(url, b"abc")
    first = world.objects.info(url)
    assert first is not None
    assert (first.url, first.size) == (url, 3)
    assert abs((datetime.now(timezone.utc) - first.modified_at).total_seconds()) < 60
    assert list(world.objects.list(url)) == [first]
    world.objects.write(url, b"abd")
    second = world.objects.info(url)
    assert second is not None
    assert second.etag != first.etag


def test_listing_is_by_prefix_in_key_order(world: World) -> None:
    for name in ("b/2", "b/10", "a", "b/1/x", "ba", "c"):
        world.objects.write(f"{world.base}/{name}", b"x")
    assert [i.url.removeprefix(world.base) for i in world.objects.list(f"{world.base}/b/")] == [
        "/b/1/x",
        "/b/10",
        "/b/2",
    ]
    assert list(world.objects.list(f"{world.base}/nothing/")) == []


def test_deleting_twice_is_fine(world: World) -> None:
    url = f"{world.base}/x"
    world.objects.write(url, b"x")
    world.objects.delete(url)
    world.objects.delete(url)
    assert world.objects.info(url) is None


@pytest.mark.parametrize("url", ["/tmp/x", "http://h/x", "oss://", "oss://UPPER/x"])
def test_what_is_no_oss_path_is_refused(world: World, url: str) -> None:
    with pytest.raises(ConfigError, match="oss://<bucket>/<path>"):
        world.objects.read(url)


# What only the real client can show.


@pytest.fixture
def objects(endpoints: Endpoints) -> Iterator[OssObjects]:
    control(endpoints, "faults", method="DELETE")
    yield OssObjects(oss_credentials(endpoints), retries=QUICK)
    control(endpoints, "faults", method="DELETE")


def fault(endpoints: Endpoints, kind: str, **options: object) -> None:
    control(endpoints, "faults", {"service": "oss", "kind": kind, **options})


def test_a_long_listing_comes_in_pages(
    endpoints: Endpoints, objects: OssObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.adapters.oss._PAGE", 3)
    base = f"oss://{endpoints.bucket}/pages/"
    for number in range(8):
        objects.write(f"{base}{number}", b"x")
    assert [i.url for i in objects.list(base)] == [f"{base}{n}" for n in range(8)]


def test_a_range_beyond_the_end_downloads_nothing(endpoints: Endpoints, objects: OssObjects) -> None:
    url = f"oss://{endpoints.bucket}/range"
    objects.write(url, b"0123456789")
    control(endpoints, "requests", method="DELETE")
    assert objects.read_from(url, 10) is None
    served = [r["status"] for r in control(endpoints, "requests") if r["service"] == "oss"]
    assert served == [416]  # without x-oss-range-behavior: 200 and the whole object


CALLS: dict[str, Callable[[OssObjects, str], object]] = {
    "read": lambda o, url: o.read(url),
    "read_from": lambda o, url: o.read_from(url, 2),
    "info": lambda o, url: o.info(url),
    "list": lambda o, url: list(o.list(url)),
    "write": lambda o, url: o.write(url, b"0123456789" * 100),
    "delete": lambda o, url: o.delete(url),
}


@pytest.mark.parametrize("kind", ["status", "throttle", "reset_before", "reset_after_commit"])
@pytest.mark.parametrize("call", list(CALLS))
def test_passing_trouble_is_waited_out(
    endpoints: Endpoints, objects: OssObjects, call: str, kind: str
) -> None:
    url = f"oss://{endpoints.bucket}/trouble/{call}-{kind}"
    objects.write(url, b"0123456789" * 100)
    fault(endpoints, kind, count=2)
    CALLS[call](objects, url)
    assert control(endpoints, "faults")["waiting"] == []


@pytest.mark.parametrize("call", ["read", "read_from"])
def test_a_body_that_was_cut_is_read_again(endpoints: Endpoints, objects: OssObjects, call: str) -> None:
    url = f"oss://{endpoints.bucket}/cut/{call}"
    data = bytes(range(256)) * 400
    objects.write(url, data)
    fault(endpoints, "cut_body", count=2)
    assert CALLS[call](objects, url) == (data if call == "read" else data[2:])


def test_trouble_that_stays_is_a_retryable_error_after_a_few_attempts(
    endpoints: Endpoints, objects: OssObjects
) -> None:
    fault(endpoints, "status", count=50)
    with pytest.raises(RetryableError, match="ServiceUnavailable"):
        objects.read(f"oss://{endpoints.bucket}/x")
    assert control(endpoints, "faults")["injected"] == {"oss.status": QUICK.attempts}


def test_a_lost_answer_to_a_first_write_is_recognised_as_our_own(
    endpoints: Endpoints, objects: OssObjects
) -> None:
    url = f"oss://{endpoints.bucket}/lost/marker"
    fault(endpoints, "reset_after_commit", method="PUT")
    objects.write(url, b"mine", overwrite=False)
    assert objects.read(url) == b"mine"


def test_a_lost_answer_does_not_hide_that_somebody_else_was_first(
    endpoints: Endpoints, objects: OssObjects
) -> None:
    url = f"oss://{endpoints.bucket}/lost/theirs"
    objects.write(url, b"theirs")
    fault(endpoints, "reset_after_commit", method="PUT")
    with pytest.raises(AlreadyExistsError):
        objects.write(url, b"mine", overwrite=False)


def test_a_missing_bucket_is_named_by_every_call(objects: OssObjects) -> None:
    for call in CALLS.values():
        with pytest.raises(NotFoundError, match="bucket no-such-bucket does not exist"):
            call(objects, "oss://no-such-bucket/x")


@pytest.mark.parametrize("change", ["access_key_id", "access_key_secret", "security_token"])
def test_a_wrong_key_is_an_access_error_that_shows_no_key(endpoints: Endpoints, change: str) -> None:
    objects = OssObjects(oss_credentials(endpoints, **{change: "wrong-key"}), retries=QUICK)
    for call in CALLS.values():
        with pytest.raises(AccessError, match=f"check {change} of the OSS connection oss_default") as caught:
            call(objects, f"oss://{endpoints.bucket}/x")
        assert "wrong-key" not in str(caught.value)
        assert endpoints.access_key_secret not in str(caught.value)


def test_a_dead_endpoint_is_retryable(endpoints: Endpoints) -> None:
    objects = OssObjects(oss_credentials(endpoints, endpoint="http://127.0.0.1:9"), retries=QUICK)
    with pytest.raises(RetryableError, match="OSS can't be reached"):
        objects.read("oss://some-bucket/x")
