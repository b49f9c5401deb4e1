"""The Airflow of a copied store starts nothing, stops nothing and reconciles nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from easyrec import runtime
from easyrec.operators.adoption import AdoptOperator
from easyrec.operators.begin_search import CloseExperimentOperator, OpenExperimentOperator
from easyrec.operators.daily import FinishDayOperator
from easyrec.operators.pai_train import PaiTrainOperator
from easyrec.operators.promotion import ChangeServingOperator
from easyrec.operators.reconcile import ReconcileOperator, RunsThatGaveWayOperator, StartAgainOperator
from easyrec.operators.resolve_checkpoint import ResolveCheckpointOperator
from easyrec.operators.trial import TrialOperator
from include.errors import RetryableError
from include.store import ExperimentStore
from tests.support.daily import MODEL

TI = SimpleNamespace(
    dag_id="begin_search_movielens", run_id="june", task_id="trial", map_index=0, max_tries=1, try_number=1
)
CONTEXT = {
    "ti": TI,
    "params": {"grace_minutes": 2, "none": True},
    "dag_run": SimpleNamespace(
        run_id="june",
        run_type="manual",
        conf={"bizdate": "2022-06-01"},
        run_after=datetime(2022, 6, 2, tzinfo=timezone.utc),
        logical_date=None,
        data_interval_start=None,
        data_interval_end=None,
    ),
}
TASKS = {
    "open": lambda: OpenExperimentOperator(task_id="open", model_folder=str(MODEL)),
    "trial": lambda: TrialOperator(task_id="trial", assignment={"experiment": "one-1"}),
    "close": lambda: CloseExperimentOperator(task_id="close", model="movielens", experiment="one-1"),
    "close without an experiment": lambda: CloseExperimentOperator(
        task_id="close", model="movielens", experiment="None"
    ),
    "job": lambda: PaiTrainOperator(task_id="job", ini="none.ini"),
    "finish of a day": lambda: FinishDayOperator(task_id="finish", model_folder=str(MODEL)),
    "adopt": lambda: AdoptOperator(task_id="adopt", model_folder=str(MODEL)),
    "promote": lambda: ChangeServingOperator(task_id="change", model="movielens", model_folder=str(MODEL)),
    "reconcile": lambda: ReconcileOperator(task_id="reconcile"),
    "runs that gave way": lambda: RunsThatGaveWayOperator(task_id="gave_way"),
    "start again": lambda: StartAgainOperator(
        task_id="again", run={"model": "movielens", "dag_id": "daily", "run_id": "june"}
    ),
    "begin of a day": lambda: ResolveCheckpointOperator(task_id="begin", model_folder=str(MODEL)),
}


@pytest.fixture
def variables(monkeypatch):
    """Of this Airflow: its Variables' keys."""
    kept: set[str] = set()
    monkeypatch.setattr(Variable, "keys", lambda prefix: [key for key in kept if key.startswith(prefix)])
    monkeypatch.setattr(Variable, "set", lambda key, *_, **__: kept.add(key))
    return kept


@pytest.fixture
def store(tmp_path, monkeypatch, variables):
    with ExperimentStore.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        monkeypatch.setattr(runtime, "open_store", lambda: opened)
        monkeypatch.setattr(runtime, "_both", lambda _settings: (None, None))
        yield opened


def execute(task):
    operator = TASKS[task]()
    return type(operator).execute.__wrapped__(operator, CONTEXT)


def test_the_airflow_that_used_the_store_first_goes_on_using_it(store, variables):
    assert runtime.own_store() is store
    assert runtime.own_store() is store
    assert [key for key in variables if store.uuid in key]
    assert store.binding().to  # for the error in another Airflow


@pytest.mark.parametrize("task", TASKS)
def test_every_task_that_starts_or_stops_something_is_refused(store, variables, task):
    runtime.own_store()
    variables.clear()  # another Airflow, with a copy of the store

    with pytest.raises(AirflowException, match="belongs to another Airflow"):
        execute(task)


def test_an_airflow_that_can_not_answer_fails_a_try_only(store, variables, monkeypatch):
    runtime.own_store()

    def away(**_):
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={"message": "away"}))

    monkeypatch.setattr(Variable, "keys", away)

    with pytest.raises(RetryableError, match="away"):
        runtime.own_store()
    with pytest.raises(AirflowException) as caught:
        execute("reconcile")
    assert not isinstance(caught.value, AirflowFailException)
