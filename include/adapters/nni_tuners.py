"""Tuners by the name that NNI's ``config.yml`` gives them, behind ``include.ports.Tuner``."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.adapters import nni_engines
from include.adapters.nni_engines import Engine
from include.errors import ConfigError, ExhaustedError, ProblemsError
from include.ports import TrialRecord, Tuner
from include.search.domains import combination
from include.search.space import COMBINED, SearchSpace
from include.search.wording import canonical, nearest

TPE_DEFAULTS: Mapping[str, Any] = {"constant_liar_type": "worst", "n_startup_jobs": 10}
"""NNI's own (best, 20) find less with the same trials: 0.19 against 0.155 regret on a CTR-like task."""
_ALIASES = {"BatchTuner": "Batch", "PPOTuner": "PPO", "MetisTuner": "Metis", "GPTuner": "GP"}
_ALIASES |= {"PBTTuner": "PBT", "DNGOTuner": "DNGO", "TPE_legacy": "Anneal"}
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "TPE": ("optimize_mode", "seed", "tpe_args"),
    "Random": ("optimize_mode", "seed"),
    "Evolution": ("optimize_mode", "population_size"),
    "GridSearch": ("optimize_mode",),
    "Batch": ("optimize_mode",),
}
_TPE_ARGUMENTS = (
    "constant_liar_type",
    "n_startup_jobs",
    "n_ei_candidates",
    "linear_forgetting",
    "prior_weight",
    "gamma",
)
_BROKEN = "NNI 3.0's own code for it fails with current numpy and scipy"
_LACKING = "it needs {} that current Python versions can't install"
_REFUSED: Mapping[str, str] = {
    "GP": _BROKEN,
    "Metis": _BROKEN,
    "Anneal": "it needs hyperopt, and its q-types fail with current numpy",
    "SMAC": _LACKING.format("an old smac"),
    "DNGO": _LACKING.format("pybnn"),
    "BOHB": _LACKING.format("ConfigSpace and statsmodels versions"),
    "PPO": "it searches network architectures with old TensorFlow",
    "NetworkMorphism": "it searches network architectures",
    "RegularizedEvolutionTuner": "it searches network architectures",
    "PBT": "its trials hand checkpoints to each other, which EasyRec jobs don't",
    "Hyperband": "it is an advisor that needs a training budget as a parameter",
}
_ATTEMPTS = 12


def create(
    name: str | None,
    class_args: Mapping[str, Any] | None,
    space: SearchSpace,
    *,
    optimize_mode: str = "maximize",
    class_name: str | None = None,
    code_directory: Path | None = None,
) -> Tuner:
    """A tuner for ``space``: one of NNI's by ``name``, or a user's class.

    Names: TPE, Random, Evolution, GridSearch, Batch. ``class_args`` as in ``config.yml``; a ``seed`` in
    them replaces the experiment's. Imports nothing of NNI before the first ask.

    Raises ConfigError for a name that is unknown or can't work, ProblemsError for wrong arguments.
    """
    args = dict(class_args or {})
    if class_name is not None:
        from include.adapters import user_tuners

        return user_tuners.create(code_directory or Path(), class_name, args, space, optimize_mode)
    known = _ALIASES.get(name or "", name or "")
    if known in _REFUSED:
        raise ConfigError(f"tuner {name} can't be used: {_REFUSED[known]}", hint="use TPE, or Evolution")
    if known not in _ARGUMENTS:
        raise ConfigError(f"unknown tuner {name!r}", hint=nearest(name, _ARGUMENTS))
    problems = _problems(known, args)
    if problems:
        raise ProblemsError(f"wrong classArgs of tuner {known}", problems)
    if (known == "Batch") != space.is_batch:
        raise ConfigError(
            f"a search space of {COMBINED!r} and the tuner Batch go together, the tuner here is {known}",
            hint="each option of a choice named combine_params is a complete parameter set for Batch",
        )
    mode = args.get("optimize_mode", optimize_mode)
    ordered = known in ("GridSearch", "Batch")
    return NniTuner(space, _engine(known, mode, args), seed=args.get("seed"), is_sequence=ordered)


