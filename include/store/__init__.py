"""The experiment store on SQLite or Postgres (design section 3)."""

from include.store.experiments import UNSET
from include.store.records import (
    Event,
    Experiment,
    ExperimentState,
    History,
    NewExperiment,
    RecordedResult,
    Result,
    Step,
    StepState,
    TaskKey,
    Trial,
)
from include.store.store import ExperimentStore

__all__ = [
    "UNSET",
    "Event",
    "Experiment",
    "ExperimentState",
    "ExperimentStore",
    "History",
    "NewExperiment",
    "RecordedResult",
    "Result",
    "Step",
    "StepState",
    "TaskKey",
    "Trial",
]
