"""What every tuner keeps, NNI's and users' (``include.ports.Tuner``)."""

from __future__ import annotations

import copy
import json
import logging
import math
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.adapters import nni_tuners
from include.errors import ConfigError, ExhaustedError, ProblemsError
from include.ports import TrialRecord, Tuner
from include.search.space import SearchSpace, parse

WIDE: dict[str, Any] = {
    "c": {"_type": "choice", "_value": [1, 1.0, True, "a", ["x", "y"], ["x"]]},
    "i": {"_type": "randint", "_value": [4, 16]},
    "wide": {"_type": "randint", "_value": [6847640, 13695280]},
    "u": {"_type": "uniform", "_value": [0, 1]},
    "qu": {"_type": "quniform", "_value": [0, 1, 0.1]},
    "lu": {"_type": "loguniform", "_value": [1e-6, 1e-2]},
    "qlu": {"_type": "qloguniform", "_value": [1, 1000, 5]},
    "n": {"_type": "normal", "_value": [0, 2]},
    "qn": {"_type": "qnormal", "_value": [0, 2, 0.5]},
    "ln": {"_type": "lognormal", "_value": [0, 1]},
    "qln": {"_type": "qlognormal", "_value": [0, 1, 0.25]},
    "fixed": {"_type": "uniform", "_value": [3, 3]},
    "one": {"_type": "choice", "_value": ["only"]},
    "nested": {
        "_type": "choice",
        "_value": [
            {"_name": "adam", "adam.rate": {"_type": "loguniform", "_value": [1e-5, 1e-1]}},
            {
                "_name": "sgd",
                "sgd.rate": {"_type": "choice", "_value": [0.1, 0.2]},
                "sgd.fixed": {"_type": "randint", "_value": [7, 8]},
                "deep": {
                    "_type": "choice",
                    "_value": [
                        {"_name": "p", "steps": {"_type": "randint", "_value": [0, 3]}},
                        {"_name": "q"},
                    ],
                },
            },
            {"_name": "none"},
        ],
    },
}
SMALL: dict[str, Any] = {
    "a": {"_type": "choice", "_value": [1, True, "x"]},
    "n": {
        "_type": "choice",
        "_value": [{"_name": "p", "i": {"_type": "randint", "_value": [0, 2]}}, {"_name": "q"}],
    },
}
BATCH: dict[str, Any] = {
    "combine_params": {"_type": "choice", "_value": [{"a": n, "b": [n, "x"]} for n in range(5)]}
}
USER_FILE = """
import random
import numpy as np
import nni
from nni.tuner import Tuner

class Own(Tuner):
    '''Half random, half near the best that it was told.'''
    def __init__(self, optimize_mode="maximize", near=0.5):
        self.sign = 1 if optimize_mode == "maximize" else -1
        self.told, self.ended = [], []
        assert 0 <= near <= 1
    def update_search_space(self, search_space):
        self.space = search_space
    def generate_parameters(self, parameter_id, **kwargs):
        if "limit" in self.space and parameter_id >= 3:
            raise nni.NoMoreTrialError()
        if self.told and random.random() < 0.5:
            return max(self.told, key=lambda t: t[0])[1]
        return {"u": np.random.uniform(), "np": np.int64(np.random.randint(5)), "np_list": np.arange(2)}
    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        self.told.append((self.sign * value, parameters))
    def trial_end(self, parameter_id, success, **kwargs):
        self.ended.append(success)

class Raises(Own):
    def generate_parameters(self, parameter_id, **kwargs):
        return 1 / 0

class Odd(Own):
    def generate_parameters(self, parameter_id, **kwargs):
        return {"u": float("nan")}

class Recorder(Own):
    '''Shows what it was told.'''
    def generate_parameters(self, parameter_id, **kwargs):
        return {"told": [[v, p["u"]] for v, p in self.told], "ended": self.ended}
"""
NAMES = ["TPE", "Random", "Evolution", "GridSearch"]


def space_of(value: dict[str, Any]) -> SearchSpace:
    return parse(json.dumps(value), "search_space.json")


def tuner_of(name: str, space: SearchSpace, folder: Path | None = None, **class_args: Any) -> Tuner:
    if folder is not None:
        return nni_tuners.create(None, class_args, space, class_name=f"mine.{name}", code_directory=folder)
    return nni_tuners.create(name, class_args, space)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(USER_FILE)
    return tmp_path


@pytest.fixture(params=[*NAMES, "Batch", "Own"])
def tuner(request: pytest.FixtureRequest, folder: Path) -> Tuner:
    if request.param == "Own":
        return tuner_of("Own", space_of(WIDE), folder)
    return tuner_of(request.param, space_of(BATCH if request.param == "Batch" else WIDE))


