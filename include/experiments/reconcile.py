"""Compares the store, Airflow and MaxCompute's own list of our jobs, and ends what nobody owns (design 5.4).

Safe to run at any time and again: an owner that may still be there, a task that was just cleared and
anything that changed in the last two minutes are left for the next round. Jobs of another store's UUID are
never touched, and those of ours that the store doesn't know only when a person wants it: they may be those of
a store that this one is a copy of (adr 0008).
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from include.errors import EasyRecAutoMLError, StateError, as_one
from include.experiments.closing import publish_report
from include.experiments.services import Services, utc_now
from include.experiments.trial_job import RECONCILE
from include.experiments.trial_plan import TrialPlan
from include.experiments.unowned import Done, Finding, end_unowned, why_stray
from include.notices import Kind, Notice, Tell, tell_nobody
from include.ports import JobService, OwnedJob
from include.store import SEARCHES, Experiment, ExperimentState, ExperimentStore, RunKey, TaskKey, Trial

log = logging.getLogger(__name__)

GRACE = timedelta(minutes=2)
"""What changed more recently is left alone: its owner may be at it right now."""
_LOOK_BACK = timedelta(days=60)
"""Jobs that were started earlier are not looked for in the project's list."""
_UNKNOWN_TOLD = "unknown_job_told"
_UNKNOWN_HINT = (
    "if no other Airflow uses this store or a copy of it, trigger easyrec_reconcile with stop_unknown; "
    "else run python -m include.cli store separate on the copy"
)


class _UnknownJobError(StateError):
    """A job with our UUID that the store doesn't know."""


class Owner(enum.Enum):
    """Whether a task instance still looks after its trial."""

    AT_WORK = "at work"
    """It runs, waits deferred, or will be tried again."""
    UNKNOWN = "unknown"
    """Just cleared, or in a state that we don't know: nothing is stopped on a doubt."""
    GONE = "gone"


class Tasks(Protocol):
    """What Airflow says of its tasks and runs."""

    def owner(self, task: TaskKey) -> tuple[Owner, str]:
        """Whether the task instance looks after its trial, and its state in words."""
        ...

    def is_over(self, run: RunKey) -> bool:
        """Whether the DAG run neither runs nor waits to run, or no longer exists."""
        ...


@dataclass(frozen=True)
class Project:
    """One MaxCompute project that jobs may run in. ``name``: for people; ``tell``: who cares for it."""

    name: str
    jobs: JobService
    tell: Tell = tell_nobody


@dataclass
class Report:
    """``errors``: what could not be looked at or stopped; it is tried again in the next round."""

    findings: list[Finding] = field(default_factory=list)
    errors: list[tuple[EasyRecAutoMLError, str]] = field(default_factory=list)

    @property
    def stopped(self) -> list[Finding]:
        return [f for f in self.findings if f.done is Done.STOPPED]

    def add(self, finding: Finding) -> None:
        log.warning("%s: %s", finding.model, finding)
        self.findings.append(finding)

    @contextmanager
    def going_on(self, about: str) -> Iterator[None]:
        """One thing that fails keeps no other from being looked at."""
        try:
            yield
        except EasyRecAutoMLError as error:
            log.error("%s: %s", about, error)
            self.errors.append((error, f"{about}: {error}"))

    def as_dict(self) -> dict[str, list[str]]:
        return {
            **{done.value: [str(f) for f in self.findings if f.done is done] for done in Done},
            "errors": [text for _, text in self.errors],
        }

    def error(self) -> EasyRecAutoMLError | None:
        """All errors as one, retryable when any of them is."""
        hint = "the next round tries again; if it stays, stop the job in the MaxCompute console"
        return as_one(self.errors, hint=hint)


