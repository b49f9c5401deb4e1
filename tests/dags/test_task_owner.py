"""What Airflow's task states mean for who owns a job."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.utils.state import TaskInstanceState

from easyrec.task_state import AirflowTasks
from include.experiments.reconcile import Owner
from include.store import TaskKey

TASK = TaskKey("dag", "run", "trial", 3)
GONE = {"success", "failed", "skipped", "upstream_failed", "removed"}


@pytest.fixture
def says(monkeypatch):
    def says(states, *, alive=1):
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **_: states)
        monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", lambda **_: alive)

    return says


@pytest.mark.parametrize("state", [state.value for state in TaskInstanceState])
def test_every_state_of_airflow_is_known(says, state):
    says({"run": {"trial_3": state}})

    assert AirflowTasks().owner(TASK)[0] is (
        Owner.GONE if state in GONE else Owner.UNKNOWN if state == "awaiting_input" else Owner.AT_WORK
    )


def test_a_task_that_was_just_cleared_or_is_in_a_new_state_is_no_reason_to_stop(says):
    for state in (None, "a state of a later Airflow"):
        says({"run": {"trial_3": state}})
        assert AirflowTasks().owner(TASK)[0] is Owner.UNKNOWN


def test_a_task_that_does_not_exist_is_gone_once_its_run_is(says):
    says({}, alive=0)
    assert AirflowTasks().owner(TASK)[0] is Owner.GONE
    says({}, alive=1)
    assert AirflowTasks().owner(TASK)[0] is Owner.UNKNOWN


def test_the_project_of_a_model_that_has_a_finetune_search_only_is_looked_at(tmp_path, monkeypatch):
    from easyrec.discovery import MODELS_DIR_ENV
    from easyrec.operators.reconcile import _connections

    shipped = Path(__file__).resolve().parents[2] / "include" / "models" / "movielens"
    model = tmp_path / "searched"
    shutil.copytree(shipped / "finetune_search", model / "finetune_search")
    shutil.copytree(shipped / "finetune", tmp_path / "inis")
    config = model / "finetune_search" / "config.yml"
    config.write_text(config.read_text().replace("../finetune/", "../../inis/"))
    (model / "model.yml").write_text("maxcompute_conn_id: only_here\n")
    monkeypatch.setenv(MODELS_DIR_ENV, str(tmp_path))

    assert list(_connections()) == ["only_here"]
