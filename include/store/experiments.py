"""The part of the store that keeps experiments."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from include.errors import StateError
from include.search.trial import TrialState
from include.store import schema
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.records import (
    Experiment,
    ExperimentState,
    NewExperiment,
    WorkInProgress,
    check_limits,
)
from include.store.rows import add_event, experiment_of, insert, lock_experiment, no_experiment
from include.store.trials import UNUSED
from include.store.values import clean_text, plain_json, refuse_secrets


class Unset(enum.Enum):
    """Tells "leave it as it is" from None, which means "no limit"."""

    UNSET = "unset"


UNSET = Unset.UNSET
# Events by which a DAG run's share in an experiment is known.
_CREATED, _EXTENDED, _REOPENED, _CLOSED = "created", "extended", "reopened", "closed"
WITHDRAWN = "run_request_withdrawn"


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
            add_event(connection, experiment_id=new.id, at=now, by=new.created_by, kind=_CREATED, data=limits)
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

        Raises ConfigError for limits that make no sense, StateError for an experiment that has ended.
        """
        before = lock_experiment(connection, experiment_id)
        return set_limits_of(
            connection, before, max_trials=max_trials, deadline=deadline, by=by, at=self._now()
        )

    @reads
    def runs_at_work(self, connection: Connection, experiment_id: str) -> list[str]:
        """Ids of the DAG runs that have opened the experiment and not closed it; NotFoundError."""
        query = sa.select(schema.experiment).where(schema.experiment.c.id == experiment_id)
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise no_experiment(experiment_id)
        return sorted(runs_of(connection, row)[1])

    @writes
    def open_run(
        self,
        connection: Connection,
        experiment_id: str,
        *,
        run_id: str,
        more: int = 0,
        deadline: datetime | None,
        by: str,
    ) -> Experiment:
        """A DAG run works on the experiment (again), which is RUNNING (a pause stays one) until all of its runs
        are closed.

        ``more``: so many trials on top of the limit, counted once for each run. ``deadline`` counts when the
        run begins, or begins anew after an end; a repeated call changes nothing. Raises StateError for a run
        whose request was withdrawn, NotFoundError.
        """
        before = lock_experiment(connection, experiment_id)
        _refuse_if_withdrawn(connection, experiment_id, run_id)
        extended, at_work = runs_of(connection, before)
        state = ExperimentState(before["state"])
        adds = more > 0 and run_id not in extended
        if run_id in at_work and not adds and not state.is_terminal:
            return experiment_of(before)
        limit = before["max_trials"]
        if adds:
            limit = max(limit or 0, before["asks"]) + more
        kind, now = _EXTENDED if adds else _REOPENED, self._now()
        data = {"run_id": run_id, **({"more": more} if adds else {})}
        add_event(connection, experiment_id=experiment_id, at=now, by=by, kind=kind, data=data)
        _change_limits(connection, before, limit, deadline, by, now)
        # Only a person ends a pause.
        after = ExperimentState.PAUSED if state is ExperimentState.PAUSED else ExperimentState.RUNNING
        return self._move(connection, before, after, kind, by)

    @writes
    def close_run(
        self,
        connection: Connection,
        experiment_id: str,
        *,
        run_id: str,
        state: ExperimentState,
        reason: str,
        by: str,
    ) -> Experiment:
        """A DAG run is done. The experiment ends as ``state``, whatever an earlier end of it was, unless
        another run or a trial is still at work, or a person cancelled it. Raises NotFoundError.
        """
        before = lock_experiment(connection, experiment_id)
        at_work = runs_of(connection, before)[1]
        if run_id in at_work:
            data = {"run_id": run_id, "state": state.value}
            add_event(connection, experiment_id=experiment_id, at=self._now(), by=by, kind=_CLOSED, data=data)
        columns = schema.trial.c
        states = connection.scalars(sa.select(columns.state).where(columns.experiment_id == experiment_id))
        unfinished = any(not TrialState(name).is_terminal for name in states)
        cancelled = before["state"] == ExperimentState.CANCELLED.value
        if at_work - {run_id} or unfinished or cancelled:
            return experiment_of(before)
        return self._move(connection, before, state, reason, by)

    @writes
    def set_experiment_state(
        self,
        connection: Connection,
        experiment_id: str,
        state: ExperimentState,
        reason: str,
        by: str,
        *,
        only_from: Collection[ExperimentState] | None = None,
    ) -> Experiment:
        """Move an experiment to ``state``; being there already changes nothing, unless ``only_from`` is given.

        Raises StateError for a transition that ``ExperimentState`` doesn't know, or from another state than
        one of ``only_from``.
        """
        before = lock_experiment(connection, experiment_id)
        if only_from is not None and ExperimentState(before["state"]) not in only_from:
            why = f": {before['reason']}" if before["reason"] else ""
            raise StateError(f"experiment {experiment_id!r} is {before['state']}{why}")
        if ExperimentState(before["state"]).to(state).value == before["state"]:
            return experiment_of(before)
        return self._move(connection, before, state, reason, by)

    def _move(
        self, connection: Connection, before: RowMapping, state: ExperimentState, reason: str, by: str
    ) -> Experiment:
        reason = clean_text(reason)
        if before["state"] == state.value and (reason == before["reason"] or not state.is_terminal):
            return experiment_of(lock_experiment(connection, before["id"]))
        now = self._now()
        add_event(
            connection,
            experiment_id=before["id"],
            at=now,
            by=by,
            kind="state_changed",
            data={"from": before["state"], "to": state.value, "reason": reason},
        )
        ended_at = now if state.is_terminal else None
        return _update(connection, before["id"], state=state.value, reason=reason, ended_at=ended_at)


