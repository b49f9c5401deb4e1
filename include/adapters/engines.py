"""A plan's tuner and assessor, whoever wrote them."""

from __future__ import annotations

from include.adapters import nni_assessors, nni_tuners
from include.experiments.trial_plan import SearchPlan
from include.ports import Assessor, Tuner


def make_tuner(plan: SearchPlan) -> Tuner:
    """Raises ConfigError for a tuner that is unknown, can't work or gets wrong arguments."""
    tuner = plan.search.tuner
    return nni_tuners.create(
        tuner.name,
        tuner.class_args,
        plan.space,
        optimize_mode=plan.search.optimize_mode,
        class_name=tuner.class_name,
        code_directory=tuner.code_directory,
    )


def make_assessor(plan: SearchPlan) -> Assessor | None:
    """None when the model has none. Raises ConfigError as ``make_tuner`` does."""
    return nni_assessors.create(plan.search.assessor) if plan.search.assessor else None
