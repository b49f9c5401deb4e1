"""A short text that changes when something on a page would change: cheap enough to ask every two seconds."""

from __future__ import annotations

from include.store import ExperimentStore


def version(store: ExperimentStore, experiment_id: str) -> str:
    """Of one experiment: its newest event and how many results it has. Raises NotFoundError."""
    events, results = store.change_marks(experiment_id)
    return f"{events}-{results}"


def version_of_all(store: ExperimentStore) -> str:
    """Of everything: the newest event of all."""
    return str(store.change_marks(None)[0])
