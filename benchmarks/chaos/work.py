"""The work that goes on under faults: a search of many trials and a backfill of many days."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import requests

from benchmarks.chaos.lab import FIRST_DAY, Lab
from include import names
from include.store import DayState, current_days

SEARCH_MODEL, DAYS_MODEL = "clicks", "shop"
RECONCILE = "easyrec_reconcile"
_GRACE_MINUTES = 0.5
_ACTIVE_RUNS = 4
_ENDED = ("success", "failed")
_COMMON = """
poll_seconds: 1
max_training_hours: 0.03
max_waiting_hours: 0.2
lost_answer_seconds: 6
"""
"""A job that hangs is stopped after 108 s; the service's clock may be 40 s off."""
SETTINGS = {
    SEARCH_MODEL: _COMMON + "max_trial_retries: 2\n",
    DAYS_MODEL: f"""{_COMMON}max_trial_retries: 2
finetune:
  timezone: UTC
  start_from: oss://sandbox-bucket/{DAYS_MODEL}/origin
  last_bizdate: 1998-04-21
  pipeline_config: origin
  wait_poll_seconds: 2
""",
}
WEIGHTS = {"auc_is_like": 0.75, "auc_is_love": 0.25}


@dataclass
class Work:
    lab: Lab
    trials: int
    days: int
    search_run: str = "chaos"
    search_dag: str = f"begin_search_{SEARCH_MODEL}"
    days_dag: str = f"daily_finetune_{DAYS_MODEL}"
    origin: str = ""
    last_progress: float = field(default=0.0)

    @property
    def wanted(self) -> Sequence[date]:
        return [FIRST_DAY + timedelta(days=n) for n in range(self.days)]

    @property
    def experiment(self) -> str:
        return names.experiment_id(SEARCH_MODEL, self.lab.store.uuid, self.search_dag, self.search_run)

    def start(self, seed: int) -> None:
        lab = self.lab
        if self.days:
            self.origin = lab.train_origin(DAYS_MODEL)
            lab.turn_on(self.days_dag)
            # Fewer than days: those that wait for a failed day fill them, and have to give way.
            lab.airflow.backfill(self.days_dag, self.wanted[0], self.wanted[-1], active_runs=_ACTIVE_RUNS)
        if self.trials:
            conf = {"trials": self.trials, "seed": seed}
            lab.airflow.trigger(self.search_dag, conf, self.search_run)

    def progress(self) -> float:
        """Share of trials and days that have ended; never falls back (a clear opens a trial again)."""
        store = self.lab.store
        trials = store.trials(self.experiment) if self._has_begun() else []
        ended = sum(trial.state.is_terminal for trial in trials)
        promoted = current_days(store.days(DAYS_MODEL)).values()
        ended += sum(day.state is DayState.PROMOTED for day in promoted)
        self.last_progress = max(self.last_progress, ended / max(1, self.trials + self.days))
        return self.last_progress

    def _has_begun(self) -> bool:
        return any(each.id == self.experiment for each in self.lab.store.experiments(SEARCH_MODEL))

    def states(self) -> dict[str, str]:
        """Of every run of both DAGs."""
        found = {}
        for dag_id in (self.search_dag, self.days_dag):
            for run in self.lab.runs(dag_id):
                found[f"{dag_id}/{run['dag_run_id']}"] = run["state"]
        return found

    def open(self) -> list[str]:
        """Runs that go on, and days that wait for a person."""
        states = self.states()
        days = current_days(self.lab.store.days(DAYS_MODEL))
        missing = [str(d) for d in self.wanted if d not in days or days[d].state is not DayState.PROMOTED]
        return [f"{run} {state}" for run, state in states.items() if state not in _ENDED] + missing

    def is_over(self) -> bool:
        return not self.open()

    def reconcile(self) -> str:
        """One round of the DAG that ends what nobody owns; its run's state, empty where there is no such DAG."""
        airflow = self.lab.airflow
        try:
            airflow.api("GET", f"/dags/{RECONCILE}")
        except requests.HTTPError:
            return ""
        run_id = airflow.trigger(RECONCILE, {"grace_minutes": _GRACE_MINUTES})

        def state() -> str | None:
            with contextlib.suppress(requests.RequestException):
                found = airflow.run_state(RECONCILE, run_id)
                return found if found in _ENDED else None
            return None

        return str(self.lab.wait(state, "reconcile ends", seconds=300))