def run(
    tuner: Tuner,
    trials: int,
    value: Callable[[int], float | None] = lambda n: math.sin(n),
    concurrency: int = 1,
) -> list[TrialRecord]:
    """A search with trials that end in the order in which they began."""
    history: list[TrialRecord] = []
    pending: list[TrialRecord] = []
    for number in range(trials):
        if len(pending) == concurrency:
            ended = pending.pop(0)
            history.append(TrialRecord(ended.number, ended.parameters, value(ended.number)))
        pending.append(TrialRecord(number, tuner.ask(history, pending, 7), None))
    return history + [TrialRecord(t.number, t.parameters, value(t.number)) for t in pending]


def same(left: Any, right: Any) -> bool:
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_suggestion_lies_in_the_space(name: str) -> None:
    space = space_of(WIDE)
    for trial in run(tuner_of(name, space), 30, concurrency=3):
        wrong = {k: v for k, v in trial.parameters.items() if not space.domains[k].contains(v)}
        assert wrong == {}
        assert space.contains(trial.parameters)
        assert isinstance(trial.parameters["i"], int)
        assert isinstance(trial.parameters["u"], float)
        assert trial.parameters["fixed"] == 3.0


def test_suggestions_are_plain_json(tuner: Tuner) -> None:
    for trial in run(tuner, 5):
        assert same(json.loads(json.dumps(trial.parameters)), trial.parameters)
        assert json.loads(json.dumps(trial.parameters, allow_nan=False)) == trial.parameters


def test_the_same_records_get_the_same_suggestion(tuner: Tuner) -> None:
    trials = run(tuner, 4)
    history, pending = trials[:3], [TrialRecord(3, trials[3].parameters, None)]
    first = tuner.ask(history, pending, 42)
    random.random()
    np.random.random()
    assert same(tuner.ask(history, pending, 42), first)


def test_another_process_gets_the_same_suggestion(tmp_path: Path) -> None:
    code = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from include.adapters import nni_tuners
from include.ports import TrialRecord
from include.search.space import parse
space = parse({json.dumps(WIDE)!r}, "s")
history = []
for name in {NAMES!r}:
    tuner = nni_tuners.create(name, {{}}, space)
    history = [TrialRecord(n, tuner.ask([], [], n), n / 10) for n in range(12)]
    print(json.dumps(tuner.ask(history, [], 5), sort_keys=True))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == len(NAMES)


