"""Business dates as template macros, for our DAGs and for anyone's.

``{{ macros.easyrec_automl.bizdate(dag_run, "Asia/Shanghai") }}`` gives ``20261123`` in a run at 02:00 Shanghai
time of the 24th, where ``{{ ds_nodash }}`` gives the UTC date of the 22nd.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from include.errors import ConfigError
from include.finetune import calendar

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

FIELD = "bizdate"
"""The trigger form's field (key of the run's conf) that names a day."""


def bizdate(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> str:
    """The day that the run stands for, as yyyymmdd. All three macros take the same arguments.

    :param timezone: name of the business's zone, e.g. ``Asia/Shanghai``.
    :param requested: a day that wins over everything, e.g. ``params.bizdate``; empty for none.
    """
    return calendar.yyyymmdd(business_date(dag_run, timezone, requested))


def predate(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> str:
    """The day before bizdate, as yyyymmdd: whose checkpoint a finetune goes on from."""
    return calendar.yyyymmdd(calendar.previous(business_date(dag_run, timezone, requested)))


def eval_ymd(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> str:
    """The day after bizdate, as yyyymmdd: on whose data the model is judged."""
    return calendar.yyyymmdd(calendar.following(business_date(dag_run, timezone, requested)))


ALL = [bizdate, predate, eval_ymd]


def business_date(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> date:
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
