"""Jobs whose task is gone for good: nobody else would stop them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from include.errors import EasyRecAutoMLError, as_one
from include.experiments.job_starter import stop_step
from include.experiments.services import Services
from include.search.trial import TrialState
from include.store import Trial

log = logging.getLogger(__name__)


def stop_leftovers(
    services: Services, trials: Iterable[Trial], *, lookup_seconds: float
) -> EasyRecAutoMLError | None:
    """End these trials and stop their jobs, as far as they have not ended.

    The caller knows that no task watches them any more. One job that can't be stopped keeps no other from
    being stopped: the error comes back at the end, for the caller to raise when its own work is done.
    """
    store, errors = services.store, []
    for trial in trials:
        reason = trial.reason or "its task ended without it"
        if not trial.state.is_terminal:
            store.move_trial(
                trial.experiment_id, trial.number, epoch=trial.epoch, to=TrialState.CANCELLED, reason=reason
            )
        for step in store.steps(trial.experiment_id, trial.number):
            try:
                stop_step(services, step, reason=reason, lookup_seconds=lookup_seconds)
            except EasyRecAutoMLError as error:
                log.error("trial %d of %s: %s", trial.number, trial.experiment_id, error)
                job = step.job_id or f"of submission key {step.submission_key}"
                errors.append((error, f"{trial.experiment_id}: job {job} may still run: {error}"))
    return as_one(errors, hint="clear the run's last task to try again, or stop it in the MaxCompute console")
