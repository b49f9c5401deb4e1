"""Limits of a search that runs (reference R2): how many trials it may have, and until when new ones start."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from include.errors import ConfigError, ProblemsError
from include.store import SEARCHES, UNSET, Experiment, ExperimentStore

_MOST_HOURS = 24 * 365


def change_limits(
    store: ExperimentStore,
    experiment_id: str,
    *,
    trials: int | None = None,
    hours: float | None = None,
    by: str,
    now: datetime,
) -> tuple[Experiment, list[str]]:
    """Set the maximum number of trials, the maximum duration, or both; the next ask follows.

    ``hours`` count from the start of the newest DAG run at work on the experiment, as ``maxExecDuration``
    does. Trials that have begun go on whatever the limits say. Also returns what follows from the change, in
    words. Raises ProblemsError for values that make no sense, a maximum that no task is left to use among them,
    StateError for an experiment that has ended, NotFoundError.
    """
    experiment = store.experiment(experiment_id)
    if experiment.kind not in SEARCHES:
        raise ConfigError(f"{experiment_id} is a single job, not a search: it has no limits")
    work = store.work_in_progress(experiment_id)
    problems = []
    if trials is None and hours is None:
        problems.append("nothing to change: give a number of trials, hours, or both")
    if trials is not None and trials < 1:
        problems.append(f"a maximum of {trials} trials makes no sense: at least 1")
    if hours is not None and not (math.isfinite(hours) and 0 < hours <= _MOST_HOURS):
        problems.append(f"{hours:g} hours make no sense: more than 0, at most {_MOST_HOURS} (a year)")
    most = None if work.idle_tasks is None else experiment.asks + work.idle_tasks
    running = not experiment.state.is_terminal
    if running and trials is not None and most is not None and trials > max(most, experiment.max_trials or 0):
        problems.append(
            f"{trials} trials are more than its DAG run has tasks for: {most} at most, and tasks are fixed when "
            f"a run begins. For more, trigger the DAG again with the form's field experiment = {experiment_id}"
        )
    if problems:
        raise ProblemsError(f"the limits of {experiment_id} were left as they are", problems)
    changed = store.set_limits(
        experiment_id,
        max_trials=UNSET if trials is None else trials,
        deadline=UNSET if hours is None else work.since + timedelta(hours=hours),
        by=by,
    )
    return changed, _notes(experiment, changed, now)


def _notes(before: Experiment, after: Experiment, now: datetime) -> list[str]:
    notes = []
    if after.max_trials is not None and after.max_trials <= after.asks:
        notes.append(f"{after.asks} trials have begun already: no further one starts")
    if after.deadline is not None and after.deadline <= now:
        notes.append("the time is over already: no further trial starts")
    raised = (after.max_trials or math.inf) > (before.max_trials or math.inf) or (
        after.deadline is not None and before.deadline is not None and after.deadline > before.deadline
    )
    if raised:
        notes.append("tasks that were skipped at the old limit stay skipped: clear them to use them")
    if notes and after.asks:
        notes.append("trials that have begun go on to their end")
    return notes