class Reconciler:
    """One round over one store.

    ``services_of``: clients and plan of a trial, from what is recorded of it. ``projects``: where jobs of
    this store may run. ``stop_unknown``: also stop jobs of our UUID that the store doesn't know.
    """

    def __init__(
        self,
        store: ExperimentStore,
        tasks: Tasks,
        services_of: Callable[[str, int], tuple[Services, TrialPlan]],
        projects: Sequence[Project] = (),
        *,
        now: Callable[[], datetime] = utc_now,
        grace: timedelta = GRACE,
        stop_unknown: bool = False,
    ) -> None:
        self._stop_unknown = stop_unknown
        self._store = store
        self._tasks = tasks
        self._services_of = services_of
        self._projects = projects
        self._now = now
        self._grace = grace

    def run(self, report: Report | None = None) -> Report:
        """End what nobody owns, tell people what had to be stopped, and return all that was found."""
        report = report or Report()
        for trial in self._store.unfinished_trials():
            with report.going_on(f"trial {trial.number} of {trial.experiment_id}"):
                self._trial(trial, report)
        for project in self._projects:
            with report.going_on(f"jobs of project {project.name}"):
                self._strays(project, report)
        for experiment in self._store.experiments(kinds=SEARCHES):
            if not experiment.state.is_terminal:
                with report.going_on(experiment.id):
                    self._experiment(experiment, report)
        return report

    def _trial(self, trial: Trial, report: Report) -> None:
        if not self._is_settled(self._last_change(trial)):
            return
        owner, state = self._tasks.owner(trial.task)  # after the trial was read: a clear since is a new epoch
        if owner is not Owner.GONE and not trial.state.is_terminal:
            return  # else a task that waits for its next try, or for a slot, may not stop the job for long
        why = trial.reason if trial.state.is_terminal else ""
        why = why or f"its task {trial.task} {state}, and nobody watched it"
        services, plan = self._services_of(trial.experiment_id, trial.number)
        model = self._store.experiment(trial.experiment_id).model
        stopped: list[Finding] = []
        try:
            for finding in end_unowned(services, plan, trial, model=model, why=why):
                report.add(finding)
                stopped += [finding] if finding.done is Done.STOPPED else []
        except StateError as error:
            now = self._store.trial(trial.experiment_id, trial.number)
            if (now.epoch, now.state) == (trial.epoch, trial.state):
                raise
            log.info("left, for it was cleared or ended at this very moment: %s", error)
        finally:
            _tell(services.tell, model, stopped, (trial.task.dag_id, trial.task.run_id))

    def _last_change(self, trial: Trial) -> datetime:
        times = [trial.asked_at, trial.submitted_at, trial.started_at, trial.ended_at]
        for step in self._store.steps(trial.experiment_id, trial.number):
            times += [step.intended_at, step.submitted_at, step.started_at]
        return max(time for time in times if time is not None)

    def _is_settled(self, last_change: datetime) -> bool:
        return self._now() - last_change >= self._grace

    def _strays(self, project: Project, report: Report) -> None:
        """Jobs with our UUID that the store does not know as open: a backup was restored, or a key had two."""
        since = self._now() - _LOOK_BACK
        stopped, unknown = [], []
        jobs = project.jobs.list_owned(store_uuid=self._store.uuid, since=since, unended=True)
        for job in jobs:
            with report.going_on(f"job {job.job_id} in project {project.name}"):
                try:
                    why = self._why_stray(job)
                except _UnknownJobError:
                    unknown.append(job.job_id)
                    raise
                if not why:
                    continue
                project.jobs.stop(job.job_id)
                finding = Finding(Done.STOPPED, project.name, f"job {job.job_id}", why)
                report.add(finding)
                stopped.append(finding)
        _tell(project.tell, project.name, stopped)
        if unknown:
            self._tell_unknown(project, unknown)

    def _tell_unknown(self, project: Project, job_ids: Sequence[str]) -> None:
        """Once for each job: it costs money until a person decides, and every round finds it again."""
        told = {event.data["job"] for event in self._store.events(None) if event.kind == _UNKNOWN_TOLD}
        new = [job_id for job_id in job_ids if job_id not in told]
        if not new:
            return
        lines = (f"job {', '.join(new)}: the store doesn't know who submitted it", f"to do: {_UNKNOWN_HINT}")
        project.tell(Notice(Kind.UNKNOWN_JOBS, project.name, title=f"{len(new)}", lines=lines))
        for job_id in new:
            self._store.record_event(None, None, _UNKNOWN_TOLD, RECONCILE, {"job": job_id})

    def _why_stray(self, job: OwnedJob) -> str:
        """Why nobody can own a job of ours that has not ended; empty when somebody may.

        Raises _UnknownJobError for one that the store doesn't know, unless those are to be stopped.
        """
        if job.started_at is None or not self._is_settled(job.started_at):
            return ""
        step = self._store.step_by_key(job.submission_key)
        if step is None:
            unknown = (
                f"the store knows no submission key {job.submission_key}: was it restored from a backup?"
            )
            if not self._stop_unknown:
                raise _UnknownJobError(f"it runs on, for {unknown}", hint=_UNKNOWN_HINT)
            return unknown
        if step.ended_at is not None and not self._is_settled(step.ended_at):
            return ""
        return why_stray(step, job)

    def _experiment(self, experiment: Experiment, report: Report) -> None:
        """One whose runs are all over without ``close_experiment``: the list is to tell the truth."""
        if not self._is_settled(experiment.created_at):
            return
        runs = self._store.runs_at_work(experiment.id)
        if not all(self._tasks.is_over(RunKey(experiment.dag_id, run)) for run in runs):
            return
        trials = self._store.trials(experiment.id)
        if not all(trial.state.is_terminal for trial in trials):
            return  # in the next round
        named = ", ".join(runs) or experiment.run_id
        reason = f"its DAG run {named} ended without close_experiment"
        for run in runs or [experiment.run_id]:
            self._store.close_run(
                experiment.id, run_id=run, state=ExperimentState.FAILED, reason=reason, by=RECONCILE
            )
        report.add(Finding(Done.CLOSED, experiment.model, f"experiment {experiment.id} as FAILED", reason))
        if trials:
            with report.going_on(f"the report of {experiment.id} (clear close_experiment to write it)"):
                publish_report(self._services_of(experiment.id, trials[0].number)[0], experiment.id)


def _tell(tell: Tell, model: str, stopped: Sequence[Finding], run: tuple[str, str] | None = None) -> None:
    if stopped:
        lines = (
            *(f"{finding.about}: {finding.why}" for finding in stopped),
            "to do: nothing runs on; look why its task ended without it, and clear the task to train again",
        )
        tell(Notice(Kind.UNOWNED_STOPPED, model, title=f"{len(stopped)}", lines=lines, run=run))
