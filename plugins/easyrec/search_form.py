"""The trigger form that all searches have in common."""

from __future__ import annotations

from airflow.sdk import Param

from include.experiments.opening import MOST_TRIALS


def search_form(trials: int | None) -> dict[str, Param]:
    """``trials``: what the field says at first; None for the model's own default. So is one that is too large:
    opening says what to do."""
    if trials is not None and trials > MOST_TRIALS:
        trials = None
    return {
        "trials": Param(trials, type=["null", "integer"], minimum=1, maximum=MOST_TRIALS),
        "max_duration_hours": Param(None, type=["null", "number"], exclusiveMinimum=0),
        "baseline": Param(False, type="boolean", title="Also run the config as it is, to compare"),
        "seed": Param(None, type=["null", "integer"], minimum=0),
        "experiment": Param(None, type=["null", "string"], title="Extend this experiment"),
        "custom_parameters": Param(None, type=["null", "array", "object"]),
    }
