"""Limits of a search that runs (reference R2): how many trials it may have, and until when new ones start."""

from __future__ import annotations

from datetime import datetime, timedelta

from include.errors import ConfigError, PermanentError, ProblemsError
from include.experiments.control import Control, forget_lost_requests, run_requested, search
from include.experiments.opening import MOST_TRIALS
from include.store import Experiment

_MOST_HOURS = 24 * 365


def duration(hours: float) -> timedelta:
    """A maximum duration that somebody gave in hours; ConfigError when it makes no sense (NaN, too)."""
    if not 0 < hours <= _MOST_HOURS:
        raise ConfigError(
            f"{hours!s:.20} hours make no sense", hint=f"more than 0, at most {_MOST_HOURS} (a year)"
        )
    return timedelta(hours=hours)


def change_limits(
    control: Control, experiment_id: str, *, trials: int | None = None, hours: float | None = None
) -> tuple[Experiment, list[str]]:
    """Set the maximum number of trials, the maximum duration, or both; the next ask follows.

    ``hours`` count from the start of the newest DAG run at work on the experiment, as ``maxExecDuration``
    does. Trials that have begun go on whatever the limits say. A maximum above what the tasks at work can
    reach starts an extension run with the difference; so does one for a search that has ended. Also returns
    what follows from the change, in words. Raises ProblemsError for values that make no sense, StateError for
    a duration of an experiment that has ended, NotFoundError.
    """
    store = control.store
    experiment = search(store, experiment_id)
    problems = _problems(experiment, trials, hours)
    if problems:
        raise ProblemsError(f"the limits of {experiment_id} were left as they are", problems)
    forget_lost_requests(control, experiment_id)
    change = store.change_limits(
        experiment_id, trials=trials, duration=None if hours is None else duration(hours), by=control.by
    )
    changed, request = change.experiment, change.request
    notes = []
    if not changed.state.is_terminal:
        notes = _notes(changed, control.now)
        if change.waiting and trials is not None and trials == changed.max_trials:
            notes.append(f"runs that were asked for before bring {change.waiting} more trials on top")
    if request is not None:
        try:
            run_requested(control, request)
        except PermanentError:  # a paused DAG, say: all stays as it was
            if not changed.state.is_terminal:
                before = (experiment.max_trials, experiment.deadline)
                store.set_limits(experiment_id, max_trials=before[0], deadline=before[1], by=control.by)
            raise
        notes.append(f"run {request.run_id} was started for {request.trials} more trials: {trials} in all")
    return changed, notes


def _problems(experiment: Experiment, trials: int | None, hours: float | None) -> list[str]:
    problems = []
    if trials is None and hours is None:
        problems.append("nothing to change: give a number of trials, hours, or both")
    if trials is not None and not 1 <= trials <= experiment.asks + MOST_TRIALS:
        problems.append(
            f"a maximum of {trials} trials makes no sense: at least 1, at most {MOST_TRIALS} more than now"
        )
    elif trials is not None and experiment.state.is_terminal and trials <= experiment.asks:
        problems.append(f"it has ended ({experiment.state.value}) with {experiment.asks} trials")
    if hours is not None:
        try:
            duration(hours)
        except ConfigError as error:
            problems.append(str(error))
    return problems


def _notes(after: Experiment, now: datetime) -> list[str]:
    notes = []
    if after.max_trials is not None and after.max_trials <= after.asks:
        notes.append(
            f"{after.asks} trials have begun already: none of the tasks at work starts a further one"
        )
    if after.deadline is not None and after.deadline <= now:
        notes.append("the time is over already: no further trial starts")
    if notes and after.asks:
        notes.append("trials that have begun go on to their end")
    return notes
