"""The part of the store that keeps chains: a model's lines of daily models, one of them current."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.store import schema
from include.store.daily_records import Chain, Origin
from include.store.daily_rows import chain_of, count_up, find_chain, lock_model, newest_chain
from include.store.database import reads, writes
from include.store.part import StorePart
from include.store.rows import add_event


class Chains(StorePart):
    """Open and find chains."""

    @writes
    def open_chain(self, connection: Connection, model: str, *, origin: Origin, by: str) -> Chain:
        """The model's new current chain; the current one again when it has this very origin."""
        locked = lock_model(connection, model)
        newest = newest_chain(connection, model)
        if newest is not None and chain_of(newest).origin == origin:
            return chain_of(newest)
        now = self._now()
        number = count_up(connection, locked, "chains")
        added = connection.execute(
            schema.chain.insert()
            .values(
                id=f"{model}-chain{number}",
                model=model,
                number=number,
                checkpoint=origin.checkpoint,
                config_url=origin.config_url,
                learning_rates=list(origin.learning_rates),
                experiment=origin.experiment,
                trial=origin.trial,
                created_by=by,
                created_at=now,
            )
            .returning(schema.chain)
        )
        chain = chain_of(added.mappings().one())
        add_event(
            connection,
            at=now,
            by=by,
            kind="chain_opened",
            data={
                "model": model,
                "chain": chain.id,
                "checkpoint": origin.checkpoint,
                "learning_rates": list(origin.learning_rates),
                "experiment": origin.experiment,
                "trial": origin.trial,
            },
        )
        return chain

    @reads
    def chain(self, connection: Connection, chain_id: str) -> Chain:
        """One chain; NotFoundError when there is none of this id."""
        return chain_of(find_chain(connection, chain_id))

    @reads
    def current_chain(self, connection: Connection, model: str) -> Chain | None:
        """The chain that the model's days are trained in, if it has one yet."""
        newest = newest_chain(connection, model)
        return None if newest is None else chain_of(newest)

    @reads
    def chains(self, connection: Connection, model: str | None = None) -> list[Chain]:
        """Chains of all models or of one, by model and number."""
        columns = schema.chain.c
        query = sa.select(schema.chain).order_by(columns.model, columns.number)
        if model is not None:
            query = query.where(columns.model == model)
        return [chain_of(row) for row in connection.execute(query).mappings()]
