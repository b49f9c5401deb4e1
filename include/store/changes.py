"""The part of the store that tells cheaply whether something changed, and counts trials of many experiments."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.store import schema
from include.store.database import reads
from include.store.part import StorePart
from include.store.rows import no_experiment

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
