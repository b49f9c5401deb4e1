"""Which tables of a day are not there yet, and which never will be (reference R24)."""

from __future__ import annotations

import pytest

from include.daily.plan import AwaitedTable
from include.daily.waiting import missing_tables
from include.errors import NotFoundError
from tests.support.fakes import MemoryTables

CATALOG = MemoryTables({("p", "daily"): ["dt=20220601"], ("p", "users"): []})


def missing(*tables: tuple[str, bool], key: str = "train_tables") -> list[str]:
    awaited = [AwaitedTable(key, f"odps://{url}", dated) for url, dated in tables]
    return missing_tables(CATALOG, awaited)


def test_nothing_is_missing_when_all_are_there():
    assert missing(("p/tables/daily/dt=20220601", True), ("p/tables/users", False)) == []


def test_partitions_and_tables_of_a_day_may_come_later():
    late = [("p/tables/daily/dt=20220602", True), ("p/tables/items_20220602", True)]

    assert missing(*late) == [f"-Dtrain_tables=odps://{url}" for url, _ in late]


def test_one_that_is_read_twice_is_missing_once():
    assert len(missing(*[("p/tables/daily/dt=20220602", True)] * 2)) == 1


@pytest.mark.parametrize(
    ("table", "dated", "said"),
    [
        ("q/tables/daily/dt=20220601", True, "no MaxCompute project q"),
        ("p/tables/dialy/dt=20220601", True, "no table dialy in project p"),
        ("p/tables/items", False, "no table items in project p"),
        ("p/tables/daily/dt=latest", False, "no partition dt=latest"),
    ],
)
def test_what_waiting_can_not_bring_is_an_error(table, dated, said):
    with pytest.raises(NotFoundError, match=said) as refused:
        missing((table, dated))

    assert f"-Dtrain_tables=odps://{table}" in str(refused.value)
