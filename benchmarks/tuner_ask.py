"""How long an ask takes: each engine, by the number of trials that ended before.

The space has the shape of EasyRec's sample: 67 parameters, 35 of them integers, one 6.8 million wide.
Run from the project's root: ``python -m benchmarks.tuner_ask [--trials 10 100 1000] [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

from include.adapters import nni_tuners
from include.ports import TrialRecord
from include.search import space
from include.search.space import SearchSpace

ENGINES = ("TPE", "Random", "Evolution", "GridSearch")
PENDING = 4
REPEATS = 5


def sample_space() -> SearchSpace:
    """Choices of layer widths, embedding sizes in [15, 30), hash buckets from tens to millions."""
    keys: dict[str, Any] = {}
    for number in range(28):
        widths = [1024 >> shift for shift in range(4 + number % 4)]
        keys[f"model_config.tower[{number}].hidden_units[0]"] = {"_type": "choice", "_value": widths}
    for number in range(2):
        keys[f"model_config.regularization_{number}"] = {"_type": "uniform", "_value": [1e-6, 1e-4]}
        towers = [["a"], ["a", "b"], ["a", "c"]]
        keys[f"model_config.tower[{number}].relation_names"] = {"_type": "choice", "_value": towers}
    for number in range(34):
        low = round(15 * 1.45**number) if number > 8 else 15
        keys[f"feature_configs[{number}].size"] = {"_type": "randint", "_value": [low, 2 * low]}
    keys["feature_configs[34].size"] = {"_type": "randint", "_value": [6847640, 13695280]}
    return space.from_dict(keys, "benchmark")


def records(of: SearchSpace, count: int) -> list[TrialRecord]:
    chooser = nni_tuners.create("Random", {}, of)
    return [TrialRecord(n, chooser.ask([], [], n), 0.6 + 0.1 * math.sin(n)) for n in range(count)]


def measure(engine: str, of: SearchSpace, trials: int) -> float:
    """Median seconds of one warm ask."""
    tuner = nni_tuners.create(engine, {}, of)
    known = records(of, trials + PENDING)
    history = known[:trials]
    pending = [TrialRecord(trial.number, trial.parameters, None) for trial in known[trials:]]
    times = []
    for seed in range(REPEATS):
        start = time.perf_counter()
        tuner.ask(history, pending, seed)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--json", type=Path, help="also write the seconds to this file")
    options = parser.parse_args()
    of = sample_space()
    start = time.perf_counter()
    nni_tuners.create("TPE", {}, of).ask([], [], 0)
    print(
        f"{len(of)} parameters, {PENDING} pending; first ask with NNI's import: {time.perf_counter() - start:.1f} s\n"
    )
    print("ended trials  " + "".join(f"{engine:>12}" for engine in ENGINES))
    found: dict[str, dict[str, float]] = {engine: {} for engine in ENGINES}
    for trials in options.trials:
        for engine in ENGINES:
            found[engine][str(trials)] = measure(engine, of, trials)
        print(
            f"{trials:12}  " + "".join(f"{found[engine][str(trials)] * 1000:9.0f} ms" for engine in ENGINES)
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
