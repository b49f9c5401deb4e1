"""Waits for a day's tables and partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from easyrec.triggers.waiting import WaitTrigger
from include.daily.plan import AwaitedTable
from include.daily.waiting import missing_tables
from include.experiments.settings import JobSettings
from include.ports import TableCatalog


class TablesTrigger(WaitTrigger):
    """:param tables: ``AwaitedTable`` as plain data."""

    def __init__(
        self, *, tables: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.tables = [dict(t) for t in tables]
        self.settings = dict(settings)
        self._catalog: TableCatalog | None = None

    def arguments(self) -> dict[str, Any]:
        return {"tables": self.tables, "settings": self.settings}

    def look(self) -> Mapping[str, Any] | None:
        from easyrec import runtime

        if self._catalog is None:
            self._catalog = runtime.tables(JobSettings.model_validate(self.settings))
        missing = missing_tables(self._catalog, [AwaitedTable(**t) for t in self.tables])
        self.missing = ", ".join(missing)
        return None if missing else {"tables": [t["url"] for t in self.tables]}
