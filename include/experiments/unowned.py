"""Ends a trial whose Airflow task is gone for good: as its job ended, or by stopping the job."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeAlias

from include.errors import NotFoundError, StateError
from include.experiments.job_starter import find_job, record_end, stop_step
from include.experiments.services import Services
from include.experiments.trial_job import RECONCILE
from include.experiments.trial_plan import TrialPlan
from include.experiments.trial_watcher import TrialWatcher
from include.ports import JobPayload, JobService, JobState, JobStatus, OwnedJob
from include.search.trial import TrialState
from include.store import Step, StepState, Trial
from include.store.rows import SYSTEM

log = logging.getLogger(__name__)

_Look: TypeAlias = Callable[[Step], tuple[Step, JobStatus | None]]
_POLLS = 6
"""More than a watcher waits for late metrics; the job ended minutes ago."""


class Done(enum.Enum):
    """What was done about something that nobody owned."""

    STOPPED = "stopped"
    """A job ran, and was stopped."""
    CLOSED = "closed"
    """It had ended; only its record was open."""
    LEFT = "left"
    """A person has to decide what becomes of it."""


@dataclass(frozen=True)
class Finding:
    """One thing that nobody owned. ``about``: which, in words; ``why``: what happened to its owner."""

    done: Done
    model: str
    about: str
    why: str

    def __str__(self) -> str:
        return f"{self.done.value}: {self.about} ({self.why})"


def end_unowned(
    services: Services,
    plan: TrialPlan,
    trial: Trial,
    *,
    model: str,
    why: str,
    lookup_seconds: float = 0,
    pause_seconds: float = 0,
) -> Iterator[Finding]:
    """End the trial and its steps truly; no job is started. ``trial``: as it was read before its task's state.

    A job that succeeded counts with its results. ``lookup_seconds``: how long a job is looked for whose answer
    was lost, ``pause_seconds``: between two looks for its last metrics; 0 where all that was minutes ago. Raises
    StateError when the task was cleared, or the trial ended, meanwhile, and what the service raises; then call
    again later.
    """
    name = f"trial {trial.number} of {trial.experiment_id}"
    look = partial(_look, services, lookup_seconds=lookup_seconds)
    if not trial.state.is_terminal:
        ended = _end_by_its_job(services, plan, trial, why, look, pause_seconds)
        if ended is not None and ended.state.is_terminal:
            about = f"{name} as {ended.state.value}"
            yield Finding(Done.CLOSED, model, about, ended.reason or why)
        elif ended is None:
            _move(services, trial, TrialState.CANCELLED, why, by=RECONCILE)
            yield Finding(Done.CLOSED, model, f"{name} as {TrialState.CANCELLED.value}", why)
        else:
            return  # it has succeeded, and its last metrics are still on their way
    for step in services.store.steps(trial.experiment_id, trial.number):
        # A later epoch is a new try's: it has an owner, or gets its own look.
        if not step.state.is_terminal and step.id.epoch <= trial.epoch:
            yield _end_step(services, step, model, name, why, look)


def why_stray(step: Step, job: OwnedJob) -> str:
    """Why a running job of the step's key has no owner; empty when it may have one."""
    if step.job_id not in (None, job.job_id):
        return f"a second job of one submission key; {step.job_id} is the one that is watched"
    if step.state.is_terminal:
        return f"its record has ended: {step.state.value} {step.reason}".strip()
    return ""


def _end_by_its_job(
    services: Services, plan: TrialPlan, trial: Trial, why: str, look: _Look, pause_seconds: float
) -> Trial | None:
    """The trial as the end of its last job makes it; None when that job has not ended, or there is none."""
    steps = [
        step
        for step in services.store.steps(trial.experiment_id, trial.number)
        if step.id.epoch == trial.epoch
    ]
    if not steps:
        return None
    step, status = look(steps[-1])
    succeeded = status is not None and status.state is JobState.SUCCEEDED
    if succeeded or step.state is StepState.SUCCEEDED:
        return _conclude(services, plan, trial, pause_seconds)
    if status is not None and status.state.is_terminal:
        step = record_end(services, step, status)
    if step.state is StepState.FAILED:  # its replacement would have nobody either
        return _move(services, trial, TrialState.FAILED, f"job {step.job_id} failed: {step.reason}; {why}")
    if step.state is StepState.STOPPED:
        return _move(services, trial, TrialState.CANCELLED, step.reason)
    return None


def _conclude(services: Services, plan: TrialPlan, trial: Trial, pause_seconds: float) -> Trial | None:
    """As its watcher would have concluded; None when the trial would need another job for that."""
    watcher = TrialWatcher(
        replace(services, jobs=_NoSubmits(services.jobs)),
        plan,
        experiment=trial.experiment_id,
        trial=trial.number,
        epoch=trial.epoch,
    )
    ended = trial
    try:
        for _ in range(_POLLS):
            ended = watcher.poll()
            if ended.state.is_terminal:
                break
            services.sleep(pause_seconds)
    except (_SubmitRefused, NotFoundError):  # the next day's job, or the model that it would go on from
        return None
    return ended


def _end_step(services: Services, step: Step, model: str, name: str, why: str, look: _Look) -> Finding:
    step, status = look(step)
    job = f"job {step.job_id}, {name}" if step.job_id else f"{name}: the record of a job that never began"
    if status is not None and status.state.is_terminal:
        record_end(services, step, status)
        return Finding(Done.CLOSED, model, job, f"it is {status.state.value}")
    stop_step(services, step, reason=why, lookup_seconds=0)
    return Finding(Done.STOPPED if step.job_id else Done.CLOSED, model, job, why)


def _look(services: Services, step: Step, *, lookup_seconds: float) -> tuple[Step, JobStatus | None]:
    """The step with its job, looked up by its key when its id was never recorded, and the job's status."""
    if step.state.is_terminal:
        return step, None
    if step.job_id is None:
        job_id = find_job(services, step, seconds=lookup_seconds)
        if job_id is None:
            return step, None
        step = services.store.record_job(step.id, job_id)
    assert step.job_id is not None
    return step, services.jobs.status(step.job_id)


def _move(services: Services, trial: Trial, to: TrialState, reason: str, by: str = SYSTEM) -> Trial:
    return services.store.move_trial(
        trial.experiment_id, trial.number, epoch=trial.epoch, to=to, reason=reason, by=by
    )


class _SubmitRefused(StateError):
    """Nobody would watch the job."""


class _NoSubmits:
    """A JobService for looking and stopping only."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    def submit(self, payload: JobPayload, *, submission_key: str, store_uuid: str) -> str:  # noqa: ARG002
        raise _SubmitRefused("its task is gone: no job is started for it")

    def check(self) -> str:
        return self._jobs.check()

    def find(self, *, submission_key: str, store_uuid: str, since: datetime) -> str | None:
        return self._jobs.find(submission_key=submission_key, store_uuid=store_uuid, since=since)

    def status(self, job_id: str) -> JobStatus:
        return self._jobs.status(job_id)

    def stop(self, job_id: str) -> None:
        self._jobs.stop(job_id)

    def logview(self, job_id: str, *, hours: int = 1) -> Mapping[str, str]:
        return self._jobs.logview(job_id, hours=hours)

    def list_owned(self, *, store_uuid: str, since: datetime, unended: bool = False) -> Sequence[OwnedJob]:
        return self._jobs.list_owned(store_uuid=store_uuid, since=since, unended=unended)
