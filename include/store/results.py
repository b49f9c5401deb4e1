"""The part of the store that keeps intermediate results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.names import StepId
from include.store import schema
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.records import RecordedResult, Result
from include.store.rows import check_epoch, find_step, find_trial, lock_experiment, no_step, step_id_of


class Results(StorePart):
    """Record and read the results of steps."""

    @writes
    def record_results(self, connection: Connection, step: StepId, results: Sequence[Result]) -> int:
        """Add results of a step; a global step that is there already is left as it is.

        Returns how many were new. Raises StaleEpochError when a user cleared the trial since, and
        NotFoundError when the step was never recorded. Results carry their own times, so no event
        is written for them.
        """
        lock_experiment(connection, step.experiment)
        check_epoch(find_trial(connection, step.experiment, step.trial), step.epoch)
        row = find_step(connection, step)
        if row is None:
            raise no_step(step)
        columns = schema.result.c
        # int: readers of event files may give numpy's, which drivers don't know.
        steps = [int(result.global_step) for result in results]
        seen = set(
            connection.scalars(
                sa.select(columns.global_step).where(
                    columns.step_id == row["id"], columns.global_step.in_(steps)
                )
            )
        )
        now = self._now()
        new = []
        for global_step, result in zip(steps, results, strict=True):
            if global_step in seen:
                continue
            seen.add(global_step)
            new.append(
                {
                    "step_id": row["id"],
                    "global_step": global_step,
                    "objective": result.objective,
                    "metrics": result.metrics,
                    "wall_time": result.wall_time,
                    "recorded_at": now,
                }
            )
        if new:
            connection.execute(schema.result.insert(), new)
        return len(new)

    @reads
    def results(
        self,
        connection: Connection,
        experiment_id: str,
        number: int | None = None,
        *,
        all_epochs: bool = False,
    ) -> list[RecordedResult]:
        """Results of an experiment or of one trial, by trial, step and global step.

        Those that count: of each trial's current epoch, and there of each step's last attempt.
        ``all_epochs``: also those that no longer count.
        """
        step, result = schema.step.c, schema.result.c
        query = (
            sa.select(
                step.experiment_id, step.trial, step.step, step.epoch, step.attempt,
                result.global_step, result.objective, result.metrics, result.wall_time, result.recorded_at,
            )
            .select_from(schema.result.join(schema.step) if all_epochs else _counting())
            .where(step.experiment_id == experiment_id)
            .order_by(step.trial, step.epoch, step.step, step.attempt, result.global_step)
        )  # fmt: skip
        if number is not None:
            query = query.where(step.trial == number)
        if not all_epochs:
            query = query.where(_last_attempt())
        return [
            RecordedResult(
                global_step=row["global_step"],
                objective=row["objective"],
                metrics=row["metrics"],
                wall_time=row["wall_time"],
                step=step_id_of(row),
                recorded_at=row["recorded_at"],
            )
            for row in connection.execute(query).mappings()
        ]

    @reads
    def objective_histories(self, connection: Connection, experiment_id: str) -> dict[int, list[float]]:
        """Objective values in step order by trial number, of the results that count."""
        return {trial: list(values) for trial, values in objectives_of(connection, experiment_id).items()}

    @reads
    def evaluation_counts(self, connection: Connection, experiment_id: str) -> dict[int, int]:
        """How many results that count each trial has, by number; trials without any are left out."""
        step = schema.step.c
        rows = connection.execute(
            sa.select(step.trial, sa.func.count())
            .select_from(_counting())
            .where(step.experiment_id == experiment_id, _last_attempt())
            .group_by(step.trial)
        )
        return {trial: int(count) for trial, count in rows.tuples()}


def objectives_of(connection: Connection, experiment_id: str) -> dict[int, tuple[float, ...]]:
    step, result = schema.step.c, schema.result.c
    rows = connection.execute(
        sa.select(step.trial, result.objective)
        .select_from(_counting())
        .where(step.experiment_id == experiment_id, _last_attempt())
        .order_by(step.trial, step.step, result.global_step)
    ).tuples()
    return {
        trial: tuple(value for _, value in group) for trial, group in groupby(rows, key=lambda row: row[0])
    }


def _counting() -> sa.FromClause:
    """Results of the trials' current epochs."""
    step, trial = schema.step.c, schema.trial.c
    current = sa.and_(
        trial.experiment_id == step.experiment_id, trial.number == step.trial, trial.epoch == step.epoch
    )
    return schema.result.join(schema.step).join(schema.trial, current)


def _last_attempt() -> sa.ColumnElement[bool]:
    """No later job replaced the step's one."""
    step, later = schema.step.c, schema.step.alias("later")
    return ~sa.exists().where(
        later.c.experiment_id == step.experiment_id,
        later.c.trial == step.trial,
        later.c.epoch == step.epoch,
        later.c.step == step.step,
        later.c.attempt > step.attempt,
    )
