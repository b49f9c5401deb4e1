"""A search as an Optuna study, so that Optuna's plots can be drawn of it (nothing is optimized by it)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from include.experiments.plan import Plan
from include.search.space import SearchSpace
from include.store import Experiment, Trial

if TYPE_CHECKING:
    import optuna

Flat = Mapping[str, Any]
Scalar = bool | int | float | str | None


def study_of(experiment: Experiment, plan: Plan, trials: Sequence[Trial]) -> optuna.Study:
    """A study in memory of the trials that have a finite metric; its parameters have short names.

    A person's own parameters may lie outside of the search space: the ranges are widened to hold them. The
    baseline's trial has no parameters at all, so it is for the history only.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    flat = {t.number: plan.space.edits(t.parameters) for t in trials}
    short = short_names(sorted({key for each in flat.values() for key in each}))
    distributions = {
        key: _distribution(key, plan.space, [each[key] for each in flat.values() if key in each])
        for key in short
    }
    study = optuna.create_study(direction=experiment.optimize_mode, study_name=experiment.id)
    for trial in trials:
        if trial.metric is None or not math.isfinite(trial.metric):
            continue
        mine = flat[trial.number]
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE,
                value=trial.metric,
                params={short[key]: _value(distributions[key], value) for key, value in mine.items()},
                distributions={short[key]: distributions[key] for key in mine},
                user_attrs={"trial": trial.number},
            )
        )
    return study


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """For each config path the shortest end of it that no other path has."""
    found = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        found[key] = next((e for e in ends if sum(k == e or k.endswith(f".{e}") for k in keys) == 1), key)
    return found


def _distribution(key: str, space: SearchSpace, seen: Sequence[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    known = space.extremes().get(key, ()) if key in space else ()
    values = [_scalar(value) for value in (*known, *seen)]
    kind = space[key]["_type"] if key in space else ""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if kind == "choice" or len(numbers) < len(values):
        return CategoricalDistribution(tuple(dict.fromkeys(values)))
    low, high = min(numbers), max(numbers)
    if all(isinstance(v, int) for v in numbers):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(float(low), float(high), log="log" in kind and low > 0)


def _value(distribution: Any, value: Any) -> Any:
    scalar = _scalar(value)
    return float(scalar) if type(distribution).__name__ == "FloatDistribution" else scalar  # type: ignore[arg-type]


def _scalar(value: Any) -> Scalar:
    """Lists and the like as text: Optuna's choices are scalars."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return json.dumps(value, ensure_ascii=False)
