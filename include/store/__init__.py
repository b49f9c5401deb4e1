"""The experiment store on SQLite or Postgres (design section 3)."""

from include.store.binding import Binding
from include.store.daily_records import (
    Adoption,
    Chain,
    Claim,
    Day,
    GivenPlace,
    Lease,
    Origin,
    Promotion,
    RunKey,
    current_days,
)
from include.store.day_state import DayState
from include.store.experiments import UNSET
from include.store.records import (
    SEARCHES,
    Event,
    Experiment,
    ExperimentState,
    History,
    LimitsChange,
    NewExperiment,
    RecordedResult,
    Result,
    RunRequest,
    Step,
    StepState,
    TaskKey,
    Trial,
)
from include.store.store import ExperimentStore

__all__ = [
    "SEARCHES",
    "UNSET",
    "Adoption",
    "Binding",
    "Chain",
    "Claim",
    "Day",
    "DayState",
    "Event",
    "Experiment",
    "ExperimentState",
    "ExperimentStore",
    "GivenPlace",
    "History",
    "Lease",
    "LimitsChange",
    "NewExperiment",
    "Origin",
    "Promotion",
    "RecordedResult",
    "Result",
    "RunKey",
    "RunRequest",
    "Step",
    "StepState",
    "TaskKey",
    "Trial",
    "current_days",
]
