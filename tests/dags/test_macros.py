"""Business dates in templates: the right day whatever kind of run asks (R24)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk.api.datamodels._generated import DagRun

from easyrec import macros
from easyrec.dates import business_date_of
from include.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SHANGHAI = "Asia/Shanghai"
NOON = datetime(2026, 11, 24, 12, tzinfo=ZoneInfo(SHANGHAI))
THREE = NOON.replace(hour=3)
DAY = timedelta(days=1)


def dag_run(start=None, end=None, run_after=NOON, **changes):
    """As tasks get it from the API server; times are in UTC there."""

    def utc(time):
        return time and time.astimezone(timezone.utc)

    values = {
        "dag_id": "anyones",
        "run_id": "run",
        "logical_date": utc(start),
        "data_interval_start": utc(start),
        "data_interval_end": utc(end),
        "run_after": utc(run_after),
        "start_date": None,
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "consumed_asset_events": [],
        "partition_key": None,
    }
    return DagRun.model_validate({**values, **changes})


def dates(run, *arguments):
    return tuple(macro(run, *arguments) for macro in (macros.predate, macros.bizdate, macros.eval_ymd))


def test_a_scheduled_run_stands_for_the_local_day_its_interval_begins_on():
    """19:00 UTC of the 22nd: ``ds`` says 2026-11-22."""
    run = dag_run(THREE - DAY, THREE, THREE, run_type="scheduled")

    assert dates(run, SHANGHAI) == ("20261122", "20261123", "20261124")


def test_a_run_without_interval_stands_for_the_last_complete_day():
    assert dates(dag_run(), SHANGHAI) == ("20261122", "20261123", "20261124")


@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "manual"])
def test_a_bare_cron_schedule_gives_the_last_complete_day_too(run_type):
    """Its interval has no length: it begins at the moment of the run, on a day that is not over."""
    run = dag_run(THREE, THREE, NOON + 7 * DAY, run_type=run_type)

    assert dates(run, SHANGHAI) == ("20261122", "20261123", "20261124")


def test_the_day_of_the_form_wins_and_that_of_the_template_over_it():
    run = dag_run(THREE - DAY, THREE, conf={"bizdate": "2024-02-29"})

    assert dates(run, SHANGHAI) == ("20240228", "20240229", "20240301")
    assert dates(run, SHANGHAI, "20231231") == ("20231230", "20231231", "20240101")


def test_the_form_of_a_dag_of_ours_wins_over_its_times():
    context = {"dag_run": dag_run(THREE - DAY, THREE), "params": {"bizdate": "2024-02-29"}}

    assert business_date_of(context, SHANGHAI) == date(2024, 2, 29)
    assert business_date_of({**context, "params": {"bizdate": None}}, SHANGHAI) == date(2026, 11, 23)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_field_of_the_form_is_no_day(empty):
    assert dates(dag_run(conf={"bizdate": empty}), SHANGHAI, empty)[1] == "20261123"


def test_a_backfill_can_not_make_every_run_the_same_day():
    run = dag_run(THREE - DAY, THREE, run_type="backfill", conf={"bizdate": "2026-11-01"})

    with pytest.raises(ConfigError, match=r"backfill.*2026-11-01"):
        macros.bizdate(run, SHANGHAI)


RENDER = """
import json, sys
from datetime import datetime, timezone
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.providers.standard.operators.bash import BashOperator

with DAG("anyones", schedule=None):
    task = BashOperator(task_id="task", bash_command=sys.argv[1])
run = DagRun.model_validate_json(sys.argv[2])
ti = RuntimeTaskInstance.model_construct(
    task=task, task_id="task", dag_id=run.dag_id, run_id=run.run_id, map_index=-1, try_number=1, id="x",
    _ti_context_from_server=TIRunContext.model_construct(dag_run=run, max_tries=0, task_reschedule_count=0),
)
ti.render_templates()
print(json.dumps(task.bash_command))
"""


def test_airflow_finds_the_macros_under_the_plugins_name(tmp_path):
    """Rendered by the task SDK itself, with the plugins folder as a deployment has it, and no model at all."""
    template = (
        "{{ macros.easyrec_automl.predate(dag_run, 'Asia/Shanghai') }} "
        "{{ macros.easyrec_automl.bizdate(dag_run, 'Asia/Shanghai', params.get('bizdate')) }} "
        "{{ macros.easyrec_automl.eval_ymd(dag_run, 'Asia/Shanghai') }}"
    )
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RENDER), template, dag_run().model_dump_json()],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",  # with which a store of its own would be refused
            "EASYREC_AUTOML_MODELS": str(tmp_path / "none"),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == "20261122 20261123 20261124"
