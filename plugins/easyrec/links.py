"""Buttons on trial tasks in Airflow's UI. Airflow keeps the links in XCom, so none of them carries a token."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow.sdk import BaseOperatorLink

from easyrec.web.lazy import PREFIX


def task_page(ti_key: Any, *, fragment: str = "") -> str:
    """Where the page shows the trial of a task instance; it looks the trial up when it is opened."""
    from airflow.sdk.configuration import conf

    names = {
        "dag_id": ti_key.dag_id,
        "run_id": ti_key.run_id,
        "task_id": ti_key.task_id,
        "map_index": ti_key.map_index,
    }
    base = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    return f"{base}{PREFIX}/task?{urlencode(names)}{fragment}"


class TrialPageLink(BaseOperatorLink):
    """The trial's page: curves, parameters, jobs."""

    name = "EasyRec"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return task_page(ti_key)


class LogViewLink(BaseOperatorLink):
    """The trial's page, which then makes a fresh LogView link for whoever may read it."""

    name = "LogView"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return task_page(ti_key, fragment="#logview")


LINKS = [TrialPageLink(), LogViewLink()]
