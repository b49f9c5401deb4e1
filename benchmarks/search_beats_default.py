"""Does a 16-trial TPE search beat the demo model's default configuration, whatever the seed?

    python benchmarks/search_beats_default.py [--seeds 10] [--data synthetic] [--csv results.csv]

Runs the sandbox's trainer in process on ``include/models/movielens``; at each ask three earlier trials are
pending, as with concurrency four. Early stopping is left out: it can only save compute here.
Prints one row per seed; exit code 1 when the search wins for fewer than nine tenths of the seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from include.adapters import nni_tuners
from include.jobs import ini
from include.names import join_url, split_oss_url
from include.ports import TrialRecord
from include.sandbox import data
from include.sandbox.oss.storage import BucketStorage
from include.sandbox.tables import TableStorage
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.runner import run
from include.search import space as search_space

MODEL = Path(__file__).resolve().parents[1] / "include" / "models" / "movielens"
TRIALS, PENDING = 16, 4


class Trainer:
    """Objective of a parameter set; every trial gets a model_dir and a seed of its own."""

    def __init__(self, folder: Path, kind: str, cache: Path) -> None:
        config = ini.load(MODEL / "begin" / "config_begin.ini")
        self.weights = config.weights
        self._job = Job("benchmark", config.parameters, folder / "oss", folder / "tables", speed=0)
        storage = BucketStorage(self._job.oss_root)
        bucket, key = split_oss_url(config.parameters["config"])
        storage.create_bucket(bucket)
        storage.write(bucket, key, (MODEL / "pipeline.config").read_bytes())
        self.summary = data.load(kind, TableStorage(self._job.tables_root), cache=cache)  # type: ignore[arg-type]
        self._runs = 0

    def objective(self, parameters: Mapping[str, Any], seed: int) -> float:
        self._runs += 1
        base = self._job.parameters
        added = {
            "model_dir": join_url(base["model_dir"], str(self._runs)),
            "edit_config_json": json.dumps(parameters),
        }
        metrics = run(replace(self._job, parameters={**base, **added}, seed=seed))
        assert isinstance(metrics, dict)
        return sum(weight * metrics[tag] for tag, weight in self.weights.items())


def search(trainer: Trainer, seed: int) -> list[float]:
    """Objective of each trial. Trials end in their order, so that the benchmark repeats exactly."""
    space = search_space.load(MODEL / "begin" / "search_space.json")
    tuner = nni_tuners.create("TPE", {"optimize_mode": "maximize"}, space)
    trials: list[TrialRecord] = []
    for number in range(TRIALS):
        first_pending = max(0, number - PENDING + 1)
        pending = [replace(record, value=None) for record in trials[first_pending:]]
        asked = tuner.ask(trials[:first_pending], pending, seed)
        value = trainer.objective(space.edits(asked), seed=1000 * seed + number)
        trials.append(TrialRecord(number, asked, value))
    return [record.value or 0.0 for record in trials]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data", choices=("movielens", "synthetic"), default="movielens")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "easyrec-automl-data")
    parser.add_argument("--csv", type=Path, help="also write every trial's objective here")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Path(folder), options.data, options.cache)
        print(f"{trainer.summary.kind_used}: {trainer.summary.rows} rows. {trainer.summary.notice}")
        print(
            f"{'seed':>4} {'default':>8} {'best':>8} {'gain':>8} {'median':>8} {'worst':>8} {'beat it':>8} {'s':>5}"
        )
        results = []
        for seed in range(options.seeds):
            began = time.perf_counter()
            default = trainer.objective({}, seed=1000 * seed + 999)
            values = search(trainer, seed)
            results.append((default, values))
            better = sum(value > default for value in values)
            print(
                f"{seed:>4} {default:8.4f} {max(values):8.4f} {max(values) - default:+8.4f} "
                f"{statistics.median(values):8.4f} {min(values):8.4f} {better:>5}/{TRIALS} "
                f"{time.perf_counter() - began:5.0f}",
                flush=True,
            )
    if options.csv:
        with options.csv.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["seed", "default", *(f"trial_{number}" for number in range(TRIALS))])
            writer.writerows([seed, default, *values] for seed, (default, values) in enumerate(results))
    wins = sum(max(values) > default for default, values in results)
    gain = statistics.median(max(values) - default for default, values in results)
    print(f"the search beat the default for {wins} of {options.seeds} seeds, median gain {gain:+.4f}")
    return 0 if wins >= 0.9 * options.seeds else 1


if __name__ == "__main__":
    sys.exit(main())
