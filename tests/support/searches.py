"""Searches and days in a store without running any: as many trials as wanted, written at once."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from include.experiments.chain_plan import ChainPlan
from include.experiments.plan import Plan
from include.names import StepId
from include.search.trial import TrialState
from include.store import (
    DayState,
    Experiment,
    ExperimentState,
    ExperimentStore,
    NewExperiment,
    Origin,
    RunKey,
    StepState,
    TaskKey,
    schema,
)

MODEL = Path(__file__).resolve().parents[2] / "include" / "models" / "movielens"
BEGAN = datetime(2026, 5, 1, tzinfo=timezone.utc)
TAGS = ("auc_is_like", "auc_is_love")
_STATES = (TrialState.SUCCEEDED, TrialState.EARLY_STOPPED, TrialState.SUCCEEDED, TrialState.FAILED)
SLOTS = 4
STEPS_OF = {
    TrialState.SUCCEEDED: StepState.SUCCEEDED,
    TrialState.EARLY_STOPPED: StepState.STOPPED,
    TrialState.FAILED: StepState.FAILED,
}


def add_search(
    store: ExperimentStore,
    name: str = "movielens-aaaa0001",
    *,
    trials: int = 8,
    evaluations: int = 5,
    dag_id: str = "begin_search_movielens",
    state: ExperimentState = ExperimentState.RUNNING,
    failure: str = "job failed: OOM",
    first_job: str | None = None,
) -> Experiment:
    """A search of the shipped model. Trial n is a success, an early stop, a success, a failure, and again."""
    made = _add(store, Plan.load(MODEL), name, trials, evaluations, dag_id, failure, first_job)
    if state is not ExperimentState.RUNNING:
        store.set_experiment_state(name, state, "all trials ended", "test")
    return store.experiment(made.id)


def add_finetune_search(
    store: ExperimentStore,
    name: str = "movielens-bbbb0001",
    *,
    trials: int = 4,
    evaluations: int = 5,
    dag_id: str = "finetune_search_movielens",
) -> Experiment:
    """A search whose trials are chains of the shipped model's three days; the states are as in ``add_search``.

    A chain that was stopped ended with its second day, one that failed with its first.
    """
    plan = replace(ChainPlan.load(MODEL), checkpoint="oss://sandbox-bucket/movielens/first/model.ckpt-10")
    return _add(store, plan, name, trials, evaluations, dag_id, "job failed: OOM", None)


def add_waiting(
    store: ExperimentStore, name: str, number: int, parameters: dict[str, Any] | None = None, **asked: Any
) -> None:
    """One more trial of a search, the next by number, that waits for its job."""
    task = TaskKey("begin_search_movielens", f"run-{name}", "trial", number)
    asked = {"task": task, "task_max_tries": 3, "seen": number, **asked}
    given = {"a": 1} if parameters is None else parameters
    store.record_ask(name, expected_asks=number, parameters=given, **asked)


def add_running(
    store: ExperimentStore,
    name: str,
    number: int,
    *,
    job_id: str = "",
    payload: dict[str, Any] | None = None,
) -> StepId:
    """One more trial of a search, the next by number, whose job runs."""
    add_waiting(store, name, number)
    step = StepId(name, number)
    key, folder = f"{name}-{number}", f"oss://b/{name}_{number}"
    store.intend_step(step, submission_key=key, payload=payload or {"cmd": "train"}, model_dir=folder)
    store.record_job(step, job_id or f"job-{name}-{number}")
    store.step_running(step)
    for state in (TrialState.SUBMITTED, TrialState.RUNNING):
        store.move_trial(name, number, epoch=0, to=state)
    return step


def _add(
    store: ExperimentStore,
    plan: Plan,
    name: str,
    trials: int,
    evaluations: int,
    dag_id: str,
    failure: str,
    first_job: str | None,
) -> Experiment:
    plan = plan.with_pipeline_config((MODEL / "pipeline.config").read_text(encoding="utf-8"))
    experiment = store.create_experiment(
        NewExperiment(
            id=name,
            model="movielens",
            kind=plan.kind,
            dag_id=dag_id,
            run_id=f"run-{name}",
            seed=1,
            optimize_mode="maximize",
            max_trials=trials + 2,
            deadline=None,
            snapshot=plan.snapshot(),
            created_by="ann",
        )
    )
    chance = random.Random(name)
    rows: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number in range(trials):
        _add_trial(plan, name, dag_id, number, evaluations, chance, rows, steps, results)
    for row in rows:
        row["reason"] = failure if row["state"] == TrialState.FAILED.value else row["reason"]
    if first_job is not None:
        steps[0]["job_id"] = first_job
    store._db.write(lambda connection: _write(connection, name, rows, steps, results))
    return experiment


def _add_trial(
    plan: Plan,
    name: str,
    dag_id: str,
    number: int,
    evaluations: int,
    chance: random.Random,
    rows: list[dict[str, Any]],
    steps: list[dict[str, Any]],
    results: list[dict[str, Any]],
) -> None:
    state = _STATES[number % len(_STATES)]
    began = BEGAN + timedelta(minutes=10 * (number // SLOTS))
    ended = began + timedelta(minutes=4 if state is TrialState.EARLY_STOPPED else 9)
    failed = state is TrialState.FAILED
    top = 0.6 + 0.1 * chance.random()
    times = {"submitted_at": began, "started_at": began + timedelta(seconds=30), "ended_at": ended}
    rows.append(
        {
            "experiment_id": name, "number": number, "dag_id": dag_id, "run_id": f"run-{name}",
            "task_id": "trial", "map_index": number, "task_max_tries": 3, "epoch": 0,
            "parameters": parameters(plan, chance), "source": "tuner", "seen": 0, "state": state.value,
            "reason": {TrialState.EARLY_STOPPED: "below the median"}.get(state, ""),
            "metric": None if failed else top, "metrics": {} if failed else dict.fromkeys(TAGS, top),
            "end_order": number + 1, "asked_at": began, **times,
        }
    )  # fmt: skip
    days = {TrialState.EARLY_STOPPED: 2, TrialState.FAILED: 1}.get(state, plan.step_count)
    days = min(days, plan.step_count)
    for day in range(days):
        # A chain is stopped between two days: what was trained of it has succeeded.
        of_day = StepState.SUCCEEDED if plan.judges_whole_steps and not failed else STEPS_OF[state]
        steps.append(
            {
                "id": _step_id(name, number, day), "experiment_id": name, "trial": number, "step": day, "epoch": 0,
                "attempt": 0, "submission_key": f"{name}-{number}-{day}", "payload": {}, "reason": "",
                "model_dir": f"oss://sandbox-bucket/movielens/{name}_{number}{f'_{day}' if day else ''}",
                "job_id": f"job-{name}-{number}{f'-{day}' if day else ''}", "state": of_day.value,
                "worker_seconds": None, "intended_at": began, **_part(times, day, days),
            }
        )  # fmt: skip
        for each in range(0 if failed else evaluations):
            value = top + 0.02 * (day - (days - 1) / 2) - 0.2 * math.exp(-each)
            results.append(
                {
                    "step_id": _step_id(name, number, day), "global_step": 100 * (each + 1), "objective": value,
                    "metrics": dict.fromkeys(TAGS, value), "wall_time": began.timestamp() + 60 * each,
                    "recorded_at": began + timedelta(seconds=60 * each),
                }
            )  # fmt: skip


def _part(times: dict[str, datetime], part: int, of: int) -> dict[str, datetime]:
    """One of equal parts of a trial's time, from its submission to its end."""
    length = (times["ended_at"] - times["submitted_at"]) / of
    begins = {
        "submitted_at": part * length,
        "started_at": part * length,
        "ended_at": (part - of + 1) * length,
    }
    return {name: time + begins[name] for name, time in times.items()}


