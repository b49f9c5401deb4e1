"""The command ``experiments``: what the store holds."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from include.cli.groups import Commands, table
from include.errors import NotFoundError

STORE_ENV = "EASYREC_AUTOML_STORE"


def add_to(commands: Commands) -> None:
    experiments = commands.add_parser("experiments", help="list experiments or show one")
    experiments.add_argument("experiment", nargs="?", help="id; without it all are listed")
    experiments.add_argument("--model")
    experiments.add_argument("--json", action="store_true", help="for scripts")
    experiments.add_argument(
        "--store", help=f"database URL (default: ${STORE_ENV}, else easyrec_automl.db in $AIRFLOW_HOME)"
    )
    experiments.set_defaults(run=_experiments)


def _experiments(arguments: argparse.Namespace) -> None:
    from include.experiments.closing import report_of_store
    from include.store import SEARCHES, ExperimentStore

    store = ExperimentStore.open(_store_address(arguments.store))
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
    if report.best is not None:
        print(f"best: trial {report.best.number} ({report.best.metric})")
        print(
            f"model: {report.best_model_dir}\nconfig: {report.best_config}\nreport: {report.prefix}report.html"
        )


def _store_address(given: str | None) -> str:
    """Of a store that is there: opening another address would make a new file."""
    from include.store.database import parse_url

    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    default = home / "easyrec_automl.db"
    url = given or os.environ.get(STORE_ENV)
    address = parse_url(url) if url else None
    is_file = address is None or address.get_backend_name() == "sqlite"
    file = Path(address.database or "") if address is not None else default
    if is_file and not file.exists():
        raise NotFoundError(f"there is no experiment store at {file}", hint=f"give --store or ${STORE_ENV}")
    return url or f"sqlite:///{file}"
