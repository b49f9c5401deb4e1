"""The part of the store that a page asks: what changed, what people did, how many trials many experiments have."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.store import schema
from include.store.database import reads
from include.store.part import StorePart
from include.store.records import Event
from include.store.rows import event_of, no_experiment
from include.store.trials import CANCELLED, UNUSED

Tally = tuple[str, int, float | None, float | None]
"""A state, how many trials are in it, their lowest and highest metric."""
_AT_ONCE = 500
"""Experiments in one query: databases limit how many values a query may carry."""


class Changes(StorePart):
    """What a page that looks again and again asks."""

    @reads
    def change_marks(self, connection: Connection, experiment_id: str | None) -> tuple[int, int]:
        """The newest event's id and the number of results, of one experiment; None: the newest event of all.

        Results come without events, so they are counted. Raises NotFoundError.
        """
        event, step, result = schema.event.c, schema.step.c, schema.result.c
        newest = sa.select(sa.func.coalesce(sa.func.max(event.id), 0))
        if experiment_id is None:
            return int(connection.scalar(newest) or 0), 0
        last = int(connection.scalar(newest.where(event.experiment_id == experiment_id)) or 0)
        if not last:  # creating one is an event
            raise no_experiment(experiment_id)
        counted = (
            sa.select(sa.func.count())
            .select_from(schema.result.join(schema.step, step.id == result.step_id))
            .where(step.experiment_id == experiment_id)
        )
        return last, int(connection.scalar(counted) or 0)

    @reads
    def happenings(self, connection: Connection, experiment_id: str, most: int) -> list[Event]:
        """What was done to an experiment as a whole, and trials that were cancelled, newest first.

        Tasks that ended without a trial are left out: a lowered maximum makes hundreds of them.
        """
        event = schema.event.c
        query = (
            sa.select(schema.event)
            .where(
                event.experiment_id == experiment_id,
                sa.or_(event.trial.is_(None), event.kind == CANCELLED),
                event.kind != UNUSED,
            )
            .order_by(event.id.desc())
            .limit(most)
        )
        return [event_of(row) for row in connection.execute(query).mappings()]

    @reads
    def trial_tallies(
        self, connection: Connection, experiment_ids: Collection[str]
    ) -> dict[str, list[Tally]]:
        """By experiment: how many trials are in each state, with their lowest and highest metric."""
        trial, ids = schema.trial.c, list(experiment_ids)
        found: dict[str, list[Tally]] = {}
        for begin in range(0, len(ids), _AT_ONCE):
            query = (
                sa.select(
                    trial.experiment_id,
                    trial.state,
                    sa.func.count(),
                    sa.func.min(trial.metric),
                    sa.func.max(trial.metric),
                )
                .where(trial.experiment_id.in_(ids[begin : begin + _AT_ONCE]))
                .group_by(trial.experiment_id, trial.state)
            )
            for experiment, *tally in connection.execute(query).tuples():
                found.setdefault(experiment, []).append((tally[0], int(tally[1]), tally[2], tally[3]))
        return found
