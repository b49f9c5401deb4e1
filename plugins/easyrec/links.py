"""Buttons on trial tasks in Airflow's UI. Airflow keeps the links in XCom, so none of them carries a token."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

from easyrec.web.address import page_path


def task_page(ti_key: Any, *, fragment: str = "") -> str:
    """Where the page shows the trial of a task instance; it looks the trial up when it is opened."""
    names = {
        "dag_id": ti_key.dag_id,
        "run_id": ti_key.run_id,
        "task_id": ti_key.task_id,
        "map_index": ti_key.map_index,
    }
    return f"{page_path()}/task?{urlencode(names)}{fragment}"


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
