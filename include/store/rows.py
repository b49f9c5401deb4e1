"""From database rows to records, and the few queries that several parts of the store share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, RowMapping

from include.errors import NotFoundError, StaleEpochError
from include.names import StepId
from include.search.trial import TrialState
from include.store import schema
from include.store.records import Event, Experiment, ExperimentState, Step, StepState, TaskKey, Trial

SYSTEM = "system"
"""Author of events that no person caused."""
_MOST_TRIALS = 2**31


def experiment_of(row: RowMapping) -> Experiment:
    values = dict(row)
    del values["ends"]
    values["state"] = ExperimentState(values["state"])
    return Experiment(**values)


def trial_of(row: RowMapping) -> Trial:
    values = dict(row)
    del values["end_order"]
    task = TaskKey(*(values.pop(name) for name in ("dag_id", "run_id", "task_id", "map_index")))
    values["state"] = TrialState(values["state"])
    values["metrics"] = values["metrics"] or {}
    return Trial(task=task, **values)


def step_id_of(row: RowMapping) -> StepId:
    return StepId(row["experiment_id"], row["trial"], row["step"], row["epoch"], row["attempt"])


def step_of(row: RowMapping) -> Step:
    values = dict(row)
    identity = step_id_of(row)
    for name in ("id", "experiment_id", "trial", "step", "epoch", "attempt"):
        del values[name]
    values["state"] = StepState(values["state"])
    return Step(id=identity, **values)


def event_of(row: RowMapping) -> Event:
    return Event(**row)


def lock_experiment(connection: Connection, experiment_id: str) -> RowMapping:
    """The experiment's row, locked until the transaction ends.

    Every write that concerns an experiment begins here, so writers of one experiment go one after
    another, and no two of them can wait for each other. Raises NotFoundError.
    """
    query = sa.select(schema.experiment).where(schema.experiment.c.id == experiment_id)
    # NO KEY UPDATE: rows that refer to this one may be added meanwhile.
    row = connection.execute(query.with_for_update(key_share=True)).mappings().one_or_none()
    if row is None:
        raise no_experiment(experiment_id)
    return row


def find_trial(connection: Connection, experiment_id: str, number: int) -> RowMapping:
    """The trial's row; NotFoundError when there is none."""
    query, row = sa.select(schema.trial).where(*trial_key(experiment_id, number)), None
    if 0 <= number < _MOST_TRIALS:  # others no database can compare
        row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFoundError(f"experiment {experiment_id!r} has no trial {number}")
    return row


def trial_key(experiment_id: str, number: int) -> tuple[sa.ColumnElement[bool], ...]:
    return schema.trial.c.experiment_id == experiment_id, schema.trial.c.number == number


def no_experiment(experiment_id: str) -> NotFoundError:
    return NotFoundError(f"the store has no experiment {experiment_id!r}")


def no_step(identity: StepId) -> NotFoundError:
    return NotFoundError(f"the store has no {in_words(identity)}")


def in_words(identity: StepId) -> str:
    """A step for people to read."""
    return (
        f"step {identity.step} of trial {identity.trial} of {identity.experiment!r} "
        f"(epoch {identity.epoch}, attempt {identity.attempt})"
    )


def find_step(connection: Connection, identity: StepId) -> RowMapping | None:
    columns = schema.step.c
    query = sa.select(schema.step).where(
        columns.experiment_id == identity.experiment,
        columns.trial == identity.trial,
        columns.step == identity.step,
        columns.epoch == identity.epoch,
        columns.attempt == identity.attempt,
    )
    return connection.execute(query).mappings().one_or_none()


def check_epoch(trial: RowMapping, epoch: int) -> None:
    """StaleEpochError unless ``epoch`` is the trial's current one."""
    if trial["epoch"] != epoch:
        raise StaleEpochError(
            f"trial {trial['number']} of {trial['experiment_id']!r} is in epoch {trial['epoch']}, "
            f"not {epoch}",
            hint="its task was cleared: leave the trial to the task's new try",
        )


def add_event(
    connection: Connection,
    *,
    at: datetime,
    by: str,
    kind: str,
    experiment_id: str | None = None,
    trial: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(
        schema.event.insert().values(
            experiment_id=experiment_id, trial=trial, at=at, by=by, kind=kind, data=dict(data or {})
        )
    )


def insert(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT, which both databases spell alike."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
