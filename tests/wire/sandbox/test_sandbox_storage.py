"""What servers and trainer share on disk: objects and tables."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.errors import AlreadyExistsError, ConfigError, NotFoundError
from include.sandbox.oss.storage import BucketStorage, NotAppendableError, PositionError
from include.sandbox.tables import TableStorage

KEYS = st.text(
    st.sampled_from("ab/.%@+~ \\:漢é\n") | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    min_size=1,
    max_size=300,
).filter(lambda key: len(key.encode()) <= 1023)


@pytest.fixture
def buckets(tmp_path: Path) -> BucketStorage:
    storage = BucketStorage(tmp_path / "oss")
    storage.create_bucket("bucket")
    return storage


@pytest.fixture
def tables(tmp_path: Path) -> TableStorage:
    storage = TableStorage(tmp_path / "tables")
    storage.create_table("p", "clicks", [("user", "string"), ("n", "bigint")], ["dt"])
    storage.add_partition("p", "clicks", "dt=20240101", {"user": ["a", None], "n": [1, 2]})
    storage.add_partition("p", "clicks", "dt=20240102", {"user": np.array(["b"]), "n": np.array([3])})
    return storage


@given(keys=st.sets(KEYS, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_keys_live_side_by_side_and_inside_their_bucket(tmp_path: Path, keys: set[str]) -> None:
    storage = BucketStorage(tmp_path / "oss")
    storage.create_bucket("bucket")
    for key in keys:
        storage.write("bucket", key, key.encode(), metadata={"x-oss-meta-k": "v"})
    assert storage.list("bucket") == sorted(keys)
    for key in keys:
        assert storage.read("bucket", key) == key.encode()
        some = key[: len(key) // 2]
        assert storage.list("bucket", some) == sorted(each for each in keys if each.startswith(some))
    for key in keys:
        storage.delete("bucket", key)
    assert storage.list("bucket") == []
    assert {path.name for path in tmp_path.iterdir()} == {"oss"}


def test_an_object_is_never_seen_half_written(buckets: BucketStorage) -> None:
    done = threading.Event()
    bodies = {bytes([letter]) * 200_000 for letter in b"abc"}

    def write() -> None:
        for _ in range(60):
            for body in bodies:
                buckets.write("bucket", "a/b", body)
        done.set()

    buckets.write("bucket", "a/b", min(bodies))
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        while not done.is_set():
            assert buckets.read("bucket", "a/b") in bodies
        writer.result()


def test_writes_and_deletes_in_one_folder_do_not_disturb_each_other(buckets: BucketStorage) -> None:
    def work(number: int) -> bool:
        for _ in range(100):
            buckets.write("bucket", f"same/folder/{number}", b"x")
            assert buckets.exists("bucket", f"same/folder/{number}")
            buckets.delete("bucket", f"same/folder/{number}")
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_appends_of_many_at_once_are_all_kept(buckets: BucketStorage) -> None:
    everyone = threading.Barrier(4)

    def work(number: int) -> None:
        for log in range(50):
            everyone.wait(30)
            buckets.append("bucket", f"log{log}", bytes([number]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert {bytes(sorted(buckets.read("bucket", f"log{log}"))) for log in range(50)} == {b"\0\1\2\3"}


def test_storage_errors_say_what_is_wrong(buckets: BucketStorage) -> None:
    buckets.write("bucket", "a", b"x")
    with pytest.raises(NotFoundError, match="oss://bucket/b"):
        buckets.read("bucket", "b")
    with pytest.raises(NotFoundError, match="there are: bucket"):
        buckets.read("other", "a")
    with pytest.raises(AlreadyExistsError):
        buckets.write("bucket", "a", b"y", overwrite=False)
    with pytest.raises(NotAppendableError):
        buckets.append("bucket", "a", b"y")
    buckets.append("bucket", "log", b"12")
    with pytest.raises(PositionError) as caught:
        buckets.append("bucket", "log", b"y", position=1)
    assert caught.value.size == 2
    with pytest.raises(ConfigError):
        buckets.create_bucket("../x")


def test_digests_follow_quick_changes_of_the_same_size(buckets: BucketStorage) -> None:
    seen = set()
    for number in range(50):
        buckets.write("bucket", "a", f"{number:03d}".encode())
        snapshot = buckets.snapshot("bucket", "a", with_data=number % 2 == 0)
        assert snapshot is not None
        seen.add((snapshot.etag, snapshot.crc64))
    assert len(seen) == 50


def test_a_partition_is_read_as_columns_or_rows(tables: TableStorage) -> None:
    assert tables.partitions("p", "clicks") == ["dt=20240101", "dt=20240102"]
    assert tables.read_rows("p", "clicks", "dt='20240101'") == [("a", 1), (None, 2)]
    whole = tables.read("p", "clicks", columns=["n", "dt"])
    assert whole["n"].tolist() == [1, 2, 3]
    assert whole["dt"].tolist() == ["20240101", "20240101", "20240102"]
    assert tables.partition_info("p", "clicks", "dt=20240101").rows == 2


def test_a_partition_is_replaced_as_a_whole(tables: TableStorage) -> None:
    tables.add_partition("p", "clicks", "dt=20240101", {"user": ["z"], "n": [9]})
    assert tables.read_rows("p", "clicks", "dt=20240101") == [("z", 9)]
    assert tables.partition_info("p", "clicks", "dt=20240101").rows == 1
    tables.drop_partition("p", "clicks", "dt=20240101")
    assert tables.partitions("p", "clicks") == ["dt=20240102"]


@pytest.mark.parametrize(
    ("spec", "columns", "says"),
    [
        ("day=1", {"user": ["a"], "n": [1]}, "it has dt="),
        ("dt=../x", {"user": ["a"], "n": [1]}, "is not a partition"),
        ("dt=1", {"user": ["a"]}, "in n"),
        ("dt=1", {"user": ["a"], "n": [1.5]}, "n is bigint"),
        ("dt=1", {"user": ["a", "b"], "n": [1]}, "different lengths"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tables: TableStorage, spec: str, columns: dict[str, list[object]], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        tables.add_partition("p", "clicks", spec, columns)


def test_missing_tables_columns_and_partitions_are_named(tables: TableStorage) -> None:
    with pytest.raises(NotFoundError, match="there are: clicks"):
        tables.read("p", "nosuch")
    with pytest.raises(NotFoundError, match="it has user, n"):
        tables.read("p", "clicks", columns=["nosuch"])
    with pytest.raises(NotFoundError, match="20240103"):
        tables.read("p", "clicks", "dt=20240103")
    with pytest.raises(ConfigError, match="other columns"):
        tables.create_table("p", "clicks", [("n", "bigint")], ["dt"])
