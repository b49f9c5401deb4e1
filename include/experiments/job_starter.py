"""Exactly one job per step: intend, submit, record (design section 5).

A step is written to the store with its submission key before anything is sent. Whoever comes after a
crash finds the step, looks the key up at the service and adopts the job; the same key is sent again only
after the look-up stayed empty, and the service answers the same key with the same job.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta

from include import names
from include.errors import (
    AlreadyExistsError,
    OutcomeUnknownError,
    PermanentError,
    RetryableError,
    StateError,
)
from include.experiments.services import Services
from include.names import StepId
from include.ports import JobPayload, JobState, JobStatus
from include.store import Step, StepState

log = logging.getLogger(__name__)

_LOOKUP_EVERY = 3.0
CLOCK_MARGIN = timedelta(minutes=10)
"""By which the service's clock may differ from ours."""
_RESENDS = 3
_TRAIN = "train"


class JobStarter:
    """Starts the job of a step at most once, whatever dies in between."""

    def __init__(self, services: Services, *, lookup_seconds: float) -> None:
        """``lookup_seconds``: how long a lost answer is looked up before the same key is sent again."""
        self._services = services
        self._lookup_seconds = lookup_seconds

    def start(self, step_id: StepId, *, model_dir: str, payload: JobPayload) -> Step:
        """The step with its job running: a new job, or the one that an earlier try started.

        Raises RetryableError when the service can't be reached (nothing is lost: call again), StateError
        when somebody ended the trial meanwhile (a job that was on its way is stopped), and PermanentError
        when model_dir belongs to something else or the service refuses the job.
        """
        store = self._services.store
        key = names.submission_key(store.uuid, step_id)
        known = store.step_by_key(key)
        step = store.intend_step(
            step_id,
            submission_key=key,
            model_dir=model_dir,
            payload={
                "xflow_name": payload.xflow_name,
                "xflow_project": payload.xflow_project,
                "parameters": dict(payload.parameters),
            },
        )
        if step.job_id is not None:
            return step
        if payload.parameters.get("cmd", _TRAIN) == _TRAIN:  # other commands read a model_dir that exists
            self._own(model_dir, key)
        job_id = find_job(self._services, step, seconds=self._lookup_seconds) if known is not None else None
        if job_id is not None:
            log.info("job %s of submission key %s found: adopted, not submitted again", job_id, key)
        else:
            job_id = self._submit(step, payload)
        return self._record(step_id, job_id)

    def _record(self, step_id: StepId, job_id: str) -> Step:
        """Record the job; one that nobody can own any more is stopped at once."""
        try:
            step = self._services.store.record_job(step_id, job_id)
        except StateError:  # another try was faster, and the service made two jobs of one key
            self._services.jobs.stop(job_id)
            raise
        if step.state.is_terminal:  # who ended it looked for the job before it was there
            self._services.jobs.stop(job_id)
            raise StateError(
                f"the trial was stopped while its job {job_id} was being submitted; the job is stopped, too",
                hint=step.reason,
            )
        return step

    def _submit(self, step: Step, payload: JobPayload) -> str:
        store = self._services.store
        for _ in range(_RESENDS):
            try:
                return self._services.jobs.submit(
                    payload, submission_key=step.submission_key, store_uuid=store.uuid
                )
            except OutcomeUnknownError as error:
                log.warning(
                    "the answer to submission %s was lost (%s); looking it up", step.submission_key, error
                )
            found = find_job(self._services, step, seconds=self._lookup_seconds)
            if found is not None:
                return found
        raise RetryableError(
            f"submission {step.submission_key} was sent {_RESENDS} times and no answer arrived",
            hint="the next try looks it up before it sends anything",
        )

    def _own(self, model_dir: str, key: str) -> None:
        """Mark an empty model_dir as this step's; refuse one that holds anything else.

        EasyRec would silently go on from a checkpoint that lies there (reference section 4). The marker
        comes last, so that a marker of ours means that this look has been taken.
        """
        marker = names.owner_marker(model_dir)
        objects = self._services.objects
        mine = json.dumps({"store": self._services.store.uuid, "submission_key": key}).encode()
        there = [
            found.url
            for found in objects.list(names.join_url(model_dir) + "/")
            if not found.url.endswith("/")  # a console's "folder" is an empty object
        ]
        if marker not in there:
            if there:
                raise PermanentError(
                    f"model_dir is not empty: {there[0]}",
                    where=model_dir,
                    hint="training would continue from what lies there; choose another -Dmodel_dir or empty it",
                )
            try:
                objects.write(marker, mine, overwrite=False)
                return
            except AlreadyExistsError:
                log.info("%s appeared just now", marker)
        owner = objects.read(marker)
        if owner != mine:
            raise PermanentError(
                "model_dir belongs to another job",
                where=model_dir,
                hint=f"its marker says {owner[:200].decode(errors='replace')}; choose another -Dmodel_dir in the ini",
            )


def find_job(services: Services, step: Step, *, seconds: float) -> str | None:
    """The job that carries the step's key, looked for until ``seconds`` have passed."""
    started = services.now()
    while True:
        found = services.jobs.find(
            submission_key=step.submission_key,
            store_uuid=services.store.uuid,
            since=step.intended_at - CLOCK_MARGIN,
        )
        waited = (services.now() - started).total_seconds()
        if found is not None or waited + _LOOKUP_EVERY > seconds:
            return found
        services.sleep(_LOOKUP_EVERY)


def record_end(services: Services, step: Step, status: JobStatus) -> Step:
    """Close the step of a job that has ended, as it ended."""
    state, reason = {
        JobState.SUCCEEDED: (StepState.SUCCEEDED, ""),
        JobState.FAILED: (StepState.FAILED, status.message or "the job failed"),
        JobState.CANCELLED: (StepState.STOPPED, "the job was stopped outside of this experiment"),
    }[status.state]
    return services.store.end_step(step.id, state, reason, ended_at=status.ended_at)


def stop_step(services: Services, step: Step, *, reason: str, lookup_seconds: float) -> None:
    """Stop the step's job for good, even when its id was never recorded, and close the step.

    Move its trial on first: then no further job can be intended for it, and a submit that is on its way
    stops its own job when it finds the step closed.
    """
    if step.state.is_terminal:
        return
    job_id = step.job_id or find_job(services, step, seconds=lookup_seconds)
    if job_id is not None:
        services.jobs.stop(job_id)
        log.info("job %s stopped: %s", job_id, reason)
    try:
        ended = services.store.end_step(step.id, StepState.STOPPED, reason=reason)
    except StateError:  # it came to its own end after ``step`` was read
        return
    if ended.job_id is not None and ended.job_id != job_id:  # recorded after ``step`` was read
        services.jobs.stop(ended.job_id)
        log.info("job %s stopped: %s", ended.job_id, reason)