def test_records_and_global_randomness_stay_as_they_are(tuner: Tuner) -> None:
    trials = run(tuner, 4)
    history, pending = trials[:3], [TrialRecord(3, trials[3].parameters, None)]
    before = copy.deepcopy((history, pending))
    states = random.getstate(), np.random.get_state()[1].tolist()
    suggestion = tuner.ask(history, pending, 1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    for value in suggestion.values():
        if isinstance(value, list):
            value.append("changed")
    assert (history, pending) == before
    tuner.ask(history, pending, 1)


@pytest.mark.parametrize("name", ["TPE", "Random", "Evolution"])
def test_another_seed_gets_another_suggestion(name: str) -> None:
    tuner = tuner_of(name, space_of(WIDE))
    assert not same(tuner.ask([], [], 1), tuner.ask([], [], 2))


@pytest.mark.parametrize("name", [*NAMES, "Batch"])
def test_no_suggestion_comes_twice(name: str) -> None:
    trials = run(tuner_of(name, space_of(BATCH if name == "Batch" else SMALL)), 5, concurrency=2)
    assert len({json.dumps(t.parameters, sort_keys=True) for t in trials}) == 5


@pytest.mark.parametrize("name", [*NAMES, "Batch"])
def test_a_finite_space_is_used_up_completely_and_then_exhausted(name: str) -> None:
    space = space_of(BATCH if name == "Batch" else SMALL)
    tuner = tuner_of(name, space)
    size = space.size() or 0
    # failed trials count as tried, too
    trials = run(tuner, size, lambda n: None if n % 3 == 0 else float(n), concurrency=2)
    assert len({json.dumps(t.parameters, sort_keys=True) for t in trials}) == size
    with pytest.raises(ExhaustedError):
        tuner.ask(trials, [], 7)
    with pytest.raises(ExhaustedError):
        tuner.ask(trials[:2], [TrialRecord(t.number, t.parameters, None) for t in trials[2:]], 7)


@pytest.mark.parametrize("name", NAMES)
def test_a_space_of_fixed_values_has_one_suggestion(name: str) -> None:
    tuner = tuner_of(name, space_of({"a": WIDE["fixed"], "b": WIDE["one"]}))
    assert tuner.ask([], [], 1) == {"a": 3.0, "b": "only"}
    with pytest.raises(ExhaustedError):
        tuner.ask([TrialRecord(0, {"a": 3.0, "b": "only"}, 1.0)], [], 1)


@pytest.mark.parametrize(
    "values",
    [
        [None] * 25,
        [math.nan] * 25,
        [math.inf, 0.5, None, -math.inf, math.nan] * 5,
        [0.0] * 25,
        [1e308, -1e308] * 12,
    ],
)
def test_failed_diverged_and_equal_results_are_taken(tuner: Tuner, values: Sequence[float | None]) -> None:
    start = run(tuner, 4)
    history = [
        TrialRecord(n, start[n % 4].parameters, value, value is not None) for n, value in enumerate(values)
    ]
    tuner.ask(history, [], 3)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_a_person_gave_are_taken(name: str) -> None:
    space = space_of(WIDE)
    tuner = tuner_of(name, space)
    history = [TrialRecord(n, {"i": 99, "unknown": 3, "u": 0.5}, 0.5) for n in range(15)]
    assert space.contains(tuner.ask(history, [TrialRecord(15, {}, None)], 3))


@pytest.mark.parametrize(("mode", "best"), [("maximize", 0.8), ("minimize", 0.2)])
def test_tpe_learns_from_results_even_on_wide_integers(mode: str, best: float) -> None:
    space = space_of({"x": {"_type": "randint", "_value": [0, 7_000_000]}, "c": WIDE["c"]})
    tuner = tuner_of("TPE", space, optimize_mode=mode)
    sign = -1 if mode == "maximize" else 1
    history: list[TrialRecord] = []
    for number in range(40):
        parameters = tuner.ask(history, [], 11)
        history.append(TrialRecord(number, parameters, sign * abs(parameters["x"] / 7e6 - best)))
    late = [abs(t.parameters["x"] / 7e6 - best) for t in history[-15:]]
    early = [abs(t.parameters["x"] / 7e6 - best) for t in history[:10]]
    assert sorted(late)[7] < 0.5 * sorted(early)[5]


def test_evolution_learns_from_results() -> None:
    space = space_of({k: WIDE[k] for k in ("u", "i", "nested")})
    tuner = tuner_of("Evolution", space, population_size=8)

    def value(trial: dict[str, Any]) -> float:
        return -abs(trial["u"] - 0.3) - abs(trial["i"] - 7) / 10

    history: list[TrialRecord] = []
    for number in range(80):
        parameters = tuner.ask(history, [], 11)
        history.append(TrialRecord(number, parameters, value(dict(parameters))))
    values = [t.value or 0 for t in history]
    assert sum(values[-20:]) > sum(values[:20])


def test_evolution_mutates_what_was_run_not_what_it_would_have_chosen_itself() -> None:
    space = space_of({f"k{n}": {"_type": "randint", "_value": [0, 10**6]} for n in range(8)})
    ran = {f"k{n}": 100 + n for n in range(8)}
    tuner = tuner_of("Evolution", space, population_size=1)
    found = tuner.ask([TrialRecord(0, ran, 0.5)], [], 3)
    assert sum(found[key] == value for key, value in ran.items()) == 7


@pytest.mark.parametrize("concurrency", [1, 4, 40])
def test_evolution_takes_more_trials_at_a_time_than_its_population(concurrency: int) -> None:
    assert (
        len(run(tuner_of("Evolution", space_of(WIDE), population_size=3), 45, concurrency=concurrency)) == 45
    )


def test_a_diverged_trial_teaches_tpe_to_stay_away() -> None:
    """The worst value so far, not nothing: its parameters did that."""
    space = space_of({"u": {"_type": "uniform", "_value": [0, 1]}})
    good = [TrialRecord(n, {"u": 0.1 + n / 100}, 1.0) for n in range(10)]
    gone = [TrialRecord(n, {"u": 0.4 + n / 100}, math.nan) for n in range(10, 30)]
    told, untold = tuner_of("TPE", space), [TrialRecord(t.number, t.parameters, None, False) for t in gone]
    near = sum(told.ask(good + gone, [], seed)["u"] > 0.4 for seed in range(40))
    assert near < sum(told.ask(good + untold, [], seed)["u"] > 0.4 for seed in range(40))


def test_grid_search_goes_through_the_grid_in_order() -> None:
    space = space_of(
        {"a": {"_type": "choice", "_value": [1, 2]}, "b": {"_type": "uniform", "_value": [0, 1]}}
    )
    found = [t.parameters for t in run(tuner_of("GridSearch", space), 4)]
    assert found[:2] == [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.5}]
    assert {p["b"] for p in found[2:]} <= {0.25, 0.75}


def test_batch_gives_the_listed_sets_in_their_order() -> None:
    found = [t.parameters for t in run(tuner_of("Batch", space_of(BATCH)), 5)]
    assert found == BATCH["combine_params"]["_value"]


