"""The command ``experiments``: what the store holds."""

from __future__ import annotations

import argparse
import json

from include.cli.groups import Commands, add_store_option, open_store, table


def add_to(commands: Commands) -> None:
    experiments = commands.add_parser("experiments", help="list experiments or show one")
    experiments.add_argument("experiment", nargs="?", help="id; without it all are listed")
    experiments.add_argument("--model")
    experiments.add_argument("--json", action="store_true", help="for scripts")
    add_store_option(experiments)
    experiments.set_defaults(run=_experiments)


def _experiments(arguments: argparse.Namespace) -> None:
    from include.experiments.closing import report_of_store
    from include.store import SEARCHES

    store = open_store(arguments)
    if arguments.experiment is None:
        rows = [
            {
                "experiment": e.id,
                "model": e.model,
                "state": e.state.value,
                "created": e.created_at.isoformat(timespec="seconds"),
                "trials": len(store.trials(e.id)),
            }
            for e in store.experiments(arguments.model, kinds=SEARCHES)
        ]
        print(json.dumps(rows, indent=2) if arguments.json else table(rows) if rows else "no experiments yet")
        return
    report = report_of_store(store, arguments.experiment)
    if arguments.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
        return
    print(
        f"{report.experiment}: {report.state}, seed {report.seed}, {report.optimize_mode} {dict(report.weights)}"
    )
    print(
        table(
            [
                {
                    "#": t.number,
                    "state": t.state.value,
                    "metric": "" if t.metric is None else f"{t.metric:.5f}",
                    "seconds": f"{t.training_seconds:.1f}",
                    "parameters": json.dumps(dict(t.parameters), ensure_ascii=False),
                    "reason": t.reason,
                }
                for t in report.trials
            ]
        )
    )
    days = [{"#": t.number, **{day: _number(value) for day, value in t.days.items()}} for t in report.trials]
    names = list(dict.fromkeys(name for row in days for name in row))
    if len(names) > 1:
        print(table([{name: row.get(name, "") for name in names} for row in days]))
    if report.best is not None:
        print(f"best: trial {report.best.number} ({report.best.metric})")
        print(
            f"model: {report.best_model_dir}\nconfig: {report.best_config}\nreport: {report.prefix}report.html"
        )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.5f}"