def parameters(plan: Plan, chance: random.Random) -> dict[str, Any]:
    """One value of every key of the search space."""
    chosen = {}
    for key, domain in plan.space.domains.items():
        size = domain.size()
        if size is not None:
            chosen[key] = domain.at(chance.randrange(size))
        else:
            low, high = (float(end) for end in domain.extremes())
            chosen[key] = math.exp(chance.uniform(math.log(low), math.log(high)))
    return chosen


def _step_id(name: str, number: int, day: int = 0) -> int:
    return (int(name.rsplit("-", 1)[1], 16) * 10_000 + number) * 10 + day


def _write(connection: Any, name: str, rows: Any, steps: Any, results: Any) -> None:
    for table, values in ((schema.trial, rows), (schema.step, steps), (schema.result, results)):
        if values:
            connection.execute(table.insert(), values)
    update = schema.experiment.update().where(schema.experiment.c.id == name)
    connection.execute(update.values(asks=len(rows), ends=len(rows)))


def add_days(
    store: ExperimentStore, model: str = "movielens", dag_id: str = "daily_finetune_movielens"
) -> None:
    """Five days of June 2022: promoted, promoted, never trained, refused by the gate, failed."""
    origin = Origin(
        "oss://sandbox-bucket/movielens/first/model.ckpt-10", "oss://sandbox-bucket/movielens/c", (0.0001,)
    )
    chain = store.open_chain(model, origin=origin, by="ann")
    for number, metric in ((1, 0.7), (2, 0.72), (4, 0.5), (5, None)):
        folder = f"oss://sandbox-bucket/movielens/finetune/2022060{number}_model"
        day = store.begin_day(
            chain.id,
            date(2022, 6, number),
            run=RunKey(dag_id, f"june{number}"),
            task_max_tries=3,
            checkpoint_in=origin.checkpoint,
            model_dir=folder,
        )
        if metric is None:
            store.end_day(day.id, DayState.FAILED, "the job failed: OOM")
            continue
        trained = store.record_training(
            day.id,
            model_dir=day.model_dir,
            checkpoint_in=origin.checkpoint,
            checkpoint_out=f"{folder}/model.ckpt-10",
            global_step=10,
            metric=metric,
            metrics={"auc_is_like": metric},
        )
        if metric < 0.55:
            store.end_day(trained.id, DayState.GATE_FAILED, "auc_is_like 0.5 is below 0.55")
        else:
            store.promote_day(trained.id, by="test")


def add_many_days(store: ExperimentStore, model: str, *, first: date, count: int) -> None:
    """A chain of so many days that were all promoted."""
    origin = Origin("oss://sandbox-bucket/other/model.ckpt-10", "oss://sandbox-bucket/other/c", (0.0001,))
    chain = store.open_chain(model, origin=origin, by="ann")
    for number in range(count):
        bizdate = first + timedelta(days=number)
        folder = f"oss://sandbox-bucket/other/{bizdate:%Y%m%d}_model"
        day = store.begin_day(
            chain.id,
            bizdate,
            run=RunKey(f"daily_finetune_{model}", f"scheduled__{bizdate}"),
            task_max_tries=3,
            checkpoint_in=origin.checkpoint,
            model_dir=folder,
        )
        metric = 0.7 + 0.02 * math.sin(number / 9)
        store.record_training(
            day.id,
            model_dir=folder,
            checkpoint_in=origin.checkpoint,
            checkpoint_out=f"{folder}/model.ckpt-10",
            global_step=10,
            metric=metric,
            metrics={"auc_is_like": metric},
        )
        store.promote_day(day.id, by="test")
