"""A search and a backfill under at least 200 faults, from a seed; an audit from the sandbox's own books.

    python -m benchmarks.chaos --seed 1 [--trials 40] [--days 20] [--minutes 20]

One seed per call. Exit code 1 when the audit finds a violation.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.audit import Violation, audit
from benchmarks.chaos.collect import collect
from benchmarks.chaos.conductor import Conductor
from benchmarks.chaos.lab import running_lab
from benchmarks.chaos.outages import Outages, small_disk
from benchmarks.chaos.people import People
from benchmarks.chaos.plan import EVENTS, make_plan
from benchmarks.chaos.work import DAYS_MODEL, SETTINGS, WEIGHTS, Work
from scripts.ending import end_in_order_on_signals

_SETTLE_ROUNDS = 8
"""Rounds of reconcile at the end, 30 s apart: it leaves alone what changed just now."""
console = Console(width=110, highlight=False)


def main() -> int:
    arguments = _arguments()
    end_in_order_on_signals()
    folder: Path = arguments.folder or Path(tempfile.mkdtemp(prefix="chaos"))
    began = time.monotonic()
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(folder / "sandbox"))
        lab = stack.enter_context(running_lab(folder, SETTINGS, speed=0.5, faketime=True))
        work = Work(lab, arguments.trials, arguments.days)
        people = People(lab, search=work.search_dag, days=work.days_dag)
        outages = Outages(lab.store_url, lab.airflow_url, folder / "sandbox")
        conductor = Conductor(lab, work, people, outages, disk=disk, outage_seconds=arguments.outage_seconds)
        work.start(arguments.seed)
        events = {kind: round(count * arguments.events) for kind, count in EVENTS.items()}
        plan = make_plan(arguments.seed, wire=arguments.wire, events=events)
        ended = ""
        try:
            conductor.run(plan, minutes=arguments.minutes)
        except Exception as error:  # noqa: BLE001 (the audit says what it left)
            ended = f"{type(error).__name__}: {error}"
        rounds = _settle(work)
        evidence = collect(
            lab,
            model=DAYS_MODEL,
            weights=WEIGHTS,
            days_wanted=[str(day) for day in work.wanted],
            origin=work.origin,
            acted_on=people.acted_on,
            runs=work.states(),
        )
    (folder / "evidence.json").write_text(json.dumps(asdict(evidence), default=list, indent=1))
    found = audit(evidence)
    if ended:
        found["the work ends"] = [Violation("the work ends", "the suite", ended)]
    _print(arguments.seed, conductor, found, evidence_counts(evidence), rounds)
    violations = sum(len(each) for each in found.values())
    console.print(
        f"seed {arguments.seed}: {violations} violations, {time.monotonic() - began:.0f} s, {folder}"
    )
    return 1 if violations else 0


def evidence_counts(evidence: object) -> dict[str, int]:
    return {name: len(getattr(evidence, name)) for name in ("jobs", "steps", "trials", "days", "promotions")}


def _settle(work: Work) -> list[str]:
    """Rounds of reconcile until nothing is left open."""
    rounds = []
    for _ in range(_SETTLE_ROUNDS):
        state = work.reconcile()
        rounds.append(state or "no such DAG")
        store = work.lab.store
        open_trials = [
            trial
            for experiment in store.experiments()
            for trial in store.trials(experiment.id)
            if not trial.state.is_terminal
        ]
        if not state or not (open_trials or store.open_steps() or store.leases()):
            break
        time.sleep(30)
    return rounds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--wire", type=int, default=200, help="faults on the wire")
    parser.add_argument("--events", type=float, default=1.0, help="kills and the like, as a share of all")
    parser.add_argument("--outage-seconds", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, default=20.0, help="nothing is injected after that")
    parser.add_argument("--folder", type=Path, help="kept afterwards; made anew at each start")
    return parser.parse_args()


def _print(
    seed: int,
    conductor: Conductor,
    found: dict[str, list[Violation]],
    counts: dict[str, int],
    rounds: list[str],
) -> None:
    record = conductor.record
    faults = Table("fault", "injected", title=f"seed {seed}: {record.faults} faults", title_justify="left")
    for kind, count in sorted({**record.events, **record.wire}.items()):
        faults.add_row(kind, str(count))
    console.print(faults)
    recovery = Table(
        "after", "times", "median s", "longest s", title="until work went on", title_justify="left"
    )
    for kind, times, median, longest in conductor.recoveries.rows():
        recovery.add_row(kind, str(times), f"{median:.0f}", f"{longest:.0f}")
    console.print(recovery)
    checks = Table("check", "violations", title=", ".join(f"{n} {k}" for k, n in counts.items()))
    for name, violations in found.items():
        checks.add_row(name, str(len(violations)))
    console.print(checks)
    for each in (each for violations in found.values() for each in violations):
        console.print(f"[red]{each}", markup=True)
    console.print(
        f"days cleared by a person: {record.mended_days}; rounds of reconcile: {', '.join(rounds)}; "
        f"left out: {', '.join(record.left_out) or 'nothing'}; never recovered: {conductor.recoveries.never}"
    )


if __name__ == "__main__":
    sys.exit(main())