def set_limits_of(
    connection: Connection,
    before: RowMapping,
    *,
    max_trials: int | Unset | None,
    deadline: datetime | Unset | None,
    by: str,
    at: datetime,
) -> Experiment:
    """What ``set_limits`` does to a locked experiment."""
    state = ExperimentState(before["state"])
    if state.is_terminal:
        raise StateError(
            f"experiment {before['id']!r} has ended ({state.value}): its limits no longer matter",
            hint="extend it: trigger its DAG with the form's field experiment",
        )
    after_max = before["max_trials"] if isinstance(max_trials, Unset) else max_trials
    after_deadline = before["deadline"] if isinstance(deadline, Unset) else deadline
    return _change_limits(connection, before, after_max, after_deadline, by, at)


def _change_limits(
    connection: Connection,
    before: RowMapping,
    limit: int | None,
    deadline: datetime | None,
    by: str,
    at: datetime,
) -> Experiment:
    check_limits(limit, deadline)
    old, new = _limits(before["max_trials"], before["deadline"]), _limits(limit, deadline)
    if new == old:
        return experiment_of(before)
    changed = {name: {"from": old[name], "to": new[name]} for name in new if new[name] != old[name]}
    add_event(connection, experiment_id=before["id"], at=at, by=by, kind="limit_changed", data=changed)
    return _update(connection, before["id"], max_trials=limit, deadline=deadline)


def work_of(connection: Connection, experiment: RowMapping) -> WorkInProgress:
    """What the DAG runs at work on the experiment can still do, as this transaction sees it."""
    columns = schema.event.c
    events = connection.execute(
        sa.select(columns.kind, columns.at, columns.data)
        .where(
            columns.experiment_id == experiment["id"],
            columns.kind.in_((_CREATED, _EXTENDED, _REOPENED, UNUSED)),
        )
        .order_by(columns.id)
    ).all()
    tasks = {
        experiment["run_id"] if kind == _CREATED else data["run_id"]: data.get(name)
        for kind, _, data in events
        if (name := {_CREATED: "max_trials", _EXTENDED: "more"}.get(kind))
    }
    trial = schema.trial.c
    asked = connection.execute(
        sa.select(trial.run_id, trial.map_index).where(trial.experiment_id == experiment["id"])
    ).tuples()
    unused = ((data["run_id"], data["map_index"]) for kind, _, data in events if kind == UNUSED)
    used_up = Counter(run for run, _ in {*asked, *unused})
    at_work = runs_of(connection, experiment)[1]
    idle = [None if tasks.get(run) is None else max(0, tasks[run] - used_up[run]) for run in at_work]
    known = [count for count in idle if count is not None]
    since = [at for kind, at, _ in events if kind != UNUSED][-1]
    return WorkInProgress(since=since, idle_tasks=sum(known) if len(known) == len(idle) else None)


def _refuse_if_withdrawn(connection: Connection, experiment_id: str, run_id: str) -> None:
    columns = schema.event.c
    events = connection.execute(
        sa.select(columns.data).where(columns.experiment_id == experiment_id, columns.kind == WITHDRAWN)
    ).scalars()
    for data in events:
        if data["run_id"] == run_id:
            raise StateError(
                f"this run was asked for before the search was {data['reason']}: it begins nothing",
                hint="extend the search again",
            )


def runs_of(connection: Connection, experiment: RowMapping) -> tuple[set[str], set[str]]:
    """DAG runs that have extended the experiment, and those that are at work on it."""
    columns = schema.event.c
    events = connection.execute(
        sa.select(columns.kind, columns.data)
        .where(columns.experiment_id == experiment["id"], columns.kind.in_((_EXTENDED, _REOPENED, _CLOSED)))
        .order_by(columns.id)
    ).tuples()
    extended, at_work = set(), {experiment["run_id"]}
    for kind, data in events:
        run_id = str(data["run_id"])
        (at_work.discard if kind == _CLOSED else at_work.add)(run_id)
        if kind == _EXTENDED:
            extended.add(run_id)
    return extended, at_work


def _update(connection: Connection, experiment_id: str, **values: Any) -> Experiment:
    update = schema.experiment.update().where(schema.experiment.c.id == experiment_id).values(**values)
    return experiment_of(connection.execute(update.returning(schema.experiment)).mappings().one())


def _limits(max_trials: int | None, deadline: datetime | None) -> dict[str, Any]:
    return {
        "max_trials": max_trials,
        "deadline": deadline.astimezone(timezone.utc).isoformat() if deadline else None,
    }
