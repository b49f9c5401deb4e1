"""The business date of a run (design section 6)."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from include.finetune.calendar import business_date

if TYPE_CHECKING:
    from airflow.sdk import Context

FIELD = "bizdate"


def business_date_of(context: Context, timezone: str) -> date:
    """The form field ``bizdate``, else the local date of the interval's start, else the last complete day.

    Raises ConfigError for a form field that is no day.
    """
    run = context["dag_run"]
    return business_date(
        interval_start=run.data_interval_start,
        run_after=run.run_after,
        timezone=timezone,
        requested=(context.get("params") or {}).get(FIELD) or None,
    )
