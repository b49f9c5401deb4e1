"""A begin search and seven days of finetune on this machine: sandbox, Airflow, real data, live in the terminal.

No cloud account is needed: stand-ins for MaxCompute and OSS run on loopback, and a small real trainer runs
behind them. The clients, the DAG and Airflow are the ones a deployment uses.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from include.adapters.connections import MaxComputeCredentials, OssCredentials
from include.adapters.maxcompute import MaxComputeJobs
from include.adapters.oss import OssObjects
from include.experiments.closing import report_of_store
from include.experiments.plan import Plan
from include.experiments.report import Report, TrialRow
from include.sandbox import Endpoints
from include.search.trial import TrialState
from include.store import ExperimentStore
from scripts import demo_options, sandbox_connections
from scripts.demo_finetune import finetune
from scripts.ending import end_in_order_on_signals
from scripts.local_airflow import ROOT, USER, AirflowDidNotStart, LocalAirflow

MODEL = "movielens"
DAG_ID = f"begin_search_{MODEL}"
_STYLES = {
    TrialState.SUCCEEDED: "green",
    TrialState.EARLY_STOPPED: "yellow",
    TrialState.FAILED: "red",
    TrialState.CANCELLED: "red",
    TrialState.RUNNING: "cyan",
}
_SHOWN = 18
_OTHER_COLUMNS = 56

console = Console()


def main() -> int:
    arguments = demo_options.parser().parse_args()
    end_in_order_on_signals()
    folder: Path = arguments.folder.resolve()
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    started = time.monotonic()
    try:
        with _sandbox(folder, arguments.data) as sandbox, _airflow(folder, sandbox) as airflow:
            store = ExperimentStore.open(f"sqlite:///{airflow.home / 'easyrec_automl.db'}")
            console.print(f"Airflow: [link]{airflow.url}[/]  login {USER} / {airflow.password}")
            succeeded = _search(airflow, store, arguments)
            if succeeded and not arguments.search_only:
                clients = _clients(sandbox)
                succeeded = finetune(console, airflow, store, *clients)
            console.print(f"\nThe whole of it took {time.monotonic() - started:.0f} s.")
            if not arguments.exit:
                _stay(airflow)
    except KeyboardInterrupt:
        console.print("\nstopped; no process is left behind")
        return 130
    except (AirflowDidNotStart, SandboxDidNotStart) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        return 1
    return 0 if succeeded else 1


class SandboxDidNotStart(RuntimeError):
    """The sandbox process ended or did not answer; the message shows the end of its log."""


@contextlib.contextmanager
def _sandbox(folder: Path, data: str) -> Iterator[Endpoints]:
    """Endpoints of a sandbox that runs as a child process."""
    endpoints_file, log_file = folder / "endpoints.json", folder / "sandbox.log"
    command = [sys.executable, "-m", "include.sandbox", "--folder", str(folder / "sandbox")]
    command += ["--endpoints-file", str(endpoints_file), "--capacity", "4", "--data", data]
    with log_file.open("wb") as log, console.status("Starting the sandbox (MaxCompute and OSS stand-ins) …"):
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            until = time.monotonic() + 180
            while not endpoints_file.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise SandboxDidNotStart(f"the sandbox did not start:\n{log_file.read_text()[-3000:]}")
                time.sleep(0.1)
        except BaseException:
            _end(process)
            raise
    try:
        endpoints = Endpoints(**json.loads(endpoints_file.read_text()))
        console.print(f"Sandbox: MaxCompute {endpoints.maxcompute}, OSS {endpoints.oss}")
        for line in log_file.read_text().splitlines():
            if "tables hold" in line:
                console.print(f"  {line.partition('__main__ ')[2]}", highlight=False, style="dim")
        yield endpoints
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _airflow(folder: Path, sandbox: Endpoints) -> Iterator[LocalAirflow]:
    _upload_pipeline_config(sandbox)
    environment = {
        **sandbox_connections.environment(sandbox),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",  # the processor time is needed for tasks
    }
    airflow = LocalAirflow(folder / "airflow", environment=environment)
    with console.status("Starting Airflow (API server, scheduler, triggerer, DAG processor) …"):
        airflow.__enter__()
        try:
            airflow.wait_for_dag(DAG_ID)
        except BaseException:
            airflow.stop_all()
            raise
    try:
        yield airflow
    finally:
        with console.status("Stopping Airflow …"):
            airflow.stop_all()


def _clients(sandbox: Endpoints) -> tuple[MaxComputeJobs, OssObjects]:
    maxcompute, oss = sandbox_connections.maxcompute_extra(sandbox), sandbox_connections.oss_extra(sandbox)
    jobs = MaxComputeJobs(MaxComputeCredentials.from_extra("maxcompute_default", maxcompute))
    return jobs, OssObjects(OssCredentials.from_extra("oss_default", oss))


def _upload_pipeline_config(sandbox: Endpoints) -> None:
    """What a user does once by hand: put the model's pipeline config on OSS."""
    folder = ROOT / "include" / "models" / MODEL
    plan = Plan.load(folder)
    _, objects = _clients(sandbox)
    objects.write(plan.job.parameters["config"], (folder / "pipeline.config").read_bytes())


