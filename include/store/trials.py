"""The part of the store that keeps trials: the ask by compare-and-swap, states, history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from include.errors import AskConflictError, AskingPaused, NoMoreTrials, StateError
from include.ports import TrialRecord
from include.search.trial import TrialState
from include.store import schema
from include.store.daily_records import RunKey
from include.store.database import reads, writes
from include.store.epochs import FRESH, refuse_if_stopped, update_trial
from include.store.part import StorePart
from include.store.records import ExperimentState, History, TaskKey, Trial
from include.store.results import objectives_of
from include.store.rows import (
    SYSTEM,
    add_event,
    check_epoch,
    find_trial,
    lock_experiment,
    no_experiment,
    trial_of,
)
from include.store.values import clean_text, plain_json

UNUSED, CANCELLED = "unused", "cancelled"
"""Events: a task ended without a trial; a trial was stopped."""
_EVENT_OF = {
    TrialState.WAITING: "waiting",
    TrialState.SUBMITTED: "submitted",
    TrialState.RUNNING: "running",
    TrialState.SUCCEEDED: "told",
    TrialState.EARLY_STOPPED: "early_stopped",
    TrialState.FAILED: "failed",
    TrialState.CANCELLED: CANCELLED,
}


class Trials(StorePart):
    """Ask for, find and move trials."""

    @reads
    def trial_of(self, connection: Connection, task: TaskKey) -> Trial | None:
        """The trial that this task instance owns, if it has asked already."""
        row = _owned_by(connection, task)
        return None if row is None else trial_of(row)

    @reads
    def trial(self, connection: Connection, experiment_id: str, number: int) -> Trial:
        """One trial; NotFoundError when there is none of this number."""
        return trial_of(find_trial(connection, experiment_id, number))

    @reads
    def trials(self, connection: Connection, experiment_id: str) -> list[Trial]:
        """All trials of an experiment, by number."""
        columns = schema.trial.c
        query = sa.select(schema.trial).where(columns.experiment_id == experiment_id).order_by(columns.number)
        return [trial_of(row) for row in connection.execute(query).mappings()]

    @reads
    def trials_of_run(self, connection: Connection, run: RunKey) -> list[Trial]:
        """All trials whose tasks are of this DAG run, of every experiment, in the order of asking."""
        columns = schema.trial.c
        query = (
            sa.select(schema.trial)
            .where(columns.dag_id == run.dag_id, columns.run_id == run.run_id)
            .order_by(columns.asked_at, columns.experiment_id, columns.number)
        )
        return [trial_of(row) for row in connection.execute(query).mappings()]

    @reads
    def experiments_of_run(self, connection: Connection, dag_id: str, run_id: str) -> list[str]:
        """Ids of the experiments that tasks of this DAG run have trials of."""
        columns = schema.trial.c
        query = sa.select(columns.experiment_id).where(columns.dag_id == dag_id, columns.run_id == run_id)
        return sorted(set(connection.scalars(query)))

    @reads
    def history(self, connection: Connection, experiment_id: str) -> History:
        """What the next ask and every assessment know: one consistent moment, current epochs only.

        An early-stopped trial that was moved without a metric has its best result so far as value.
        Raises NotFoundError.
        """
        experiment = schema.experiment.c
        found = connection.execute(
            sa.select(experiment.asks, experiment.optimize_mode).where(experiment.id == experiment_id)
        ).one_or_none()
        if found is None:
            raise no_experiment(experiment_id)
        columns = schema.trial.c
        rows = connection.execute(
            sa.select(columns.number, columns.parameters, columns.state, columns.metric, columns.end_order)
            .where(columns.experiment_id == experiment_id)
            .order_by(columns.end_order, columns.number)
        ).all()
        objectives = objectives_of(connection, experiment_id)
        ended, pending = [], []
        for number, parameters, state_name, metric, _ in rows:
            state = TrialState(state_name)
            if not state.is_terminal:
                pending.append(TrialRecord(number, parameters, None))
                continue
            if metric is None and state is TrialState.EARLY_STOPPED:
                metric = _best(objectives.get(number, ()), found.optimize_mode)
            ended.append(TrialRecord(number, parameters, metric, succeeded=state.counts_for_tuner))
        return History(found.asks, tuple(ended), tuple(pending), objectives)

    @reads
    def check_open(self, connection: Connection, experiment_id: str) -> None:
        """Nothing when the experiment may get another trial now: spares a suggestion nobody wants.

        Raises NoMoreTrials at a limit or after a person's stop, AskingPaused, StateError in another state,
        NotFoundError. The limits may change at any time, so ``record_ask`` checks again.
        """
        query = sa.select(schema.experiment).where(schema.experiment.c.id == experiment_id)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise no_experiment(experiment_id)
        _refuse_if_closed(row, self._now())

    def record_ask(
        self,
        experiment_id: str,
        *,
        expected_asks: int,
        task: TaskKey,
        task_max_tries: int,
        parameters: Mapping[str, Any],
        source: str = "tuner",
        seen: int,
    ) -> Trial:
        """Make the next trial from parameters that were computed outside (design section 4).

        ``expected_asks``: the history's ``asks`` that the computation used. ``seen``: how many
        ended trials it knew. A task that has a trial already gets that one, whatever else is given.

        Raises AskConflictError when another trial came between (read the history again and ask
        again), NoMoreTrials at a limit or after a person's stop, AskingPaused, StateError when the
        experiment is not RUNNING, ConfigError when the parameters are not plain JSON, NotFoundError.
        """
        values = plain_json(parameters, "parameters")
        return self._record_ask(experiment_id, expected_asks, task, task_max_tries, values, source, seen)

    @writes
    def _record_ask(
        self,
        connection: Connection,
        experiment_id: str,
        expected_asks: int,
        task: TaskKey,
        task_max_tries: int,
        parameters: dict[str, Any],
        source: str,
        seen: int,
    ) -> Trial:
        experiment = lock_experiment(connection, experiment_id)
        owned = _owned_by(connection, task)
        if owned is not None:
            if owned["experiment_id"] != experiment_id:
                raise StateError(f"task {task} already has a trial of experiment {owned['experiment_id']!r}")
            return trial_of(owned)
        _refuse_if_closed(experiment, self._now())
        number = experiment["asks"]
        if number != expected_asks:
            raise AskConflictError(
                f"experiment {experiment_id!r} has {number} trials, not {expected_asks}",
                hint="read the history again and ask again",
            )
        now = self._now()
        added = connection.execute(
            schema.trial.insert()
            .values(
                experiment_id=experiment_id,
                number=number,
                dag_id=task.dag_id,
                run_id=task.run_id,
                task_id=task.task_id,
                map_index=task.map_index,
                task_max_tries=task_max_tries,
                epoch=0,
                parameters=parameters,
                source=source,
                seen=seen,
                asked_at=now,
                **FRESH,
            )
            .returning(schema.trial)
        )
        row = added.mappings().one()
        connection.execute(
            schema.experiment.update().where(schema.experiment.c.id == experiment_id).values(asks=number + 1)
        )
        add_event(
            connection,
            experiment_id=experiment_id,
            trial=number,
            at=now,
            by=str(task),
            kind="asked",
            data={"parameters": parameters, "source": source, "seen": seen},
        )
        return trial_of(row)

    @writes
    def give_up_task(self, connection: Connection, experiment_id: str, task: TaskKey) -> None:
        """Record that a task ends without a trial, at a limit. StateError when it was raised since: ask again."""
        experiment = lock_experiment(connection, experiment_id)
        try:
            _refuse_if_closed(experiment, self._now())
        except NoMoreTrials as error:
            data = {"run_id": task.run_id, "map_index": task.map_index, "reason": error.message}
            now, by = self._now(), str(task)
            add_event(connection, experiment_id=experiment_id, at=now, by=by, kind=UNUSED, data=data)
            return
        raise StateError(f"experiment {experiment_id!r} may have another trial again")

    @writes
    def move_trial(
        self,
        connection: Connection,
        experiment_id: str,
        number: int,
        *,
        epoch: int,
        to: TrialState,
        reason: str = "",
        metric: float | None = None,
        metrics: Mapping[str, float] | None = None,
        by: str = SYSTEM,
    ) -> Trial:
        """Move a trial to its next state; being there already changes nothing.

        ``by``: the person who wants it so. ``metric`` and ``metrics``: only with an end. Raises StaleEpochError
        when a user cleared the trial since, StateError for a transition that ``TrialState`` doesn't know.
        """
        experiment = lock_experiment(connection, experiment_id)
        row = find_trial(connection, experiment_id, number)
        check_epoch(row, epoch)
        state = TrialState(row["state"])
        if state.to(to) is state:
            return trial_of(row)
        if not to.is_terminal and (metric is not None or metrics is not None):
            raise StateError(f"a trial gets its metric when it ends, not when it is {to.value}")
        now = self._now()
        reason = clean_text(reason)
        values: dict[str, Any] = {"state": to.value, "reason": reason}
        if to is TrialState.WAITING:
            values = {**FRESH, "reason": reason}
        elif to is TrialState.SUBMITTED:
            values["submitted_at"] = now
        elif to is TrialState.RUNNING:
            values["started_at"] = now
        else:
            order = experiment["ends"] + 1
            values.update(ended_at=now, metric=metric, metrics=metrics, end_order=order)
            connection.execute(
                schema.experiment.update().where(schema.experiment.c.id == experiment_id).values(ends=order)
            )
        add_event(
            connection,
            experiment_id=experiment_id,
            trial=number,
            at=now,
            by=by,
            kind=_EVENT_OF[to],
            data=_said(epoch, reason, metric),
        )
        return update_trial(connection, experiment_id, number, **values)


def _refuse_if_closed(experiment: RowMapping, now: datetime) -> None:
    name, state = experiment["id"], ExperimentState(experiment["state"])
    if state is ExperimentState.PAUSED:
        raise AskingPaused(f"experiment {name!r} is PAUSED", hint="resume it to go on")
    refuse_if_stopped(experiment)
    if state is not ExperimentState.RUNNING:
        why = f": {experiment['reason']}" if experiment["reason"] else ""
        raise StateError(
            f"experiment {name!r} is {state.value}{why}",
            hint="it gets no new trials until a run extends it or its open_experiment is cleared",
        )
    limit, deadline = experiment["max_trials"], experiment["deadline"]
    if limit is not None and experiment["asks"] >= limit:
        raise NoMoreTrials(
            f"experiment {name!r} has its maximum of {limit} trials", hint="raise the maximum to go on"
        )
    if deadline is not None and deadline <= now:
        raise NoMoreTrials(
            f"experiment {name!r} reached its maximum duration at {deadline:%Y-%m-%d %H:%M:%S} UTC",
            hint="move the deadline to go on",
        )


def _owned_by(connection: Connection, task: TaskKey) -> RowMapping | None:
    columns = schema.trial.c
    query = sa.select(schema.trial).where(
        columns.dag_id == task.dag_id,
        columns.run_id == task.run_id,
        columns.task_id == task.task_id,
        columns.map_index == task.map_index,
    )
    return connection.execute(query).mappings().one_or_none()


def _said(epoch: int, reason: str, metric: float | None) -> dict[str, Any]:
    said: dict[str, Any] = {"epoch": epoch}
    if reason:
        said["reason"] = reason
    if metric is not None:  # in words where it isn't a number: JSON has none for NaN
        said["metric"] = float(metric) if math.isfinite(metric) else str(metric)
    return said


def _best(values: tuple[float, ...], optimize_mode: str) -> float | None:
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return None
    return max(numbers) if optimize_mode == "maximize" else min(numbers)
