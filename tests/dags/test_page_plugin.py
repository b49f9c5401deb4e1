"""The page's place in Airflow: links on tasks, and what loading the plugin costs every other component."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from easyrec.links import LINKS
from easyrec.operators.pai_train import PaiTrainOperator
from easyrec.operators.trial import TrialOperator
from easyrec.web.lazy import external_views

ROOT = Path(__file__).parents[2]
KEY = SimpleNamespace(dag_id="d", run_id="manual__2026-01-01T00:00:00+00:00", task_id="trial", map_index=3)


@pytest.mark.parametrize("operator", [TrialOperator, PaiTrainOperator])
def test_every_task_with_a_job_has_links_to_the_page_and_to_logview(operator):
    assert [link.name for link in operator.operator_extra_links] == ["EasyRec", "LogView"]


def test_links_name_the_task_and_carry_no_token(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/prefix/")
    page, logview = (link.get_link(None, ti_key=KEY) for link in LINKS)
    query = "dag_id=d&run_id=manual__2026-01-01T00%3A00%3A00%2B00%3A00&task_id=trial&map_index=3"
    assert page == f"/prefix/easyrec/task?{query}"
    assert logview == f"{page}#logview"


def test_the_menu_entry_and_the_tabs_lie_where_airflow_does(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/prefix/")
    assert {view["destination"]: view["href"] for view in external_views()} == {
        "nav": "/prefix/easyrec/",
        "dag": "/prefix/easyrec/dags/{DAG_ID}",
        "dag_run": "/prefix/easyrec/dags/{DAG_ID}/runs/{RUN_ID}",
    }


def test_loading_the_plugin_brings_neither_the_app_nor_plot_libraries():
    code = (
        "import sys, airflow.plugins_manager; before = set(sys.modules); import easyrec.web.lazy, easyrec.macros; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "print(*(new & {'fastapi', 'optuna', 'plotly', 'jinja2', 'nni', 'odps', 'oss2', 'alembic'}))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
