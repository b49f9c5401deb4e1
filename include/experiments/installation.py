"""Whether a store is this Airflow's own: the Airflow of a copy must neither start nor stop anything (adr 0008)."""

from __future__ import annotations

import uuid
from typing import Protocol

from include.errors import StateError
from include.store import Binding, ExperimentStore


class Installation(Protocol):
    """What an Airflow remembers in its own database: marks, which a copy of the store alone doesn't have."""

    @property
    def name(self) -> str:
        """For people: how they reach it."""
        ...

    def has(self, mark: str) -> bool:
        """Whether it has the mark. Raises RetryableError when it can't be asked: that is no "no"."""
        ...

    def add(self, mark: str) -> None:
        """Remember the mark; again changes nothing. Raises RetryableError."""
        ...


def refuse_foreign(store: ExperimentStore, airflow: Installation) -> None:
    """Nothing when the store is this Airflow's; the first one that asks gets it.

    Raises StateError, with what to do, when another Airflow uses the store or one that this is a copy of.
    """
    binding = store.binding()
    if binding.at is None:
        token = str(uuid.uuid4())
        airflow.add(_mark(binding, token))  # first: whoever gets the store has its mark already
        binding = store.bind(token, airflow.name)
    if not airflow.has(_mark(binding, binding.token)):
        raise StateError(
            f"the store {binding.uuid} belongs to another Airflow ({binding.to}, since "
            f"{binding.at:%Y-%m-%d %H:%M} UTC): nothing is started or stopped from here",
            hint="if this store is a copy: python -m include.cli store separate. If this Airflow is to take the "
            "place of that one, or lost its Variables: python -m include.cli store rebind",
        )


def _mark(binding: Binding, token: str) -> str:
    return f"easyrec_store_{binding.uuid}_{token}"
