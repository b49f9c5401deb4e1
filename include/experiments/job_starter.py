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
from include.errors import AlreadyExistsError, OutcomeUnknownError, PermanentError, RetryableError
from include.experiments.services import Services
from include.names import StepId
from include.ports import JobPayload
from include.store import Step, StepState

log = logging.getLogger(__name__)

_LOOKUP_EVERY = 3.0
_CLOCK_MARGIN = timedelta(minutes=10)
_RESENDS = 3


class JobStarter:
    """Starts the job of a step at most once, whatever dies in between."""

    def __init__(self, services: Services, *, lookup_seconds: float) -> None:
        """``lookup_seconds``: how long a lost answer is looked up before the same key is sent again."""
        self._services = services
        self._lookup_seconds = lookup_seconds

    def start(
        self, step_id: StepId, *, model_dir: str, payload: JobPayload, makes_model: bool = True
    ) -> Step:
        """The step with its job running: a new job, or the one that an earlier try started.

        ``makes_model``: the job fills model_dir, which therefore must be empty and becomes its own.

        Raises RetryableError when the service can't be reached (nothing is lost: call again), and
        PermanentError when model_dir belongs to something else or the service refuses the job.
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
        if makes_model:
            self._own(model_dir, key)
        job_id = find_job(self._services, step, seconds=self._lookup_seconds) if known is not None else None
        if job_id is not None:
            log.info("job %s of submission key %s found: adopted, not submitted again", job_id, key)
        else:
            job_id = self._submit(step, payload)
        return store.record_job(step_id, job_id)

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

        EasyRec would silently go on from a checkpoint that lies there (reference section 4).
        """
        marker = names.owner_marker(model_dir)
        objects = self._services.objects
        mine = {"store": self._services.store.uuid, "submission_key": key}
        try:
            objects.write(marker, json.dumps(mine).encode(), overwrite=False)
        except AlreadyExistsError:
            owner = json.loads(objects.read(marker))
            if owner != mine:
                raise PermanentError(
                    "model_dir belongs to another job",
                    where=model_dir,
                    hint=f"its marker names {owner}; choose another -Dmodel_dir in the ini",
                ) from None
            return
        strangers = [
            found.url
            for found in objects.list(names.join_url(model_dir) + "/")
            if found.url != marker and not found.url.endswith("/")  # a console's "folder" is an empty object
        ]
        if strangers:
            objects.delete(marker)
            raise PermanentError(
                f"model_dir is not empty: {strangers[0]}",
                where=model_dir,
                hint="training would continue from what lies there; choose another -Dmodel_dir or empty it",
            )


def find_job(services: Services, step: Step, *, seconds: float) -> str | None:
    """The job that carries the step's key, looked for until ``seconds`` have passed."""
    started = services.now()
    while True:
        found = services.jobs.find(
            submission_key=step.submission_key,
            store_uuid=services.store.uuid,
            since=step.intended_at - _CLOCK_MARGIN,
        )
        waited = (services.now() - started).total_seconds()
        if found is not None or waited + _LOOKUP_EVERY > seconds:
            return found
        services.sleep(_LOOKUP_EVERY)


def stop_step(services: Services, step: Step, *, reason: str, lookup_seconds: float) -> None:
    """Stop the step's job for good, even when its id was never recorded, and close the step."""
    if step.state.is_terminal:
        return
    job_id = step.job_id or find_job(services, step, seconds=lookup_seconds)
    if job_id is not None:
        services.jobs.stop(job_id)
        log.info("job %s stopped: %s", job_id, reason)
    services.store.end_step(step.id, StepState.STOPPED, reason=reason)