def test_a_seed_in_class_args_replaces_the_experiments() -> None:
    tuner = tuner_of("Random", space_of(WIDE), seed=3)
    assert same(tuner.ask([], [], 1), tuner.ask([], [], 2))


@pytest.mark.parametrize(
    "tpe_args",
    [
        {"n_startup_jobs": 1},
        {"n_startup_jobs": 1, "gamma": 3},
        {"constant_liar_type": None, "prior_weight": 0, "n_startup_jobs": 2},
        {"constant_liar_type": "mean", "linear_forgetting": 1, "n_ei_candidates": 1},
    ],
)
def test_every_allowed_tpe_argument_works(tpe_args: dict[str, Any]) -> None:
    space = space_of(WIDE)
    assert all(space.contains(t.parameters) for t in run(tuner_of("TPE", space, tpe_args=tpe_args), 20))


@pytest.mark.parametrize(
    "name", ["GP", "GPTuner", "Metis", "Anneal", "SMAC", "DNGO", "BOHB", "PPO", "PBT", "Hyperband"]
)
def test_a_tuner_that_can_not_work_is_refused_with_another_one_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"tuner {name} can't be used: .*use TPE"):
        tuner_of(name, space_of(WIDE))


@pytest.mark.parametrize(
    ("name", "class_args", "words"),
    [
        ("TPE", {"optimise_mode": "maximize"}, "did you mean 'optimize_mode'"),
        ("TPE", {"optimize_mode": "max"}, "optimize_mode must be maximize or minimize"),
        ("TPE", {"n_startup_jobs": 3}, "n_startup_jobs: belongs into tpe_args"),
        ("TPE", {"tpe_args": {"n_startup_job": 3}}, "did you mean 'n_startup_jobs'"),
        ("TPE", {"tpe_args": {"constant_liar_type": "none"}}, "must be best, worst, mean or null"),
        ("TPE", {"tpe_args": {"n_startup_jobs": 0}}, "n_startup_jobs must be a whole number from 1"),
        ("TPE", {"tpe_args": {"gamma": math.nan}}, "gamma must be a number"),
        ("TPE", {"tpe_args": 3}, "tpe_args must hold keys and values"),
        ("TPE", {"seed": 1.5}, "seed must be a whole number"),
        ("Evolution", {"population_size": 0}, "population_size must be a whole number from 1"),
        ("Random", {"population_size": 1}, "unknown argument of Random"),
        ("GridSearch", {"seed": 1}, "unknown argument of GridSearch"),
    ],
)
def test_wrong_arguments_are_named(name: str, class_args: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemsError, match=words):
        tuner_of(name, space_of(WIDE), **class_args)


def test_an_unknown_tuner_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'GridSearch'"):
        tuner_of("GridSerch", space_of(WIDE))


def test_batch_and_its_space_go_together() -> None:
    for name, space in (("Batch", WIDE), ("TPE", BATCH)):
        with pytest.raises(ConfigError, match="combine_params"):
            tuner_of(name, space_of(space))


def test_nni_prints_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(tuner_of("Evolution", space_of(WIDE), population_size=2), 5, concurrency=4)
        run(tuner_of("TPE", space_of(WIDE)), 3)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_users_tuner_is_told_what_was_run_in_the_order_of_its_end(folder: Path) -> None:
    tuner = tuner_of("Recorder", space_of({"u": WIDE["u"]}), folder)
    history = [
        TrialRecord(1, {"u": 0.1}, 0.5),
        TrialRecord(0, {"u": 0.2}, 0.25),
        TrialRecord(2, {"u": 0.3}, None, False),
        TrialRecord(3, {"u": 0.4}, math.nan),
        TrialRecord(4, {"someone's": 1}, 0.9),
    ]
    assert tuner.ask(history, [TrialRecord(5, {"u": 0.5}, None)], 1) == {
        "told": [[0.5, 0.1], [0.25, 0.2], [0.25, 0.4]],
        "ended": [True, True, False, True],
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [("Raises", "Raises failed: ZeroDivisionError"), ("Odd", "aren't plain JSON"), ("Nobody", "no class")],
)
def test_a_users_tuner_that_fails_says_so(folder: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tuner_of(name, space_of(WIDE), folder).ask([], [], 1)


def test_a_users_tuner_without_more_is_exhausted(folder: Path) -> None:
    tuner = tuner_of("Own", space_of({"limit": WIDE["u"]}), folder)
    history = [TrialRecord(n, {"limit": 0.5}, 0.1) for n in range(3)]
    with pytest.raises(ExhaustedError):
        tuner.ask(history, [], 1)


def test_wrong_class_args_of_a_users_tuner_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="can't be made with classArgs"):
        tuner_of("Own", space_of(WIDE), folder, near=2)
