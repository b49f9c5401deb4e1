"""The part of the store that keeps experiments."""

from __future__ import annotations

import enum
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.store import schema
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.records import Experiment, ExperimentState, NewExperiment, check_limits
from include.store.rows import add_event, experiment_of, insert, lock_experiment, no_experiment
from include.store.values import clean_text, plain_json, refuse_secrets


class Unset(enum.Enum):
    """Tells "leave it as it is" from None, which means "no limit"."""

    UNSET = "unset"


UNSET = Unset.UNSET


class Experiments(StorePart):
    """Create, find and steer experiments."""

    def create_experiment(self, new: NewExperiment) -> Experiment:
        """Record a new experiment, RUNNING. One that has this id already is returned as it is.

        Raises ConfigError when the snapshot is not plain JSON or holds what looks like a secret.
        """
        refuse_secrets(new.snapshot, "snapshot")
        return self._create_experiment(new, plain_json(new.snapshot, "snapshot"))

    @writes
    def _create_experiment(
        self, connection: Connection, new: NewExperiment, snapshot: dict[str, Any]
    ) -> Experiment:
        now = self._now()
        added = connection.execute(
            insert(connection, schema.experiment)
            .values(
                id=new.id,
                model=new.model,
                kind=new.kind,
                dag_id=new.dag_id,
                run_id=new.run_id,
                seed=new.seed,
                optimize_mode=new.optimize_mode,
                max_trials=new.max_trials,
                deadline=new.deadline,
                snapshot=snapshot,
                state=ExperimentState.RUNNING.value,
                reason="",
                asks=0,
                ends=0,
                created_by=new.created_by,
                created_at=now,
            )
            .on_conflict_do_nothing(index_elements=["id"])
        )
        if added.rowcount:
            limits = _limits(new.max_trials, new.deadline)
            add_event(
                connection, experiment_id=new.id, at=now, by=new.created_by, kind="created", data=limits
            )
        return experiment_of(lock_experiment(connection, new.id))

    @reads
    def experiment(self, connection: Connection, experiment_id: str) -> Experiment:
        """One experiment; NotFoundError when there is none of this id."""
        query = sa.select(schema.experiment).where(schema.experiment.c.id == experiment_id)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise no_experiment(experiment_id)
        return experiment_of(row)

    @reads
    def experiments(
        self, connection: Connection, model: str | None = None, *, kinds: Collection[str] | None = None
    ) -> list[Experiment]:
        """All experiments, or those of one model, of some kinds (``SEARCHES``, say), newest first."""
        columns = schema.experiment.c
        query = sa.select(schema.experiment).order_by(columns.created_at.desc(), columns.id.desc())
        if model is not None:
            query = query.where(columns.model == model)
        if kinds is not None:
            query = query.where(columns.kind.in_(kinds))
        return [experiment_of(row) for row in connection.execute(query).mappings()]

    @writes
    def set_limits(
        self,
        connection: Connection,
        experiment_id: str,
        *,
        max_trials: int | Unset | None = UNSET,
        deadline: datetime | Unset | None = UNSET,
        by: str,
    ) -> Experiment:
        """Change the limits of new asks, also while the search runs (reference R2). None: no limit.

        Raises ConfigError for limits that make no sense.
        """
        before = lock_experiment(connection, experiment_id)
        after_max = before["max_trials"] if isinstance(max_trials, Unset) else max_trials
        after_deadline = before["deadline"] if isinstance(deadline, Unset) else deadline
        check_limits(after_max, after_deadline)
        old = _limits(before["max_trials"], before["deadline"])
        new = _limits(after_max, after_deadline)
        if new == old:
            return experiment_of(before)
        changed = {name: {"from": old[name], "to": new[name]} for name in new if new[name] != old[name]}
        add_event(
            connection,
            experiment_id=experiment_id,
            at=self._now(),
            by=by,
            kind="limit_changed",
            data=changed,
        )
        return _update(connection, experiment_id, max_trials=after_max, deadline=after_deadline)

    @writes
    def set_experiment_state(
        self, connection: Connection, experiment_id: str, state: ExperimentState, reason: str, by: str
    ) -> Experiment:
        """Move an experiment to ``state``; being there already changes nothing.

        Raises StateError for a transition that ``ExperimentState`` doesn't know.
        """
        before = experiment_of(lock_experiment(connection, experiment_id))
        if before.state.to(state) is before.state:
            return before
        now = self._now()
        reason = clean_text(reason)
        add_event(
            connection,
            experiment_id=experiment_id,
            at=now,
            by=by,
            kind="state_changed",
            data={"from": before.state.value, "to": state.value, "reason": reason},
        )
        ended_at = now if state.is_terminal else None
        return _update(connection, experiment_id, state=state.value, reason=reason, ended_at=ended_at)


def _update(connection: Connection, experiment_id: str, **values: Any) -> Experiment:
    update = schema.experiment.update().where(schema.experiment.c.id == experiment_id).values(**values)
    return experiment_of(connection.execute(update.returning(schema.experiment)).mappings().one())


def _limits(max_trials: int | None, deadline: datetime | None) -> dict[str, Any]:
    return {
        "max_trials": max_trials,
        "deadline": deadline.astimezone(timezone.utc).isoformat() if deadline else None,
    }
