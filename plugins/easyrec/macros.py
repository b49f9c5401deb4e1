"""Business dates as template macros, for our DAGs and for anyone's.

``{{ macros.easyrec_automl.bizdate(dag_run, "Asia/Shanghai") }}`` gives ``20261123`` in a run at 02:00 Shanghai
time of the 24th, where ``{{ ds_nodash }}`` gives the UTC date of the 22nd.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from easyrec.dates import business_date_of_run
from include.finetune import calendar

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol


def bizdate(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> str:
    """The day that the run stands for, as yyyymmdd. All three macros take the same arguments.

    :param timezone: name of the business's zone, e.g. ``Asia/Shanghai``.
    :param requested: a day that wins over everything, e.g. ``params.bizdate``; empty for none.
    """
    return calendar.yyyymmdd(business_date_of_run(dag_run, timezone, requested))


def predate(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> str:
    """The day before bizdate, as yyyymmdd: whose checkpoint a finetune goes on from."""
    return calendar.yyyymmdd(calendar.previous(business_date_of_run(dag_run, timezone, requested)))


def eval_ymd(dag_run: DagRunProtocol, timezone: str, requested: date | str | None = None) -> str:
    """The day after bizdate, as yyyymmdd: on whose data the model is judged."""
    return calendar.yyyymmdd(calendar.following(business_date_of_run(dag_run, timezone, requested)))


ALL = [bizdate, predate, eval_ymd]
