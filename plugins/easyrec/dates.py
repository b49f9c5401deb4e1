"""The business date of a run (design section 6)."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from include.errors import ConfigError
from include.finetune import calendar

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import DagRunProtocol

FIELD = "bizdate"
"""The trigger form's field (key of the run's conf) that names a day."""


def business_date_of(context: Context, timezone: str) -> date:
    """The business date of a task's run; see ``business_date_of_run``."""
    requested = (context.get("params") or {}).get(FIELD) or None
    return business_date_of_run(context["dag_run"], timezone, requested)


def business_date_of_run(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> date:
    """Which day a DAG run stands for: ``requested``, else its conf's ``bizdate``, else by its times
    (``include.finetune.calendar``).

    Raises ConfigError for what is not a day, for an unknown zone, and for a backfill with one day in its conf.
    """
    in_conf = (dag_run.conf or {}).get(FIELD)
    if in_conf and dag_run.run_type == "backfill":  # its conf is the same in every run
        raise ConfigError(
            f"a backfill whose conf says {FIELD} = {in_conf!r} would make every one of its runs that day",
            where=f"{dag_run.dag_id} {dag_run.run_id}",
            hint=f"leave {FIELD} out of the backfill's conf",
        )
    start, due = dag_run.data_interval_start, dag_run.run_after
    if start is not None and start == dag_run.data_interval_end:
        # A bare cron string: the interval is the moment of the run, not the day whose data it waits for.
        start, due = None, start
    return calendar.business_date(
        interval_start=start, run_after=due, timezone=timezone, requested=requested or in_conf or None
    )
