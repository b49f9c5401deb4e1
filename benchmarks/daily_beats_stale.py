"""Does a model that is finetuned every day beat the one that is not, and how much does the rate matter?

    python benchmarks/daily_beats_stale.py [--days 30] [--seeds 3] [--data synthetic] [--csv curve.csv]

Trains the demo model once on the days of its search, then goes on day by day as ``daily_finetune`` does: from
the day before's checkpoint, one epoch of the day, evaluated on the next day. The learning rate handed over is
the one at which the first training ended, times a factor; ``schedule`` hands nothing over, so that every day
begins the first training's schedule anew. ``stale`` is the first model on the same days. The sandbox's trainer
runs in process. Exit code 1 when factor 1 doesn't beat the stale model on most days.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import re
import statistics
import sys
import tempfile
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import itertools

from include.finetune.learning_rate import hand_over, rate_at
from include.jobs import ini
from include.names import split_oss_url
from include.pipeline_config import edit_text
from include.sandbox import data
from include.sandbox.oss.storage import BucketStorage
from include.sandbox.tables import TableStorage
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.runner import run

MODEL = Path(__file__).resolve().parents[1] / "include" / "models" / "movielens"
BASE = "oss://sandbox-bucket/movielens"
DAILY = "odps://sandbox/tables/ratings_daily/dt="
FACTORS: dict[str, float | None] = {
    "x0.1": 0.1,
    "x0.3": 0.3,
    "x1": 1.0,
    "x3": 3.0,
    "x10": 10.0,
    "schedule": None,
}
TRAINED_DAYS = 60
"""Days in the table that the first training reads."""
ONE_WORKER = '{"worker":{"count":1,"cpu":1000,"memory":40000}}'


class Model:
    """The demo model in the sandbox's trainer; one seed for all of its trainings."""

    def __init__(self, folder: Path, kind: str, cache: Path, seed: int) -> None:
        begin = ini.load(MODEL / "begin" / "config_begin.ini")
        self._daily = ini.load(MODEL / "finetune" / "config_finetune.ini", for_search=False)
        self._weights = begin.weights
        self._job = Job("benchmark", begin.parameters, folder / "oss", folder / "tables", speed=0, seed=seed)
        self._storage = BucketStorage(self._job.oss_root)
        self._storage.create_bucket(split_oss_url(BASE)[0])
        tables = TableStorage(self._job.tables_root)
        self.summary = data.load(kind, tables, cache=cache)  # type: ignore[arg-type]
        self._write(begin.parameters["config"], (MODEL / "pipeline.config").read_text())
        self._first = f"{BASE}/first"
        run(replace(self._job, parameters={**begin.parameters, "model_dir": self._first}))
        self._checkpoint = self._newest(self._first)
        self._config = self._read(f"{self._first}/pipeline.config")
        self.rates = rate_at(self._config, int(self._checkpoint.rpartition("-")[2]))
        stored = [p.removeprefix("dt=") for p in tables.partitions("sandbox", "ratings_daily")]
        self.days = stored[TRAINED_DAYS:]

    def stale(self, day: str) -> float:
        """The first model's objective on a day."""
        parameters = {
            **self._given(),
            "cmd": "evaluate",
            "config": f"{self._first}/pipeline.config",
            "model_dir": self._first,
            "checkpoint_path": self._checkpoint,
            "eval_tables": DAILY + day,
            "cluster": ONE_WORKER,
        }
        return self._objective(run(replace(self._job, parameters=parameters)))

    def finetuned(self, name: str, factor: float | None, days: list[str]) -> list[float]:
        """The chain's objective, each day on the day after; the last of ``days`` is only evaluated on."""
        checkpoint, curve = self._checkpoint, []
        for day, following in itertools.pairwise(days):
            edits = {"train_config.fine_tune_checkpoint": checkpoint, "data_config.num_epochs": 1}
            text = edit_text(self._config, edits)
            if factor is not None:
                text = hand_over(text, [rate * factor for rate in self.rates]).text
            config, model_dir = f"{BASE}/{name}/{day}.config", f"{BASE}/{name}/{day}"
            self._write(config, text)
            parameters = {
                **self._given(),
                "cmd": "train",
                "config": config,
                "model_dir": model_dir,
                "train_tables": DAILY + day,
                "eval_tables": DAILY + following,
                "cluster": self._daily.parameters["cluster"],
                "eval_method": "separate",
            }
            curve.append(self._objective(run(replace(self._job, parameters=parameters))))
            checkpoint = self._newest(model_dir)
        return curve

    def _given(self) -> dict[str, str]:
        return {key: self._daily.parameters[key] for key in ("version", "arn", "buckets", "ossHost")}

    def _objective(self, metrics: object) -> float:
        assert isinstance(metrics, dict)
        return float(sum(weight * metrics[tag] for tag, weight in self._weights.items()))

    def _newest(self, model_dir: str) -> str:
        bucket, prefix = split_oss_url(model_dir + "/")
        found = [key for key in self._storage.list(bucket, prefix) if key.endswith(".index")]
        newest = max(found, key=lambda key: int(re.findall(r"ckpt-(\d+)", key)[0]))
        return f"oss://{bucket}/{newest.removesuffix('.index')}"

    def _write(self, url: str, text: str) -> None:
        self._storage.write(*split_oss_url(url), text.encode())

    def _read(self, url: str) -> str:
        return self._storage.read(*split_oss_url(url)).decode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", choices=("movielens", "synthetic"), default="movielens")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "easyrec-automl-data")
    parser.add_argument("--csv", type=Path, help="also write every day of every seed here")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    rows: list[tuple[int, str, float, dict[str, float]]] = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            model = Model(Path(folder), options.data, options.cache, seed)
            days = model.days[: options.days + 1]
            curves = {name: model.finetuned(name, factor, days) for name, factor in FACTORS.items()}
            stale = [model.stale(day) for day in days[1:]]
        if seed == 0:
            print(f"{model.summary.kind_used}: {model.summary.rows} rows. {model.summary.notice}")
        rates = ", ".join(f"{rate:.3g}" for rate in model.rates)
        print(f"seed {seed}: trained {days[0]} … {days[-2]}, rate handed over {rates}", flush=True)
        rows += [
            (seed, day, before, {name: curve[number] for name, curve in curves.items()})
            for number, (day, before) in enumerate(zip(days[:-1], stale, strict=True))
        ]
    _print_curve([row for row in rows if row[0] == 0])
    wins = _print_summary(rows)
    if options.csv:
        with options.csv.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["seed", "day", "stale", *FACTORS])
            writer.writerows([seed, day, before, *values.values()] for seed, day, before, values in rows)
    return 0 if wins > len(rows) / 2 else 1


def _print_curve(rows: list[tuple[int, str, float, dict[str, float]]]) -> None:
    print(f"\nseed 0\n{'day':>10} {'stale':>8} " + " ".join(f"{name:>8}" for name in FACTORS))
    for _, day, before, values in rows:
        shown: date = datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
        print(f"{shown!s:>10} {before:8.4f} " + " ".join(f"{value:8.4f}" for value in values.values()))


def _print_summary(rows: list[tuple[int, str, float, dict[str, float]]]) -> int:
    """Returns the days on which factor 1 wins."""
    print(f"\nall seeds\n{'rate':>10} {'mean':>8} {'gain':>8} {'days won':>10}")
    print(f"{'stale':>10} {statistics.mean(row[2] for row in rows):8.4f}")
    won = {}
    for name in FACTORS:
        gains = [values[name] - before for _, _, before, values in rows]
        won[name] = sum(gain > 0 for gain in gains)
        mean = statistics.mean(values[name] for *_, values in rows)
        print(f"{name:>10} {mean:8.4f} {statistics.mean(gains):+8.4f} {won[name]:>6}/{len(rows)}")
    return won["x1"]


if __name__ == "__main__":
    sys.exit(main())