@dataclass(frozen=True)
class NniTuner:
    """``include.ports.Tuner`` around an engine: deterministic, without duplicates, plain values.

    A suggestion that was tried before (also by a failed trial) is asked for again; in a finite space an
    untried set is taken when that doesn't help.
    """

    space: SearchSpace
    engine: Engine
    seed: int | None = None
    is_sequence: bool = False
    """The engine gives each set once, in a fixed order: go on until one is new."""

    def ask(
        self, history: Sequence[TrialRecord], pending: Sequence[TrialRecord], seed: int
    ) -> dict[str, Any]:
        """See ``include.ports.Tuner``."""
        seed = abs(self.seed if self.seed is not None else seed)
        tried = {canonical(trial.parameters): trial for trial in (*history, *pending)}
        size = self.space.size()
        # counting is cheap next to asking, and only worth it when enough was tried
        if size is not None and len(tried) >= size:
            inside = sum(self.space.contains(trial.parameters) for trial in tried.values())
            if inside >= size:
                raise ExhaustedError(
                    f"all {size} parameter sets of the search space were tried",
                    hint="widen the search space to search on",
                )
        if size == 1 and not self.space.is_batch:
            return combination(self.space.domains, 0)
        suggest = self.engine(self.space, history, pending, seed)
        attempts = len(tried) + 1 if self.is_sequence else _ATTEMPTS
        for attempt in range(attempts):
            parameters = suggest(attempt)
            if canonical(parameters) not in tried:
                return parameters
        if size is None or self.is_sequence:
            return parameters
        return self._untried(tried, size, seed, len(history) + len(pending))

    def _untried(self, tried: Mapping[str, TrialRecord], size: int, seed: int, asks: int) -> dict[str, Any]:
        start = random.Random(f"{seed}/{asks}").randrange(size)  # noqa: S311 - no secret
        for step in range(size):
            parameters = combination(self.space.domains, (start + step) % size)
            if canonical(parameters) not in tried:
                return parameters
        raise ExhaustedError(f"all {size} parameter sets of the search space were tried")


def _engine(name: str, mode: str, args: Mapping[str, Any]) -> Engine:
    if name == "TPE":
        return nni_engines.tpe(mode, _tpe_args(args))
    if name == "Evolution":
        return nni_engines.evolution(mode, args.get("population_size", 32))
    return {"Random": nni_engines.uniform_random, "GridSearch": nni_engines.grid, "Batch": nni_engines.batch}[
        name
    ]()


def _tpe_args(args: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**TPE_DEFAULTS, **(args.get("tpe_args") or {})}
    gamma = merged.get("gamma", 0.25)
    # NNI crashes while all trials are "good ones": stay random until there are others
    while gamma * merged["n_startup_jobs"] ** 0.5 > merged["n_startup_jobs"] - 1:
        merged["n_startup_jobs"] += 1
    return merged


def _problems(name: str, args: Mapping[str, Any]) -> list[str]:
    problems = []
    for key in args:
        if key in _TPE_ARGUMENTS and name == "TPE":
            problems.append(f"{key}: belongs into tpe_args")
        elif key not in _ARGUMENTS[name]:
            problems.append(f"{key}: unknown argument of {name}; {nearest(key, _ARGUMENTS[name])}")
    mode = args.get("optimize_mode", "maximize")
    if mode not in ("maximize", "minimize"):
        problems.append(f"optimize_mode must be maximize or minimize, not {mode!r}")
    problems += _number_problems(args, {"seed": (0, int), "population_size": (1, int)})
    tpe_args = args.get("tpe_args") if name == "TPE" else None
    if tpe_args is None:
        return problems
    if not isinstance(tpe_args, Mapping):
        return [*problems, f"tpe_args must hold keys and values, not {tpe_args!r}"]
    problems += [
        f"tpe_args.{key}: unknown argument; {nearest(key, _TPE_ARGUMENTS)}"
        for key in tpe_args
        if key not in _TPE_ARGUMENTS
    ]
    liar = tpe_args.get("constant_liar_type")
    if liar not in (None, "best", "worst", "mean"):
        problems.append(f"tpe_args.constant_liar_type must be best, worst, mean or null, not {liar!r}")
    whole = {"n_startup_jobs": (1, int), "n_ei_candidates": (1, int), "linear_forgetting": (1, int)}
    return problems + _number_problems(
        tpe_args, {**whole, "prior_weight": (0, float), "gamma": (1e-9, float)}
    )


def _number_problems(args: Mapping[str, Any], limits: Mapping[str, tuple[float, type]]) -> list[str]:
    problems = []
    for key, (least, kind) in limits.items():
        value = args.get(key, least)
        number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        if not number or not least <= value < float("inf"):
            what = "a whole number" if kind is int else "a number"
            problems.append(f"{key} must be {what} from {least:g}, not {value!r}")
    return problems
