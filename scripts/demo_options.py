"""What ``./demo`` can be told. Needs Python alone: ``./demo --help`` answers before anything is installed."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="./demo",
        description="A begin search and seven days of finetune on this machine: sandbox, Airflow, real data, "
        "live in the terminal.",
    )
    made.add_argument("--exit", action="store_true", help="end at once instead of leaving the UI running")
    made.add_argument("--search-only", action="store_true", help="without the days of finetune after it")
    made.add_argument("--trials", type=int, default=11, help="besides the config as it is (%(default)s)")
    made.add_argument("--seed", type=int, default=7)
    made.add_argument("--data", choices=["movielens", "synthetic"], default="movielens")
    root = Path(__file__).resolve().parents[1]
    made.add_argument("--folder", type=Path, default=root / ".demo", help="made anew at each start")
    return made


if __name__ == "__main__":
    parser().parse_args()
