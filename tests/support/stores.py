"""What tests of the store have in common."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from include.store import NewExperiment

ROOT = Path(__file__).parents[2]
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Clock:
    """One second passes with each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def new_experiment(name: str = "model-1", **changes: Any) -> NewExperiment:
    """A search of which nothing has begun; ``changes`` by field."""
    values: dict[str, Any] = {
        "id": name,
        "model": "model",
        "kind": "begin",
        "dag_id": "begin_search_model",
        "run_id": "manual__1",
        "seed": 2**62,
        "optimize_mode": "maximize",
        "max_trials": 16,
        "deadline": None,
        "snapshot": {"search_space": {"x": {"_type": "uniform", "_value": [0.0, 0.1]}}},
        "created_by": "ada",
    }
    return NewExperiment(**{**values, **changes})


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)
