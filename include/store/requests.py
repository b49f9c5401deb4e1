"""The part of the store that keeps the DAG runs which people asked for while, or after, a search ran."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from include.errors import StateError
from include.store import schema
from include.store.database import reads, writes
from include.store.experiments import UNSET, WITHDRAWN, runs_of, set_limits_of, work_of
from include.store.part import StorePart
from include.store.records import LimitsChange, RunRequest
from include.store.rows import add_event, experiment_of, lock_experiment
from include.store.values import plain_json, refuse_secrets

_ENOUGH = 2**31
"""Trials that can still come when nobody said how many tasks there are."""
_REQUESTED, _DROPPED = "run_requested", "run_request_dropped"
_ENDED = (_DROPPED, WITHDRAWN)


class RunRequests(StorePart):
    """Ask for DAG runs. A request is recorded before its run is triggered, so that none is made twice."""

    def request_run(self, experiment_id: str, *, kind: str, conf: Mapping[str, Any], by: str) -> RunRequest:
        """Record that a run with ``conf`` (``trials`` is in it) is wanted. ``kind``: why, in one word.

        Raises ConfigError when ``conf`` is not plain JSON or holds what looks like a secret, NotFoundError.
        """
        refuse_secrets(conf, "parameters")
        return self._request_run(experiment_id, kind, plain_json(conf, "parameters"), by)

    @writes
    def _request_run(
        self, connection: Connection, experiment_id: str, kind: str, conf: dict[str, Any], by: str
    ) -> RunRequest:
        return self._request(connection, lock_experiment(connection, experiment_id), kind, conf, by)

    @writes
    def change_limits(
        self,
        connection: Connection,
        experiment_id: str,
        *,
        trials: int | None,
        duration: timedelta | None,
        by: str,
    ) -> LimitsChange:
        """Set the maximum that the tasks at work can reach, and record the run that is missing for the rest.

        All under the experiment's lock, so that two people who raise the maximum to the same number at the same
        moment get that number, and a requested run that opens just then keeps its share. ``duration`` counts
        from the start of the newest run at work. Of an experiment that has ended only a maximum is taken, for
        the run. Raises StateError for a duration of one, NotFoundError.
        """
        before = lock_experiment(connection, experiment_id)
        after, idle = experiment_of(before), 0
        # Runs that are still to open the experiment add their share themselves.
        waiting = sum(r.trials for r in _waiting(connection, before))
        if after.state.is_terminal and duration is not None:
            raise StateError(
                f"{experiment_id} has ended ({after.state.value}): its duration no longer matters",
                hint="extend it, or raise its maximum of trials",
            )
        if not after.state.is_terminal:
            work = work_of(connection, before)
            idle = _ENOUGH if work.idle_tasks is None else work.idle_tasks
            after = set_limits_of(
                connection,
                before,
                max_trials=UNSET if trials is None else max(1, min(trials, after.asks + idle)),
                deadline=UNSET if duration is None else work.since + duration,
                by=by,
                at=self._now(),
            )
        more = 0 if trials is None else trials - after.asks - idle - waiting
        if more < 1:
            return LimitsChange(after, waiting, None)
        return LimitsChange(after, waiting, self._request(connection, before, "raise", {"trials": more}, by))

    @reads
    def waiting_requests(self, connection: Connection, experiment_id: str) -> list[RunRequest]:
        """Requests whose run has not opened the experiment yet, oldest first."""
        query = sa.select(schema.experiment).where(schema.experiment.c.id == experiment_id)
        row = connection.execute(query).mappings().one_or_none()
        return [] if row is None else _waiting(connection, row)

    def drop_request(self, request: RunRequest, reason: str, by: str) -> None:
        """Its run can't come, or ended before it opened the experiment: nothing is to be expected of it."""
        self._end_request(request, _DROPPED, reason, by)

    def withdraw_request(self, request: RunRequest, reason: str, by: str) -> None:
        """Nobody wants its run any more: if it comes all the same, ``open_run`` refuses it."""
        self._end_request(request, WITHDRAWN, reason, by)

    @writes
    def _end_request(
        self, connection: Connection, request: RunRequest, kind: str, reason: str, by: str
    ) -> None:
        experiment = lock_experiment(connection, request.experiment_id)
        if request.run_id in {r.run_id for r in _waiting(connection, experiment)}:
            data, now = {"run_id": request.run_id, "reason": reason}, self._now()
            add_event(connection, experiment_id=request.experiment_id, at=now, by=by, kind=kind, data=data)

    def _request(
        self, connection: Connection, experiment: RowMapping, kind: str, conf: dict[str, Any], by: str
    ) -> RunRequest:
        columns = schema.event.c
        earlier = connection.scalar(
            sa.select(sa.func.count())
            .select_from(schema.event)
            .where(columns.experiment_id == experiment["id"], columns.kind == _REQUESTED)
        )
        run_id = f"{kind}_{experiment['id']}_{(earlier or 0) + 1}"
        conf = {**conf, "experiment": experiment["id"]}
        now, data = self._now(), {"run_id": run_id, "conf": conf}
        add_event(connection, experiment_id=experiment["id"], at=now, by=by, kind=_REQUESTED, data=data)
        return RunRequest(experiment["id"], experiment["dag_id"], run_id, conf, by, now)


def _waiting(connection: Connection, experiment: RowMapping) -> list[RunRequest]:
    columns = schema.event.c
    events = connection.execute(
        sa.select(columns.kind, columns.data, columns.by, columns.at)
        .where(columns.experiment_id == experiment["id"], columns.kind.in_((_REQUESTED, *_ENDED)))
        .order_by(columns.id)
    ).tuples()
    extended = runs_of(connection, experiment)[0]
    waiting: dict[str, RunRequest] = {}
    for kind, data, by, at in events:
        run_id = data["run_id"]
        if kind in _ENDED:
            waiting.pop(run_id, None)
        elif run_id not in extended:
            waiting[run_id] = RunRequest(experiment["id"], experiment["dag_id"], run_id, data["conf"], by, at)
    return list(waiting.values())
