"""The gate: may a day's model serve? (design section 6)"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.finetune.settings import GateRules

OBJECTIVE = "objective"


@dataclass(frozen=True)
class Verdict:
    """``reasons``: one sentence per rule that was looked at, failed ones first."""

    passed: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.reasons)


def judge(
    rules: GateRules,
    *,
    objective: float | None,
    metrics: Mapping[str, float],
    earlier: Sequence[float],
    optimize_mode: str = "maximize",
) -> Verdict:
    """``earlier``: objectives of the promoted days before, oldest first.

    A day without a finite objective never passes, nor one that lacks a metric that a rule names.
    """
    failed: list[str] = []
    passed: list[str] = []
    if objective is None or not math.isfinite(objective):
        failed.append(f"the objective is {'missing' if objective is None else objective}")
        return Verdict(False, tuple(failed))
    values = {**metrics, OBJECTIVE: objective}
    for bounds, word, holds in ((rules.min, "at least", operator.ge), (rules.max, "at most", operator.le)):
        for tag, bound in bounds.items():
            value = values.get(tag)
            if value is None:
                failed.append(f"there is no metric {tag} (there are {', '.join(sorted(values))})")
            elif holds(value, bound):  # NaN holds nowhere
                passed.append(f"{tag} {value:.6g} is {word} {bound:.6g}")
            else:
                failed.append(f"{tag} {value:.6g} is not {word} {bound:.6g}")
    if rules.max_drop is not None:
        ok, reason = _drop(objective, earlier, rules.max_drop, rules.trailing_days, optimize_mode)
        (passed if ok else failed).append(reason)
    if not failed and not passed:
        passed.append("no rule is set")
    return Verdict(not failed, (*failed, *passed))


def _drop(
    objective: float, earlier: Sequence[float], max_drop: float, days: int, optimize_mode: str
) -> tuple[bool, str]:
    # A person may have promoted a day without a usable number: it must not fail every day after it.
    trailing = [value for value in earlier if math.isfinite(value)][-days:]
    if not trailing:
        return True, "no promoted day before to compare with"
    mean = statistics.fmean(trailing)
    drop = mean - objective if optimize_mode == "maximize" else objective - mean
    compared = f"{objective:.6g} against the mean {mean:.6g} of {len(trailing)} days before"
    if drop <= max_drop:
        return True, f"objective {compared}: no drop of more than {max_drop:.6g}"
    return False, f"objective {compared}: a drop of {drop:.6g}, more than {max_drop:.6g}"
