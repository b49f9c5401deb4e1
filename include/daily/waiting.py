"""Which of a day's tables are there (reference R24, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from include import names
from include.daily.plan import AwaitedTable
from include.errors import NotFoundError
from include.ports import TableCatalog


def missing_tables(catalog: TableCatalog, tables: Sequence[AwaitedTable]) -> list[str]:
    """The dated tables and partitions that are not there yet, as ``-Dkey=url``.

    Raises NotFoundError for what waiting can't bring: a project, or a table whose name has no date in it.
    """
    missing: list[str] = []
    for awaited in dict.fromkeys(tables):
        project, table, partition = names.split_table_url(awaited.url)
        where = f"-D{awaited.key}={awaited.url}"
        if not catalog.project_exists(project):
            raise NotFoundError(f"there is no MaxCompute project {project}", where=where)
        if not catalog.table_exists(project, table):
            if not awaited.dated or partition:
                raise NotFoundError(f"there is no table {table} in project {project}", where=where)
            missing.append(where)
        elif partition and not catalog.partition_exists(project, table, partition):
            if not awaited.dated:
                raise NotFoundError(f"table {table} has no partition {partition}", where=where)
            missing.append(where)
    return missing
