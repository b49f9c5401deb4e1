"""The part of the store that keeps steps: each is one job, recorded before it is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from include.errors import StateError
from include.names import StepId
from include.search.trial import TrialState
from include.store import schema
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.records import Step, StepState, Trial
from include.store.rows import (
    SYSTEM,
    add_event,
    check_epoch,
    find_step,
    find_trial,
    in_words,
    lock_experiment,
    no_step,
    step_of,
    trial_of,
)
from include.store.values import clean_text, plain_json, refuse_secrets


class Steps(StorePart):
    """Record what becomes of each job (design section 5)."""

    def intend_step(
        self, step: StepId, *, submission_key: str, model_dir: str, payload: Mapping[str, Any]
    ) -> Step:
        """Record a step before its job is submitted. One that is there already is returned as it is.

        Raises StateError when it is there with another key, model_dir or payload, or when the trial
        has ended, StaleEpochError when a user cleared the trial since, NotFoundError for an unknown
        trial, ConfigError when the payload is not plain JSON or holds what looks like a secret.
        """
        refuse_secrets(payload, "payload")
        given = {
            "submission_key": submission_key,
            "model_dir": model_dir,
            "payload": plain_json(payload, "payload"),
        }
        return self._intend_step(step, given)

    @writes
    def _intend_step(self, connection: Connection, step: StepId, given: dict[str, Any]) -> Step:
        lock_experiment(connection, step.experiment)
        trial = find_trial(connection, step.experiment, step.trial)
        check_epoch(trial, step.epoch)
        existing = find_step(connection, step)
        if existing is None and TrialState(trial["state"]).is_terminal:
            raise StateError(
                f"trial {step.trial} of {step.experiment!r} is {trial['state']}, it gets no further job",
                hint=trial["reason"],
            )
        if existing is not None:
            different = [name for name, value in given.items() if existing[name] != value]
            if different:
                raise StateError(
                    f"{in_words(step)} is recorded with another {' and '.join(different)}",
                    hint="a job that differs needs a new attempt",
                )
            return step_of(existing)
        now = self._now()
        row = connection.execute(
            schema.step.insert()
            .values(
                experiment_id=step.experiment,
                trial=step.trial,
                step=step.step,
                epoch=step.epoch,
                attempt=step.attempt,
                state=StepState.INTENDED.value,
                reason="",
                intended_at=now,
                **given,
            )
            .returning(schema.step)
        )
        recorded = step_of(row.mappings().one())
        self._step_event(connection, step, "step_intended", {"submission_key": given["submission_key"]})
        return recorded

    @reads
    def latest_step(
        self, connection: Connection, experiment_id: str, number: int, *, step: int | None = None, epoch: int
    ) -> Step | None:
        """The last attempt at a step in an epoch, if there was any; without ``step``, at the highest one."""
        columns = schema.step.c
        query = (
            sa.select(schema.step)
            .where(
                columns.experiment_id == experiment_id,
                columns.trial == number,
                columns.epoch == epoch,
            )
            .order_by(columns.step.desc(), columns.attempt.desc())
            .limit(1)
        )
        if step is not None:
            query = query.where(columns.step == step)
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else step_of(row)

    @reads
    def steps(self, connection: Connection, experiment_id: str, number: int | None = None) -> list[Step]:
        """Steps of an experiment or of one trial, all epochs and attempts, in that order."""
        columns = schema.step.c
        query = (
            sa.select(schema.step)
            .where(columns.experiment_id == experiment_id)
            .order_by(columns.trial, columns.epoch, columns.step, columns.attempt)
        )
        if number is not None:
            query = query.where(columns.trial == number)
        return [step_of(row) for row in connection.execute(query).mappings()]

    @reads
    def step_by_key(self, connection: Connection, submission_key: str) -> Step | None:
        """The step that a job found by its submission key belongs to, if it is this store's."""
        query = sa.select(schema.step).where(schema.step.c.submission_key == submission_key)
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else step_of(row)

    @reads
    def open_steps(self, connection: Connection) -> list[Step]:
        """Steps of all experiments and epochs that are not known to have ended, oldest first."""
        columns = schema.step.c
        query = sa.select(schema.step).where(columns.ended_at.is_(None)).order_by(columns.id)
        return [step_of(row) for row in connection.execute(query).mappings()]

    @reads
    def unfinished_trials(self, connection: Connection) -> list[Trial]:
        """Trials of all experiments that have not ended, or have a step that has not, in any epoch."""
        columns, step = schema.trial.c, schema.step.c
        open_step = sa.exists().where(
            step.experiment_id == columns.experiment_id,
            step.trial == columns.number,
            step.ended_at.is_(None),
        )
        ends = [state.value for state in TrialState if state.is_terminal]
        query = (
            sa.select(schema.trial)
            .where(sa.or_(columns.state.not_in(ends), open_step))
            .order_by(columns.asked_at, columns.experiment_id, columns.number)
        )
        return [trial_of(row) for row in connection.execute(query).mappings()]

    @writes
    def record_job(self, connection: Connection, step: StepId, job_id: str) -> Step:
        """Record the id of the step's job. Also of a stale or ended step: a job must never be forgotten.

        Raises StateError when the step has another job, NotFoundError.
        """
        row = self._lock_step(connection, step)
        if row["job_id"] == job_id:
            return step_of(row)
        if row["job_id"] is not None:
            raise StateError(
                f"{in_words(step)} has job {row['job_id']}, it can't have {job_id} too",
                hint="one of them is not ours to watch: stop it",
            )
        values: dict[str, Any] = {"job_id": job_id, "submitted_at": self._now()}
        if StepState(row["state"]) is StepState.INTENDED:
            values["state"] = StepState.SUBMITTED.value
        self._step_event(connection, step, "step_submitted", {"job_id": job_id})
        return self._update_step(connection, row, values)

    @writes
    def step_running(
        self, connection: Connection, step: StepId, *, started_at: datetime | None = None
    ) -> Step:
        """The step's training was seen running; being there already changes nothing.

        ``started_at``: when it began as the service says; None for now.

        Raises StateError when it has no job or has ended, NotFoundError.
        """
        row = self._lock_step(connection, step)
        state = StepState(row["state"])
        if state is StepState.RUNNING:
            return step_of(row)
        if state is not StepState.SUBMITTED:
            raise StateError(f"{in_words(step)} is {state.value}, it can't be running")
        self._step_event(connection, step, "step_running", {})
        return self._update_step(
            connection, row, {"state": StepState.RUNNING.value, "started_at": started_at or self._now()}
        )

    @writes
    def end_step(
        self,
        connection: Connection,
        step: StepId,
        state: StepState,
        reason: str = "",
        *,
        ended_at: datetime | None = None,
        worker_seconds: float | None = None,
    ) -> Step:
        """Record how the step's job ended; the same end again changes nothing.

        ``ended_at``: when it ended as the service says; None for now.

        Stale epochs too: their jobs are stopped after the clear. Raises StateError when ``state`` is
        no end or the step has ended differently, NotFoundError.
        """
        if not state.is_terminal:
            raise StateError(f"{state.value} is not an end of a step")
        row = self._lock_step(connection, step)
        before = StepState(row["state"])
        if before is state:
            return step_of(row)
        if before.is_terminal:
            raise StateError(f"{in_words(step)} has ended as {before.value}, it can't end as {state.value}")
        reason = clean_text(reason)
        self._step_event(
            connection, step, f"step_{state.value.lower()}", {"reason": reason} if reason else {}
        )
        return self._update_step(
            connection,
            row,
            {
                "state": state.value,
                "reason": reason,
                "ended_at": ended_at or self._now(),
                "worker_seconds": worker_seconds,
            },
        )

    def _lock_step(self, connection: Connection, step: StepId) -> RowMapping:
        lock_experiment(connection, step.experiment)
        row = find_step(connection, step)
        if row is None:
            raise no_step(step)
        return row

    def _update_step(self, connection: Connection, row: RowMapping, values: dict[str, Any]) -> Step:
        update = schema.step.update().where(schema.step.c.id == row["id"]).values(**values)
        return step_of(connection.execute(update.returning(schema.step)).mappings().one())

    def _step_event(self, connection: Connection, step: StepId, kind: str, data: dict[str, Any]) -> None:
        add_event(
            connection,
            experiment_id=step.experiment,
            trial=step.trial,
            at=self._now(),
            by=SYSTEM,
            kind=kind,
            data={"step": step.step, "epoch": step.epoch, "attempt": step.attempt, **data},
        )
