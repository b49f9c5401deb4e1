"""Every assessor that ``config.yml`` can name: the pure ones, NNI's Curvefitting, users' classes (R12)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.adapters import user_classes
from include.adapters.nni_engines import quiet_nni, seeded
from include.errors import ConfigError, ProblemsError
from include.ports import Assessor, Decision
from include.search import assessors
from include.search.config import ClassConfig
from include.search.wording import nearest

CURVEFITTING = "Curvefitting"
_CURVE_ARGUMENTS = ("epoch_num", "start_step", "threshold", "gap", "optimize_mode")


def create(config: ClassConfig) -> Assessor:
    """The assessor that ``config`` names.

    Raises ConfigError for an unknown one or a class that can't be loaded, ProblemsError for wrong
    arguments. NNI is imported only for Curvefitting (at its first verdict) and users' classes.
    """
    if config.class_name is not None and not assessors.is_pai(config.class_name):
        if config.code_directory is None:
            raise ConfigError("a className needs a codeDirectory", where=config.class_name)
        from include.adapters import old_hpo

        kind = user_classes.load(config.code_directory, config.class_name, provided=old_hpo.modules())
        user_classes.construct(kind, config.class_args, ("assess_trial",))
        return UserAssessor(kind, dict(config.class_args))
    if config.name == CURVEFITTING:
        return _curvefitting(config.class_args)
    return assessors.create(config.name or str(config.class_name), config.class_args)


@dataclass(frozen=True)
class CurvefittingAssessor:
    """NNI's Curvefitting: stop when the curve's forecast is below ``threshold`` × the best finished trial.

    NNI's own book-keeping takes the last assessed trial for the one that ended; here the best finished
    trial is looked up in the histories. Every ``gap`` results from ``start_step`` on there is a verdict.
    """

    epoch_num: int
    start_step: int = 6
    threshold: float = 0.95
    gap: int = 1

    def assess(
        self,
        trial: int,
        histories: Mapping[int, Sequence[float]],
        *,
        finished: Collection[int] | None = None,
    ) -> Decision:
        """``finished``: the trials that ran to their end; without it every other trial counts as such."""
        values = list(histories.get(trial, ()))
        first = max(self.start_step, 1)
        if len(values) < first:
            return Decision(False, f"{len(values)} result(s), judged from {first} (start_step) on")
        judged = values[: first + (len(values) - first) // self.gap * self.gap]
        if not all(math.isfinite(value) for value in judged):
            return Decision(False, "a curve can't be fitted through values that aren't finite")
        ends = [
            history[-1]
            for number, history in histories.items()
            if number != trial and history and (finished is None or number in finished)
        ]
        best = max((end for end in ends if math.isfinite(end)), default=None)
        if best is None:
            return Decision(False, "no other trial has finished")
        forecast = self._forecast(judged)
        if forecast is None:
            return Decision(False, f"no forecast from {len(judged)} result(s) yet")
        stop = not forecast > best * self.threshold
        relation = "is not above" if stop else "is above"
        return Decision(
            stop,
            f"the forecast for result {self.epoch_num}, {forecast:g}, {relation} {self.threshold:g} of the best "
            f"finished trial's {best:g}",
        )

    def _forecast(self, values: list[float]) -> float | None:
        quiet_nni()
        import numpy as np
        from nni.algorithms.hpo.curvefitting_assessor.model_factory import CurveModel

        # NNI fits by sampling from numpy's global generator: the same curve must get the same verdict
        with seeded([len(values), self.epoch_num]), np.errstate(all="ignore"):
            forecast = CurveModel(self.epoch_num).predict(values)
        return None if forecast is None or not math.isfinite(forecast) else float(forecast)


@dataclass(frozen=True)
class UserAssessor:
    """A user's class with NNI's Assessor API, made anew and told all histories for every verdict.

    Others are told first, in the order of their numbers and each with all its values; finished ones also
    by ``trial_end(…, True)``. ``trial_end(…, False)`` is never called: stopping the job is ours.
    """

    kind: type
    class_args: Mapping[str, Any]

    def assess(
        self,
        trial: int,
        histories: Mapping[int, Sequence[float]],
        *,
        finished: Collection[int] | None = None,
    ) -> Decision:
        """See ``include.ports.Assessor``; ConfigError when the class raises or gives no verdict."""
        values = list(histories.get(trial, ()))
        if not values:
            return Decision(False, "no result yet")
        name = self.kind.__name__
        assessor = user_classes.construct(self.kind, self.class_args, ("assess_trial",))
        try:
            with seeded([trial, len(values)]):
                for other in sorted(number for number in histories if number != trial and histories[number]):
                    assessor.assess_trial(str(other), list(histories[other]))
                    if finished is not None and other in finished and hasattr(assessor, "trial_end"):
                        assessor.trial_end(str(other), True)
                verdict = assessor.assess_trial(str(trial), values)
        except Exception as error:  # whatever a user's class raises is a mistake in that class
            raise ConfigError(
                f"assessor {name} failed: {type(error).__name__}: {error}", where=f"trial {trial}"
            ) from error
        good = getattr(verdict, "value", verdict)
        if not isinstance(good, bool):
            raise ConfigError(
                f"assessor {name} gave {verdict!r}",
                where=f"trial {trial}",
                hint="assess_trial returns AssessResult.Good or AssessResult.Bad",
            )
        judged = "well" if good else "poorly"
        return Decision(
            not good,
            f"{name} says that the trial works {judged} after {len(values)} result(s), the last {values[-1]:g}",
        )


def _curvefitting(class_args: Mapping[str, Any]) -> CurvefittingAssessor:
    args = dict(class_args)
    problems = [
        f"{key}: unknown argument of {CURVEFITTING}; {nearest(key, _CURVE_ARGUMENTS)}"
        for key in args
        if key not in _CURVE_ARGUMENTS
    ]
    if args.pop("optimize_mode", "maximize") != "maximize":
        problems.append("optimize_mode: Curvefitting can only maximize; use Medianstop")
    if "epoch_num" not in args:
        problems.append("epoch_num is missing: how many results a whole trial gives")
    for key, least in (("epoch_num", 1), ("start_step", 0), ("gap", 1)):
        value = args.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            problems.append(f"{key} must be a whole number from {least}, not {value!r}")
    threshold = args.get("threshold", 0.95)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold < 9999:
        problems.append(f"threshold must be a number from 0, not {threshold!r}")
    if problems:
        raise ProblemsError(f"wrong classArgs of assessor {CURVEFITTING}", problems)
    return CurvefittingAssessor(**args)
