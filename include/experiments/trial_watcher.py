"""Follows one trial's job to its end: state, metrics, assessor, deadlines.

``poll`` is one bounded round; the trigger calls it every few seconds. Everything it learns is in the store
before it returns, so that a watcher can be thrown away at any moment and another one goes on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from include import names
from include.errors import MetricError, NotFoundError, RetryableError, StateError
from include.experiments import step_results
from include.experiments.checkpoints import find_checkpoint
from include.experiments.job_starter import record_end, stop_step
from include.experiments.services import Services
from include.experiments.trial_job import TrialJob
from include.experiments.trial_plan import TrialPlan
from include.jobs import payload
from include.metrics.events import EventFollower
from include.metrics.objective import Objective
from include.ports import Decision, JobState, JobStatus
from include.search.trial import TrialState
from include.store import ExperimentState, RecordedResult, Result, Step, StepState, Trial
from include.texts import utf8

log = logging.getLogger(__name__)

_POLLS_FOR_LATE_METRICS = 3
"""A job that ended without its last result is polled this often again: its event file may show up late."""

_TIME_OUT_MARGIN = timedelta(minutes=5)
"""The service looks at its time limit from time to time only, and tells times to the second."""


class TrialWatcher:
    def __init__(
        self, services: Services, plan: TrialPlan, *, experiment: str, trial: int, epoch: int
    ) -> None:
        self._services = services
        self._plan = plan
        self._experiment = experiment
        self._number = trial
        self._epoch = epoch
        self._assessor = plan.assessor(services.make_assessor)
        self._follower: EventFollower | None = None
        self._objective: Objective | None = None
        self._unrecorded: list[Result] = []
        self._config_checked = False
        # A watcher before this one may have died between recording results and judging them.
        self._unjudged = True
        self._late_polls = 0

    def poll(self) -> Trial:
        """One round: record what is new, act on it, return the trial as it is now.

        Raises RetryableError when the outside can't be reached; poll again later.
        """
        store = self._services.store
        trial = store.trial(self._experiment, self._number)
        if trial.state.is_terminal or trial.epoch != self._epoch:
            self._stop_steps(trial.reason or "the trial has ended")
            return trial
        step = store.latest_step(self._experiment, self._number, epoch=self._epoch)
        if step is not None and step.state.is_terminal and not self._job().leads_on(trial, step):
            return self._conclude(trial, step)  # its record was interrupted
        if step is None or step.job_id is None or trial.state is TrialState.WAITING:
            return self._job().ensure(trial)  # its submit was interrupted
        status = self._services.jobs.status(step.job_id)  # before the events: what it wrote is seen below
        trial, step = self._note_running(trial, step, status)
        try:
            self._look(trial, step, status)
        except MetricError as error:
            return self._metric_missing(trial, step, error)
        except RetryableError:
            # Trouble with metrics is no reason to train on for ever.
            checked = trial if status.state.is_terminal else self._check_deadlines(trial, step, status)
            if checked.state.is_terminal:
                return checked
            raise
        if status.state.is_terminal:
            return self._job_ended(trial, step, status)
        verdict = None if self._plan.judges_whole_steps else self._judge()
        if verdict is not None and verdict.stop:
            return self._stop(trial, step, TrialState.EARLY_STOPPED, verdict.reason)
        return self._check_deadlines(trial, step, status)

    def is_over(self) -> bool:
        """Whether the trial has ended or was cleared, by the store alone: a person may have stopped it."""
        trial = self._services.store.trial(self._experiment, self._number)
        return trial.state.is_terminal or trial.epoch != self._epoch

    def cancel(self, reason: str) -> Trial:
        """A person ended the task: record why, then stop the job.

        In this order, because a poll may be replacing a failed job at this very moment.
        """
        trial = self._services.store.trial(self._experiment, self._number)
        if trial.epoch == self._epoch and not trial.state.is_terminal:
            try:
                trial = self._move(trial, TrialState.CANCELLED, reason)
            except StateError:  # it ended or was cleared just now
                trial = self._services.store.trial(self._experiment, self._number)
        self._stop_steps(reason)
        return trial

    def _stop_steps(self, reason: str) -> None:
        for step in self._services.store.steps(self._experiment, self._number):
            if step.id.epoch == self._epoch:
                self._stop_step(step, reason)

    def _stop_step(self, step: Step, reason: str) -> None:
        seconds = self._plan.settings.lost_answer_seconds
        stop_step(self._services, step, reason=reason, lookup_seconds=seconds)

    def _job(self) -> TrialJob:
        return TrialJob(self._services, self._plan)

    def _note_running(self, trial: Trial, step: Step, status: JobStatus) -> tuple[Trial, Step]:
        if status.state is JobState.WAITING or trial.state is TrialState.RUNNING:
            return trial, step
        step = self._services.store.step_running(step.id, started_at=status.started_at)
        return self._move(trial, TrialState.RUNNING), step

    def _look(self, trial: Trial, step: Step, status: JobStatus) -> None:
        """Record new results; compare what EasyRec says it ran, at the latest when the job has succeeded."""
        if self._record_results(step):
            self._unjudged = True
        if not self._config_checked and (self._unjudged or status.state is JobState.SUCCEEDED):
            self._check_saved_config(trial, step)

    def _judge(self) -> Decision | None:
        """The assessor's verdict on results that it has not seen; None without any."""
        if self._assessor is None or not self._unjudged:
            return None
        histories = self._histories()
        verdict = None
        if histories.get(self._number):
            verdict = self._assessor.assess(self._number, histories, finished=self._finished())
        self._unjudged = False
        return verdict

    def _record_results(self, step: Step) -> int:
        if not self._plan.weights:
            return 0
        if self._follower is None or self._objective is None:
            self._follower = EventFollower(self._services.objects, names.eval_events_prefix(step.model_dir))
            self._objective = Objective(self._plan.weights)
            self._unrecorded = []
        self._unrecorded += [
            Result(
                global_step=r.global_step,
                objective=r.objective,
                metrics=r.metrics,
                wall_time=r.wall_time,
            )
            for r in self._objective.collect(self._follower.poll())
        ]
        if not self._unrecorded:
            return 0
        new = self._services.store.record_results(step.id, self._unrecorded)
        self._unrecorded = []  # only now: the follower tells nothing twice
        return new

    def _check_saved_config(self, trial: Trial, step: Step) -> None:
        """Compare the config that EasyRec saved with the one that was meant (reference section 4)."""
        url = names.saved_pipeline_config(step.model_dir)
        try:
            saved = utf8(self._services.objects.read(url), url)
        except NotFoundError:
            return  # not written yet: looked at again with the next results
        wrong = self._plan.not_applied(
            trial.parameters, saved, step=step.id.step, sent=lambda: self._sent_config(step)
        )
        self._config_checked = True
        if wrong:
            raise MetricError(
                "EasyRec ran other parameters than this trial's: " + "; ".join(wrong),
                hint="see pipeline.config in the trial's model_dir",
            )

    def _sent_config(self, step: Step) -> str:
        """The config that the step's job got, as it is now; empty when it is gone."""
        url = step.payload["parameters"]["config"]
        try:
            return utf8(self._services.objects.read(url), url)
        except NotFoundError:
            return ""

    def _metric_missing(self, trial: Trial, step: Step, error: MetricError) -> Trial:
        """Every further trial would end the same way: no new ones are asked (reference R9)."""
        store = self._services.store
        if not store.experiment(self._experiment).state.is_terminal:
            store.set_experiment_state(
                self._experiment, ExperimentState.FAILED, reason=str(error), by="trigger"
            )
        return self._stop(trial, step, TrialState.FAILED, str(error))

    def _job_ended(self, trial: Trial, step: Step, status: JobStatus) -> Trial:
        """Close the step first; the trial's end follows from the closed step, also after a crash."""
        if (
            status.state is JobState.SUCCEEDED
            and self._plan.weights
            and self._late_polls < _POLLS_FOR_LATE_METRICS
            and self._lacks_metrics(step)
        ):
            self._late_polls += 1
            return trial
        return self._conclude(trial, record_end(self._services, step, status))

    def _lacks_metrics(self, step: Step) -> bool:
        """Whether an evaluation of a job that has ended may still show up: a record that is not whole, or none of
        the newest checkpoint, which EasyRec evaluates last."""
        results = self._results(step)
        if not results or (self._follower is not None and self._follower.is_torn):
            return True
        try:
            newest = find_checkpoint(self._services.objects, step.model_dir)
        except NotFoundError:
            return False
        return max(result.global_step for result in results) < newest.step

    def _conclude(self, trial: Trial, step: Step) -> Trial:
        """What the end of a step means for its trial."""
        if step.state is StepState.STOPPED:
            return self._move(trial, TrialState.CANCELLED, step.reason)
        if step.state is StepState.FAILED:
            return self._job_failed(trial, step)
        if not self._plan.weights:
            return self._next(trial, step) or self._move(trial, TrialState.SUCCEEDED)
        results = self._results(step)
        final = self._plan.final_result(results)
        if final is not None and self._diverged(results):
            reason = f"the last evaluation (step {results[-1].global_step}) is NaN or infinite: it diverged"
            return self._move(trial, TrialState.FAILED, self._on(step, reason), metric=math.nan)
        if final is not None:
            return self._next(trial, step) or self._succeeded(trial)
        if results:  # NaN teaches the tuner that these parameters diverge
            reason = "every value of the objective is NaN or infinite"
            return self._move(trial, TrialState.FAILED, self._on(step, reason), metric=math.nan)
        wanted = ", ".join(self._plan.weights)
        reason = f"the job ended without one evaluation that has all of {wanted}"
        return self._move(trial, TrialState.FAILED, self._on(step, reason))

    def _next(self, trial: Trial, step: Step) -> Trial | None:
        """A step has succeeded: go on with the next one, unless the trial is poor. None after the last."""
        if step.id.step + 1 >= self._plan.step_count:
            return None
        self._unjudged = True
        verdict = self._judge() if self._plan.judges_whole_steps else None
        if verdict is not None and verdict.stop:
            return self._stop(trial, step, TrialState.EARLY_STOPPED, self._on(step, verdict.reason))
        self._forget_job()
        waiting = self._move(trial, TrialState.WAITING, self._on(step, "succeeded"))
        return self._job().ensure(waiting)

    def _succeeded(self, trial: Trial) -> Trial:
        """The last step has: the trial's metric is the mean over all of them, and none may be missing."""
        finals = step_results.values_of_steps(self._plan, self._results())
        missing = step_results.missing(self._plan, finals)
        if missing:
            reason = f"no finite metric of {missing}: the mean over the other days would hide it"
            return self._move(trial, TrialState.FAILED, reason)
        metric, metrics = step_results.mean([final for final in finals if final is not None])
        return self._move(trial, TrialState.SUCCEEDED, metric=metric, metrics=metrics)

    def _on(self, step: Step, reason: str) -> str:
        name = self._plan.step_name(step.id.step)
        return f"{name}: {reason}" if name else reason

    def _diverged(self, results: Sequence[Result]) -> bool:
        """The model that was saved last is the one that counts, unless the best evaluation does."""
        return self._plan.settings.final_metric == "last" and not math.isfinite(results[-1].objective)

    def _job_failed(self, trial: Trial, step: Step) -> Trial:
        reason = self._on(step, f"job {step.job_id} failed: {step.reason}")
        retries = self._plan.settings.max_trial_retries
        if _used_its_time(step):  # another one would cost as much and end the same way
            return self._move(
                trial,
                TrialState.FAILED,
                f"{reason} (it trained for its whole -D{payload.HOURS}: not replaced)",
            )
        if step.id.attempt >= retries:
            return self._move(trial, TrialState.FAILED, reason)
        log.warning("%s: attempt %d of %d", reason, step.id.attempt + 2, retries + 1)
        self._forget_job()
        waiting = self._move(trial, TrialState.WAITING, reason)
        return self._job().ensure(waiting)

    def _forget_job(self) -> None:
        """Another job follows, with events and a config of its own."""
        self._follower = None
        self._config_checked = False
        self._late_polls = 0

    def _finished(self) -> set[int]:
        trials = self._services.store.trials(self._experiment)
        return {t.number for t in trials if t.state is TrialState.SUCCEEDED}

    def _results(self, step: Step | None = None) -> Sequence[RecordedResult]:
        results = self._services.store.results(self._experiment, self._number)
        return results if step is None else step_results.of_step(results, step.id.step)

    def _histories(self) -> Mapping[int, Sequence[float]]:
        store = self._services.store
        if not self._plan.judges_whole_steps:
            return store.objective_histories(self._experiment)
        epochs = {t.number: t.epoch for t in store.trials(self._experiment)}
        steps, results = store.steps(self._experiment), store.results(self._experiment)
        return step_results.histories(self._plan, results, steps, epochs)

    def _check_deadlines(self, trial: Trial, step: Step, status: JobStatus) -> Trial:
        """Airflow enforces no time limit on a deferred task, so these live here (design section 5.5)."""
        settings, now = self._plan.settings, self._services.now()
        submitted = step.submitted_at or step.intended_at
        if status.state is JobState.WAITING:
            if now - submitted > timedelta(hours=settings.max_waiting_hours):
                reason = f"the job waited longer than max_waiting_hours ({settings.max_waiting_hours:g} h)"
                return self._stop(trial, step, TrialState.FAILED, reason)
            return trial
        started = step.started_at or submitted
        limit = self._plan.max_trial_duration
        if limit is not None and self._trained_before(step) + (now - started) > limit:
            return self._stop(trial, step, TrialState.EARLY_STOPPED, f"maxTrialDuration ({limit}) is over")
        return self._overdue(trial, step, started, now)

    def _trained_before(self, step: Step) -> timedelta:
        """How long the jobs of the trial's earlier steps trained."""
        steps = self._services.store.steps(self._experiment, self._number)
        times = [
            s.ended_at - s.started_at
            for s in steps
            if s.id.epoch == step.id.epoch and s.id.step < step.id.step and s.started_at and s.ended_at
        ]
        return sum(times, timedelta())

    def _overdue(self, trial: Trial, step: Step, started: datetime, now: datetime) -> Trial:
        hours = self._plan.settings.max_training_hours
        if now - started > timedelta(hours=hours):
            reason = f"the job trained longer than max_training_hours ({hours:g} h)"
            return self._stop(trial, step, TrialState.FAILED, reason)
        return trial

    def _stop(self, trial: Trial, step: Step, to: TrialState, reason: str) -> Trial:
        """Record the verdict, then stop the job: a crash in between is mended by the next poll."""
        finals = step_results.values_of_steps(self._plan, self._results())
        if self._plan.judges_whole_steps and step.state is not StepState.SUCCEEDED:
            finals[step.id.step] = None  # it is not whole
        known = [final for final in finals if final is not None]
        if to is TrialState.EARLY_STOPPED and known:
            metric, metrics = step_results.mean(known)
            moved = self._move(trial, to, reason, metric=metric, metrics=metrics)
        else:
            moved = self._move(trial, to, self._on(step, reason) if to is TrialState.FAILED else reason)
        self._stop_step(step, reason)
        return moved

    def _move(
        self,
        trial: Trial,
        to: TrialState,
        reason: str = "",
        *,
        metric: float | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> Trial:
        moved = self._services.store.move_trial(
            trial.experiment_id,
            trial.number,
            epoch=self._epoch,
            to=to,
            reason=reason,
            metric=metric,
            metrics=metrics,
        )
        log.info("trial %d: %s %s", trial.number, moved.state.value, reason)
        return moved


def _used_its_time(step: Step) -> bool:
    """Whether a failed job trained as long as the service allows it to."""
    if step.started_at is None or step.ended_at is None:
        return False
    hours = int(step.payload["parameters"][payload.HOURS])
    return step.ended_at - step.started_at >= timedelta(hours=hours) - _TIME_OUT_MARGIN
