"""DAG files stay cheap to parse, touch no network, and a broken model folder harms nobody else."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))
MODEL = ROOT / "include" / "models" / "movielens"

PARSE = """
import json, runpy, socket, sys
import airflow.sdk
def no_network(*_, **__): raise AssertionError("a DAG file opened a connection")
socket.socket.connect = no_network
before = set(sys.modules)
dags = {k: v for k, v in runpy.run_path(sys.argv[1]).items() if type(v).__name__ == "DAG"}
print(json.dumps({
    "dags": {d.dag_id: {"doc": d.doc_md, "tasks": sorted(d.task_ids)} for d in dags.values()},
    "imported": sorted({m.partition(".")[0] for m in set(sys.modules) - before}),
}))
"""
HEAVY = {
    "nni",
    "odps",
    "oss2",
    "sqlalchemy",
    "alembic",
    "numpy",
    "pandas",
    "tensorboard",
    "plotly",
    "optuna",
    "fastapi",
    "google",
}


def parse(dag_file: Path, models: Path, tmp_path: Path) -> dict:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        "EASYREC_AUTOML_MODELS": str(models),
        "AIRFLOW_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PARSE), str(dag_file)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(MODEL, folder / "good")
    return folder


@pytest.mark.parametrize("dag_file", DAG_FILES, ids=lambda p: p.name)
def test_a_dag_file_opens_no_connection_and_imports_nothing_heavy(dag_file, models, tmp_path):
    parsed = parse(dag_file, models, tmp_path)

    assert HEAVY.isdisjoint(parsed["imported"])


@pytest.mark.parametrize("dag_file", DAG_FILES, ids=lambda p: p.name)
def test_a_dag_file_is_wiring_only(dag_file):
    assert len(dag_file.read_text().splitlines()) <= 60


def test_a_broken_model_folder_leaves_the_other_models_dags_alone(models, tmp_path):
    broken = models / "broken" / "begin"
    broken.mkdir(parents=True)
    (broken / "config.yml").write_text("trialConcurency: 4\n")

    dags = parse(ROOT / "dags" / "begin_search.py", models, tmp_path)["dags"]

    assert dags["begin_search_good"]["tasks"] == ["close_experiment", "open_experiment", "trial"]
    assert "Begin search" in dags["begin_search_good"]["doc"]
    assert "trialConcurency" in dags["begin_search_broken"]["doc"]


def test_names_and_times_that_airflow_refuses_harm_only_their_own_model(models, tmp_path):
    for name in ("good (copy)", "x" * 250, "my_model\n"):
        shutil.copytree(MODEL, models / name)
    for name, finetune in {
        "never": "schedule: 0 2 30 2 *",
        "wordy": "schedule: every day",
        "ancient": "first_bizdate: 0001-01-01",
    }.items():
        shutil.copytree(MODEL, models / name)
        (models / name / "model.yml").write_text(f"finetune: {{{finetune}}}")

    dags = parse(ROOT / "dags" / "daily_finetune.py", models, tmp_path)["dags"]

    assert len(dags) == 7
    assert "promote" in dags["daily_finetune_good"]["tasks"]
    assert "can't be used" in dags["daily_finetune_good--copy--"]["doc"]
    for name, said in {"never": "no cron", "wordy": "no cron", "ancient": "no day of business"}.items():
        assert said in dags[f"daily_finetune_{name}"]["doc"]


def test_a_finetune_search_has_a_dag_and_says_what_is_wrong_with_its_folder(models, tmp_path):
    shutil.copytree(MODEL, models / "undated")
    ini = models / "undated" / "finetune" / "config_finetune.ini"
    ini.write_text(ini.read_text().replace("finetune/<bizdate>_model\n", "finetune/model\n", 1))
    dags = parse(ROOT / "dags" / "finetune_search.py", models, tmp_path)["dags"]

    assert dags["finetune_search_good"]["tasks"] == ["close_experiment", "open_experiment", "trial"]
    assert "start_time" in dags["finetune_search_good"]["doc"]
    assert "-Dmodel_dir must hold <bizdate>" in dags["finetune_search_undated"]["doc"]


def test_a_model_with_a_daily_and_a_finetune_search_has_a_dag_that_adopts(models, tmp_path):
    shutil.copytree(MODEL, models / "daily_only")
    shutil.rmtree(models / "daily_only" / "finetune_search")
    dags = parse(ROOT / "dags" / "adoption.py", models, tmp_path)["dags"]

    assert dags["adoption_good"]["tasks"] == ["adopt"]
    assert "adoption_daily_only" not in dags


def test_airflow_executes_only_registration_files_of_the_plugins_folder():
    """Every other file there would run as a top-level module named by its stem, and shadow packages."""
    ignored = (ROOT / "plugins" / ".airflowignore").read_text().split()

    assert ignored == ["*.py", "!*_plugin.py"]
    assert [p.name for p in (ROOT / "plugins").rglob("*_plugin.py")] == ["easyrec_plugin.py"]


def test_reconcile_tries_trouble_that_passes_once_more():
    """An error that no retry helps fails at once (``fails_the_task``)."""
    task = runpy.run_path(str(ROOT / "dags" / "reconcile.py"))["dag"].get_task("reconcile")

    assert (task.retries, task.retry_delay) == (1, timedelta(seconds=30))
