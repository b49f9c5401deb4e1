"""Jobs whose task is gone for good: nobody would stop them."""

from __future__ import annotations

from collections.abc import Iterable

from include.experiments.job_starter import stop_step
from include.experiments.services import Services
from include.search.trial import TrialState
from include.store import Trial


def stop_leftovers(services: Services, trials: Iterable[Trial], *, lookup_seconds: float) -> None:
    """End these trials and stop their jobs, as far as they have not ended. The caller knows that no task
    watches them any more."""
    store = services.store
    for trial in trials:
        reason = trial.reason or "its task ended without it"
        if not trial.state.is_terminal:
            store.move_trial(
                trial.experiment_id, trial.number, epoch=trial.epoch, to=TrialState.CANCELLED, reason=reason
            )
        for step in store.steps(trial.experiment_id, trial.number):
            stop_step(services, step, reason=reason, lookup_seconds=lookup_seconds)