def _search(airflow: LocalAirflow, store: ExperimentStore, arguments: argparse.Namespace) -> bool:
    conf = {"trials": arguments.trials, "seed": arguments.seed, "baseline": True}
    run_id = airflow.trigger(DAG_ID, conf)
    console.print(f"Begin search: {airflow.url}/dags/{DAG_ID}/runs/{run_id}\n", soft_wrap=True)
    progress = Progress(
        TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    task = progress.add_task("trials", total=arguments.trials + 1)
    state, report = "queued", None
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while state in ("queued", "running"):
            state = airflow.run_state(DAG_ID, run_id)
            found = [e for e in store.experiments(MODEL) if e.run_id == run_id]
            if found:
                report = report_of_store(store, found[0].id)
                progress.update(task, completed=sum(t.state.is_terminal for t in report.trials))
                live.update(Group(_table(report), progress))
            time.sleep(0.5)
    if report is None:
        console.print(f"[red]the run ended ({state}) before its search began; see {airflow.home}/logs[/]")
        return False
    report = report_of_store(store, report.experiment)
    console.print(_table(report, limit=None))
    _summarize(report)
    return state == "success"


def _table(report: Report, limit: int | None = _SHOWN) -> Table:
    table = Table(title=f"{report.experiment} ({report.state.lower()})", title_justify="left")
    for column in ("#", "state", "metric", "evals", "seconds", "parameters"):
        table.add_column(column, justify="right" if column not in ("state", "parameters") else "left")
    room = max(20, console.width - _OTHER_COLUMNS)
    for row in report.trials if limit is None else report.trials[-limit:]:
        best = report.best is not None and row.number == report.best.number
        table.add_row(
            str(row.number),
            row.state.value.lower(),
            "" if row.metric is None else f"{row.metric:.4f}",
            str(row.evaluations),
            f"{row.training_seconds:.1f}",
            text if len(text := _short(row)) <= room else text[: room - 1] + "…",
            style="bold green" if best else _STYLES.get(row.state, "dim"),
        )
    return table


def _short(row: TrialRow) -> str:
    if row.source != "tuner":
        return "(the config as it is)"
    shown = (
        f"{key.rsplit('.', 1)[-1]}={value:.3g}"
        if isinstance(value, float)
        else f"{key.rsplit('.', 1)[-1]}={value}"
        for key, value in row.parameters.items()
    )
    return "  ".join(shown)


def _summarize(report: Report) -> None:
    best, baseline = report.best, report.baseline
    if best is None or best.metric is None:
        console.print("[red]no trial succeeded[/]")
        return
    console.print(f"\n[bold]Best: trial {best.number}, objective {best.metric:.4f}[/]", highlight=False)
    if baseline is not None and baseline.metric is not None:
        gain = best.metric - baseline.metric
        console.print(f"  the config as it is: {baseline.metric:.4f} ({gain:+.4f})", highlight=False)
    for key, value in best.parameters.items():
        console.print(f"  {key} = {value}", highlight=False, soft_wrap=True)
    total = report.training_seconds + report.saved_seconds
    share = report.saved_seconds / total if total else 0.0
    console.print(
        f"\nStopped early: {report.count(TrialState.EARLY_STOPPED)} of {len(report.trials)} trials, which saved "
        f"about {report.saved_seconds:.0f} s of training ({share:.0%}); trained: {report.training_seconds:.0f} s.",
        highlight=False,
    )
    console.print(f"Best model:  {report.best_model_dir}", highlight=False, soft_wrap=True)
    console.print(f"Best config: {report.best_config}", highlight=False, soft_wrap=True)
    console.print(f"Report:      {report.prefix}report.html", highlight=False, soft_wrap=True)


def _stay(airflow: LocalAirflow) -> None:
    console.print(
        f"\nThe UI stays up: {airflow.url}  (login {USER} / {airflow.password}). Ctrl-C ends everything."
    )
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(main())
