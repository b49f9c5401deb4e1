"""Pools of models come into being when Airflow's components start.

Tasks can neither list nor make pools; scheduler, API server, triggerer and DAG processor can. What exists is
written to the store, which is what open checks. A pool that exists keeps the slots a person gave it.
"""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


def make_missing_pools() -> None:
    """Make each model's pool with ``trialConcurrency`` slots; does nothing where there is no database."""
    from easyrec.discovery import begin_models, finetune_search_models
    from easyrec.runtime import open_store

    searches = [*finetune_search_models(), *begin_models()]  # where a model has both, begin's number counts
    wanted = {m.pool: m.plan.search.concurrency for m in searches if m.plan is not None}
    if not wanted:  # an error here would take the whole plugin away, its macros included
        return
    try:
        slots = _ensure(wanted)
    except RuntimeError as error:  # task processes: Airflow forbids them its database
        log.debug("no database access here, pools are left alone: %s", error)
        return
    from airflow.models.connection import Connection

    # The SDK's own look-up doesn't ask the database yet while a component starts.
    store = open_store(Connection.get_connection_from_secrets)
    for pool, number in slots.items():
        if number is None:
            store.forget_pool(pool)
        else:
            store.record_pool(pool, number)


def _ensure(wanted: dict[str, int]) -> dict[str, int | None]:
    """Slots of every wanted pool, made where missing; None for one that would cap nothing."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    slots: dict[str, int | None] = {}
    for name, number in wanted.items():
        try:
            with create_session() as session:
                pool = session.scalar(select(Pool).where(Pool.pool == name))
                if pool is None:
                    pool = Pool(
                        pool=name,
                        slots=number,
                        description="Running trials of one EasyRec model; change the slots at any time",
                        include_deferred=True,
                    )
                    session.add(pool)
                    log.info("pool %s made with %d slots", name, number)
                slots[name] = pool.slots if pool.include_deferred else None
                if not pool.include_deferred:  # a person's pool is left as it is
                    log.error(
                        "pool %s does not count deferred tasks, so all trials of a search would run at once: "
                        "run 'airflow pools set %s %d trials --include-deferred' and restart the scheduler",
                        name,
                        name,
                        pool.slots,
                    )
        except IntegrityError:  # another component made it at the same moment
            slots[name] = number
    return slots
