"""Trials of a DAG run that is over: nobody else would end them, or stop their jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from include.errors import EasyRecAutoMLError, StateError, as_one
from include.experiments.job_starter import CLOCK_MARGIN
from include.experiments.services import Services
from include.experiments.trial_plan import TrialPlan
from include.experiments.unowned import end_unowned, why_stray
from include.store import Experiment, Trial

log = logging.getLogger(__name__)

_WHY = "its task ended without it"
_HINT = "clear the run's last task to try again, or stop it in the MaxCompute console"
_LOOKS = 3
"""At a trial that others end at the same moment."""


def end_leftovers(
    services: Services, trials: Iterable[Trial], plan_of: Callable[[Trial], TrialPlan], *, model: str
) -> EasyRecAutoMLError | None:
    """End these trials as their jobs ended (a success counts), and stop what still runs of them.

    The caller knows that no task watches them any more. One that can't be ended keeps no other from it: the
    error comes back at the end, for the caller to raise when its own work is done.
    """
    errors = []
    for trial in trials:
        try:
            _end(services, plan_of(trial), trial, model)
        except EasyRecAutoMLError as error:
            log.error("trial %d of %s: %s", trial.number, trial.experiment_id, error)
            steps = services.store.steps(trial.experiment_id, trial.number)
            jobs = [
                s.job_id or f"of submission key {s.submission_key}" for s in steps if not s.state.is_terminal
            ]
            what = f"job {', '.join(jobs)} may still run" if jobs else f"trial {trial.number} was not ended"
            errors.append((error, f"{trial.experiment_id}: {what}: {error}"))
    return as_one(errors, hint=_HINT)


def stop_strays(services: Services, experiment: Experiment) -> EasyRecAutoMLError | None:
    """Stop what MaxCompute's own list has of a search, and the store takes for ended or for a second job.

    What can't be stopped comes back as an error. A list that can't be had is left to ``easyrec_reconcile``.
    """
    store, errors, since = services.store, [], experiment.created_at - CLOCK_MARGIN
    try:
        jobs = services.jobs.list_owned(store_uuid=store.uuid, since=since, unended=True)
    except EasyRecAutoMLError as error:
        log.warning("jobs without an owner were not looked for; easyrec_reconcile does: %s", error)
        return None
    for job in jobs:
        step = store.step_by_key(job.submission_key)
        why = why_stray(step, job) if step is not None and step.id.experiment == experiment.id else ""
        if not why:
            continue
        try:
            services.jobs.stop(job.job_id)
            log.warning("job %s stopped: %s", job.job_id, why)
        except EasyRecAutoMLError as error:
            errors.append((error, f"{experiment.id}: job {job.job_id} may still run: {error}"))
    return as_one(errors, hint=_HINT)


def _end(services: Services, plan: TrialPlan, trial: Trial, model: str) -> None:
    settings = plan.settings
    for _ in range(_LOOKS):
        try:
            for finding in end_unowned(
                services,
                plan,
                trial,
                model=model,
                why=trial.reason or _WHY,
                lookup_seconds=settings.lost_answer_seconds,
                pause_seconds=settings.poll_seconds,
            ):
                log.warning("%s", finding)
        except StateError:
            now = services.store.trial(trial.experiment_id, trial.number)
            if now.epoch != trial.epoch:
                return  # a user cleared its task just now, which looks after what is left
            if now.state is trial.state:
                raise
            trial = now  # whoever ended it at this moment may have nobody who stops its job
        else:
            return
