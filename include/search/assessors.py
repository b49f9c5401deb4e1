"""Early stopping by comparison with other trials (reference R10, R12, +15).

Pure functions of the trials' values so far. A value that is NaN or infinite counts as the worst there is,
for the trial itself and among the others: a diverged model does not come back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import ConfigError, ProblemsError
from include.ports import Assessor, Decision
from include.search.wording import nearest

PAI = "PAIAssessor"
MEDIANSTOP = "Medianstop"
MODES = ("maximize", "minimize")
_OLD_NAMES = {"paiassessor", "pai_assessor.paiassessor", "hpo_nni.core.pai_assessor.paiassessor"}
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    PAI: ("optimize_mode", "start_step", "moving_avg", "proportion", "patience", "platform"),
    MEDIANSTOP: ("optimize_mode", "start_step"),
}


def is_pai(name: str) -> bool:
    """Whether a ``name`` or ``className`` means the built-in PAIAssessor, as the manuals spell it."""
    return name.lower() in _OLD_NAMES


def create(name: str, class_args: Mapping[str, Any] | None = None) -> Assessor:
    """The assessor of that name: ``PAIAssessor`` (also ``pai_assessor.PAIAssessor``) or ``Medianstop``.

    ``class_args`` as in ``config.yml``: ``optimize_mode`` (default ``maximize``), ``start_step`` (default
    0: judged from the first result on), and for PAIAssessor ``moving_avg``, ``proportion``, ``patience``;
    its ``platform`` is accepted and has no meaning here.

    Raises ConfigError for a name that isn't known here, ProblemsError for wrong arguments. NNI's
    Curvefitting and users' own classes: ``include.adapters.nni_assessors``.
    """
    known = PAI if is_pai(name) else name
    if known not in _OPTIONS:
        raise ConfigError(f"unknown assessor {name!r}", hint=nearest(name, [*_OPTIONS, "Curvefitting"]))
    args = dict(class_args or {})
    problems = [
        f"{key}: unknown argument of {known}; {nearest(key, _OPTIONS[known])}"
        for key in args
        if key not in _OPTIONS[known]
    ]
    mode, start_step = args.get("optimize_mode", "maximize"), args.get("start_step", 0)
    if mode not in MODES:
        problems.append(f"optimize_mode must be maximize or minimize, not {mode!r}")
    if not _is_int(start_step) or start_step < 0:
        problems.append(f"start_step must be a whole number from 0, not {start_step!r}")
    if known == PAI:
        problems += _pai_problems(args)
    if problems:
        raise ProblemsError(f"wrong classArgs of assessor {known}", problems)
    if known == MEDIANSTOP:
        return MedianstopAssessor(mode, start_step)
    return PaiAssessor(
        mode,
        start_step,
        moving_avg=args.get("moving_avg", False),
        proportion=float(args.get("proportion", 0.5)),
        patience=args.get("patience"),
    )


@dataclass(frozen=True)
class PaiAssessor:
    """The old system's assessor (reference R10) with its successor's options (+15).

    Compares the trial's best value so far with the others' values at the same step, running ones
    included, and stops it when it is strictly worse than the median.

    ``moving_avg``: the others count with the mean of their values up to that step. ``proportion``: a
    quantile instead of the median; 0.75 demands to be as good as the best quarter, whatever the mode.
    ``patience``: stop after so many consecutive drops, each strictly worse than the value before.
    """

    optimize_mode: str = "maximize"
    start_step: int = 0
    moving_avg: bool = False
    proportion: float = 0.5
    patience: int | None = None

    def assess(
        self,
        trial: int,
        histories: Mapping[int, Sequence[float]],
        *,
        finished: Collection[int] | None = None,  # noqa: ARG002 - the others count whether or not they run
    ) -> Decision:
        """See ``include.ports.Assessor``."""
        values = histories.get(trial, ())
        early = _too_early(values, self.start_step)
        if early is not None:
            return early
        step, sign = len(values), 1 if self.optimize_mode == "maximize" else -1
        drops = _drops_at_end([_goodness(value, sign) for value in values])
        if self.patience is not None and drops >= self.patience:
            return Decision(
                True,
                f"result {step}, {values[-1]:g}, is the {_nth(drops)} drop in a row (patience {self.patience})",
            )
        of_others = {n: h for n, h in histories.items() if n != trial and len(h) >= step}
        average = _mean if self.moving_avg else _last
        peers = sorted(average([_goodness(v, sign) for v in h[:step]]) for h in of_others.values())
        if not peers:
            return Decision(False, f"no other trial has a result at step {step}")
        # the lower median where both modes have one: (n-1)//2 of what is better upwards
        bar = peers[math.floor((len(peers) - 1) * self.proportion + 1e-9)]
        name = "median" if self.proportion == 0.5 else f"{self.proportion:g} quantile"
        kind = "running averages" if self.moving_avg else "values"
        best = max(_goodness(value, sign) for value in values)
        return _compared(best, bar, sign, step, f"{name} {{}} of {len(peers)} other trials' {kind}")


@dataclass(frozen=True)
class MedianstopAssessor:
    """NNI's Medianstop: as PAIAssessor, against the running averages of trials that ran to their end."""

    optimize_mode: str = "maximize"
    start_step: int = 0

    def assess(
        self,
        trial: int,
        histories: Mapping[int, Sequence[float]],
        *,
        finished: Collection[int] | None = None,
    ) -> Decision:
        """``finished``: the trials that ran to their end; without it every other trial counts as such."""
        values = histories.get(trial, ())
        early = _too_early(values, self.start_step)
        if early is not None:
            return early
        step, sign = len(values), 1 if self.optimize_mode == "maximize" else -1
        peers = sorted(
            _mean([_goodness(v, sign) for v in history[:step]])
            for number, history in histories.items()
            if number != trial and len(history) >= step and (finished is None or number in finished)
        )
        if not peers:
            return Decision(False, f"no finished trial has a result at step {step}")
        best = max(_goodness(value, sign) for value in values)
        label = f"median {{}} of {len(peers)} finished trials' running averages"
        return _compared(best, peers[(len(peers) - 1) // 2], sign, step, label)


def _pai_problems(args: Mapping[str, Any]) -> list[str]:
    problems = []
    moving_avg, proportion = args.get("moving_avg", False), args.get("proportion", 0.5)
    patience = args.get("patience")
    if not isinstance(moving_avg, bool):
        problems.append(f"moving_avg must be true or false, not {moving_avg!r}")
    if isinstance(proportion, bool) or not isinstance(proportion, (int, float)) or not 0 <= proportion <= 1:
        problems.append(f"proportion must be a number from 0 to 1, not {proportion!r}")
    if patience is not None and (not _is_int(patience) or patience < 1):
        problems.append(f"patience must be a whole number from 1, not {patience!r}")
    return problems


def _too_early(values: Sequence[float], start_step: int) -> Decision | None:
    if not values:
        return Decision(False, "no result yet")
    if len(values) < start_step:
        return Decision(False, f"{len(values)} result(s), judged from {start_step} (start_step) on")
    return None


def _compared(best: float, bar: float, sign: int, step: int, label: str) -> Decision:
    own = f"{best * sign:g}" if math.isfinite(best) else "not finite"
    other = label.format(f"{bar * sign:g}" if math.isfinite(bar) else "(not finite)")
    if best < bar:
        relation = "is worse than" if not math.isfinite(best) else "is below" if sign > 0 else "is above"
        return Decision(True, f"the best value after {step} result(s), {own}, {relation} the {other} there")
    return Decision(
        False, f"the best value after {step} result(s), {own}, is no worse than the {other} there"
    )


def _goodness(value: float, sign: int) -> float:
    """The value so that greater is better and anything not finite is the worst."""
    return sign * value if math.isfinite(value) else -math.inf


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else -math.inf


def _last(values: Sequence[float]) -> float:
    return values[-1]


def _drops_at_end(values: Sequence[float]) -> int:
    drops = 0
    while drops + 1 < len(values) and values[-1 - drops] < values[-2 - drops]:
        drops += 1
    return drops


def _nth(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{suffix}"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
