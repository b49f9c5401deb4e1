"""The part of the store that begins a trial anew when a user clears its task: an epoch is one such try."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from include.errors import NoMoreTrials, StateError
from include.search.trial import TrialState
from include.store import schema
from include.store.database import writes
from include.store.part import StorePart
from include.store.records import ExperimentState, StepState, TaskKey, Trial
from include.store.rows import add_event, find_trial, lock_experiment, trial_key, trial_of
from include.store.values import plain_json

FRESH: Mapping[str, Any] = {
    "state": TrialState.WAITING.value,
    "reason": "",
    "metric": None,
    "metrics": None,
    "end_order": None,
    "submitted_at": None,
    "started_at": None,
    "ended_at": None,
}
"""What a trial has not yet when it (again) waits for a job."""


class Epochs(StorePart):
    """Begin trials anew."""

    def begin_epoch(
        self,
        experiment_id: str,
        number: int,
        *,
        task: TaskKey,
        task_max_tries: int,
        parameters: Mapping[str, Any] | None = None,
        keep_last: bool = False,
        keep_cancelled: bool = False,
    ) -> Trial:
        """A user cleared the task: the trial waits anew, its results so far no longer count.

        The number of Airflow's ``max_tries`` tells a clear from an automatic retry (design section
        5.1): the recorded one again changes nothing. ``parameters``: the trial's from now on, for a job
        whose inputs were resolved anew; None keeps them. Jobs of older epochs stay in ``open_steps``
        until they are ended.

        A trial that failed, or has not ended, goes on where it is: steps before that one, which succeeded with
        the same parameters, become the new epoch's and are not run again; with ``keep_last`` that one, too, if
        it has succeeded: only the next one has not begun. With ``keep_cancelled`` one that was cancelled goes on
        likewise. After any other end it starts over.

        Raises NoMoreTrials in a search that a person stopped, StateError when the trial belongs to another task,
        ConfigError when the parameters are not plain JSON.
        """
        values = {} if parameters is None else {"parameters": plain_json(parameters, "parameters")}
        starts_over = {TrialState.SUCCEEDED, TrialState.EARLY_STOPPED}
        if not keep_cancelled:
            starts_over.add(TrialState.CANCELLED)
        return self._begin_epoch(experiment_id, number, task, task_max_tries, values, starts_over, keep_last)

    @writes
    def _begin_epoch(
        self,
        connection: Connection,
        experiment_id: str,
        number: int,
        task: TaskKey,
        task_max_tries: int,
        changed: dict[str, Any],
        starts_over: Collection[TrialState],
        keep_last: bool,
    ) -> Trial:
        experiment = lock_experiment(connection, experiment_id)
        row = find_trial(connection, experiment_id, number)
        before = trial_of(row)
        if before.task != task:
            raise StateError(f"trial {number} of {experiment_id!r} belongs to task {before.task}, not {task}")
        if before.task_max_tries == task_max_tries:
            return before
        refuse_if_stopped(experiment)
        add_event(
            connection,
            experiment_id=experiment_id,
            trial=number,
            at=self._now(),
            by=str(task),
            kind="cleared",
            data={"epoch": before.epoch + 1, "was": before.state.value, "reason": before.reason, **changed},
        )
        if before.state not in starts_over and not changed:
            _keep_steps(connection, before, keep_last)
        values = {**FRESH, **changed}
        return update_trial(
            connection, experiment_id, number, epoch=before.epoch + 1, task_max_tries=task_max_tries, **values
        )


def refuse_if_stopped(experiment: RowMapping) -> None:
    """Raises NoMoreTrials for a search that a person stopped: nothing of it begins, or begins anew."""
    if experiment["state"] == ExperimentState.CANCELLED.value:
        raise NoMoreTrials(
            f"experiment {experiment['id']!r} was stopped: {experiment['reason']}", hint="extend it to go on"
        )


def update_trial(connection: Connection, experiment_id: str, number: int, **values: Any) -> Trial:
    update = schema.trial.update().where(*trial_key(experiment_id, number)).values(**values)
    return trial_of(connection.execute(update.returning(schema.trial)).mappings().one())


def _keep_steps(connection: Connection, trial: Trial, keep_last: bool) -> None:
    """Steps before the last one that was begun, or that one too, move on to the next epoch if they succeeded."""
    step = schema.step.c
    mine = (
        step.experiment_id == trial.experiment_id,
        step.trial == trial.number,
        step.epoch == trial.epoch,
    )
    last = connection.scalar(sa.select(sa.func.max(step.step)).where(*mine))
    before = (last or 0) + 1 if keep_last else (last or 0)
    kept = (*mine, step.state == StepState.SUCCEEDED.value, step.step < before)
    connection.execute(schema.step.update().where(*kept).values(epoch=trial.epoch + 1))
