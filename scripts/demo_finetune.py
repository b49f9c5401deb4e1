"""The demo's second half: seven days of daily finetune by an Airflow backfill, and what they gain."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from include.adapters.maxcompute import MaxComputeJobs
from include.adapters.oss import OssObjects
from include.daily.metric_probe import read_eval_result
from include.daily.plan import FinetunePlan
from include.errors import EasyRecAutoMLError
from include.experiments.job_plan import EVALUATE, JobPlan, JobSpec
from include.finetune.calendar import days as days_between
from include.finetune.calendar import following, yyyymmdd
from include.names import StepId, join_url
from include.ports import JobState
from include.store import Chain, Day, DayState, ExperimentStore, current_days
from scripts.local_airflow import ROOT, LocalAirflow

MODEL = "movielens"
DAG_ID = f"daily_finetune_{MODEL}"
FIRST, DAYS = date(1997, 11, 19), 7
"""The search trains on the days before."""
_ACTIVE_RUNS = 3
"""One trains; the next ones have found their tables by the time that it is their turn."""
_TABLE = "odps://sandbox/tables/ratings_daily/dt="
_STYLES = {DayState.PROMOTED: "green", DayState.GATE_FAILED: "yellow", DayState.FAILED: "red"}


def finetune(
    console: Console, airflow: LocalAirflow, store: ExperimentStore, jobs: MaxComputeJobs, objects: OssObjects
) -> bool:
    """Backfill the days, print them beside the model that was not finetuned; whether all were trained."""
    wanted = days_between(FIRST, FIRST + timedelta(days=DAYS - 1))
    airflow.wait_for_dag(DAG_ID)
    airflow.backfill(DAG_ID, wanted[0], wanted[-1], active_runs=_ACTIVE_RUNS)
    airflow.api("PATCH", f"/dags/{DAG_ID}", {"is_paused": False})
    console.print(
        f"\nDaily finetune, {wanted[0]} to {wanted[-1]}, by a backfill: {airflow.url}/dags/{DAG_ID}",
        soft_wrap=True,
    )
    days = _follow(console, airflow, store, wanted)
    chain = store.current_chain(MODEL)
    if chain is None or not days:
        console.print(f"[red]no day was trained; see {airflow.home}/logs[/]")
        return False
    _say_handover(console, chain)
    plan = FinetunePlan.load(ROOT / "include" / "models" / MODEL)
    try:
        with console.status("Evaluating the model that was not finetuned on the same days …"):
            stale = stale_metrics(jobs, objects, plan, chain, wanted)
    except EasyRecAutoMLError as error:
        console.print(f"[red]the model of the search can't be evaluated: {error}[/]", highlight=False)
        return False
    console.print(_table(days, stale))
    trained = [d for d in days.values() if d.metric is not None]
    better = sum(d.metric > stale[d.bizdate] for d in trained if d.metric is not None)
    console.print(
        f"Finetuned daily it is better than without on {better} of {len(trained)} next days.", highlight=False
    )
    serving = store.serving(MODEL)
    if serving is not None:
        console.print(f"Serves now (promotion {serving.number}): {serving.checkpoint}", highlight=False)
        console.print(f"Pointer: {plan.promotions_prefix}current.json", highlight=False, soft_wrap=True)
    return len(trained) == len(wanted)


def _follow(
    console: Console, airflow: LocalAirflow, store: ExperimentStore, wanted: list[date]
) -> dict[date, Day]:
    """Show the days until all of the backfill's runs have ended."""
    progress = Progress(
        TextColumn("days"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    task = progress.add_task("days", total=len(wanted))
    days: dict[date, Day] = {}
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            runs = airflow.api("GET", f"/dags/{DAG_ID}/dagRuns?run_type=backfill&limit=100")["dag_runs"]
            days = current_days(store.days(MODEL))
            ended = sum(run["state"] in ("success", "failed") for run in runs)
            progress.update(task, completed=ended)
            live.update(Group(_table(days, {}), progress))
            failed = any(run["state"] == "failed" for run in runs)  # the days after it wait for a person
            if failed or (runs and ended == len(runs)):
                return days
            time.sleep(1)


def _say_handover(console: Console, chain: Chain) -> None:
    origin = chain.origin
    rates = ", ".join(f"{rate:.3g}" for rate in origin.learning_rates)
    console.print(f"Began from {origin.checkpoint} (trial {origin.trial}),", highlight=False, soft_wrap=True)
    console.print(f"  with the learning rate at which that training ended: {rates}", highlight=False)


def stale_metrics(
    jobs: MaxComputeJobs, objects: OssObjects, plan: FinetunePlan, chain: Chain, wanted: list[date]
) -> dict[date, float]:
    """The objective of the chain's first model on the day after each day, by one ``-Dcmd=evaluate`` job each."""
    since, submitted = time.monotonic(), {}
    specs = {bizdate: _evaluation(plan, chain, following(bizdate)) for bizdate in wanted}
    for number, (bizdate, spec) in enumerate(specs.items()):
        payload = JobPlan(spec).render_trial(StepId("demo", number), {}).payload
        submitted[bizdate] = jobs.submit(payload, submission_key=f"stale-{bizdate}", store_uuid="demo")
    for bizdate, job_id in submitted.items():
        while not (status := jobs.status(job_id)).state.is_terminal:
            if time.monotonic() - since > 120:
                raise EasyRecAutoMLError(f"job {job_id} takes too long")
            time.sleep(0.3)
        if status.state is not JobState.SUCCEEDED:
            raise EasyRecAutoMLError(f"the evaluation for {bizdate} failed: {status.message}")
    found = {}
    for bizdate, spec in specs.items():
        url = join_url(spec.model_dir, spec.parameters["eval_result_path"])
        metric = read_eval_result(objects, url, plan.job.weights)
        if metric is None:
            raise EasyRecAutoMLError("the evaluation left no result", where=url)
        found[bizdate] = metric.objective
    return found


def _evaluation(plan: FinetunePlan, chain: Chain, day: date) -> JobSpec:
    kept = ("version", "arn", "buckets", "ossHost")
    return JobSpec(
        xflow_name=plan.job.xflow_name,
        xflow_project=plan.job.xflow_project,
        parameters={
            **{key: plan.job.parameters[key] for key in kept},
            "cmd": "evaluate",
            "config": chain.origin.config_url,
            "checkpoint_path": chain.origin.checkpoint,
            "eval_tables": f"{_TABLE}{yyyymmdd(day)}",
            "eval_result_path": f"not_finetuned_{yyyymmdd(day)}.txt",
            "cluster": '{"worker":{"count":1,"cpu":1000,"memory":40000}}',
        },
        model_dir=chain.origin.checkpoint.rpartition("/")[0],
        settings=plan.settings,
        command=EVALUATE,
    )


def _table(days: Mapping[date, Day], stale: Mapping[date, float]) -> Table:
    table = Table(title=f"{MODEL}: daily finetune", title_justify="left")
    columns = ["day", "state", "metric on the next day"]
    columns += ["not finetuned", "gain"] if stale else []
    for column in columns:
        table.add_column(column)
    table.add_column("checkpoint", overflow="fold")
    for bizdate, day in sorted(days.items()):
        row: list[Any] = [str(bizdate), day.state.value.lower()]
        row.append("" if day.metric is None else f"{day.metric:.4f}")
        if stale:
            before = stale.get(bizdate)
            known = before is not None and day.metric is not None
            row += [f"{before:.4f}", f"{day.metric - before:+.4f}"] if known else ["", ""]  # type: ignore[operator]
        row.append("/".join((day.checkpoint_out or "").rsplit("/", 2)[-2:]))
        table.add_row(*row, style=_STYLES.get(day.state, "cyan"))
    return table
