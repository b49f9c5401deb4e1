"""What must hold at the end, whatever happened: pure checks over evidence. Each names what it found wrong."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.chaos.evidence import DayRow, Evidence, Job, StepRow, TrialRow

_ENDED_STEPS = {"SUCCEEDED", "FAILED", "STOPPED"}
_ENDED_TRIALS = {"SUCCEEDED", "EARLY_STOPPED", "FAILED", "CANCELLED"}
_ENDED_RUNS = {"success", "failed"}
_LIMITS = ("longer than max_training_hours", "longer than max_waiting_hours", "maxTrainingTimeInHour")
_NO_OWNER = ("nobody watched it", "its task ended without it")
_SERVICE_WAS_AWAY = re.compile(r"(OSS|MaxCompute)(:| gave| can't)|experiment store")
"""What a trial is told to have failed of when no try of its task got through."""
_SAME = 1e-6
"""Event files hold 32-bit floats."""


@dataclass(frozen=True)
class Violation:
    check: str
    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.check}: {self.about}: {self.what}"


def audit(evidence: Evidence) -> dict[str, list[Violation]]:
    """Violations by the name of the check; a check without any is there with an empty list."""
    return {
        name: [Violation(name, about, what) for about, what in check(evidence)]
        for name, check in CHECKS.items()
    }


Found = Iterator[tuple[str, str]]


def jobs_are_steps(evidence: Evidence) -> Found:
    """Every job was begun as a step, each step has one job, and both know each other."""
    steps = {step.key: step for step in evidence.steps}
    of_key: dict[str, list[Job]] = defaultdict(list)
    for job in _ours(evidence):
        of_key[job.key].append(job)
    for key, jobs in of_key.items():
        ids = ", ".join(job.id for job in jobs)
        if len(jobs) > 1:
            yield key, f"{len(jobs)} jobs of one submission key: {ids}"
        step = steps.get(key)
        if step is None:
            yield ids, f"submitted with the key {key}, of which the store knows nothing"
        elif step.job_id is not None and step.job_id not in {job.id for job in jobs}:
            yield _name(step), f"is recorded as job {step.job_id}, the service has {ids}"
        elif step.job_id is None and step.state != "STOPPED":
            yield _name(step), f"ended as {step.state} without knowing its job {ids}"
    for step in evidence.steps:
        if step.job_id is not None and step.key not in of_key:
            yield _name(step), f"names job {step.job_id}, which the service never had"


def nothing_runs(evidence: Evidence) -> Found:
    """No job, process, step, trial, lease or run is left open."""
    for job in evidence.jobs:
        if job.ended is None:
            yield job.id, f"still {job.status}, in {job.model_dir}"
    if evidence.processes_alive:
        yield "the service", f"{evidence.processes_alive} training processes run or wait"
    for step in evidence.steps:
        if step.state not in _ENDED_STEPS:
            yield _name(step), f"is {step.state}"
    for trial in evidence.trials:
        if trial.state not in _ENDED_TRIALS:
            yield _name(trial), f"is {trial.state} {trial.reason}".strip()
    for lease in evidence.leases:
        yield lease, "its lease was never given back"
    for run, state in evidence.runs.items():
        if state not in _ENDED_RUNS:
            yield run, f"is {state}"


def trained_once(evidence: Evidence) -> Found:
    """A job trains once, and no two train in one model_dir."""
    for job in evidence.jobs:
        if job.processes > 1:
            yield job.id, f"was started {job.processes} times"
    folders = Counter(job.model_dir for job in evidence.jobs if job.trains and job.processes)
    for folder, count in folders.items():
        if count > 1:
            yield folder, f"{count} jobs trained in it"


def results_are_whole(evidence: Evidence) -> Found:
    """What the store holds is what the event files say: nothing lost, doubled or invented."""
    for step in evidence.steps:
        found = evidence.results.get(step.key, ())
        written = evidence.evaluations.get(step.model_dir, {})
        for number, count in Counter(number for number, _ in found).items():
            if count > 1:
                yield _name(step), f"step {number} is recorded {count} times"
        for number, objective in found:
            if number not in written:
                yield _name(step), f"step {number} is recorded, but no event file has it"
            elif not _same(objective, written[number]):
                yield _name(step), f"step {number}: recorded {objective}, written {written[number]}"
        lost = sorted(set(written) - {number for number, _ in found})
        if step.state == "SUCCEEDED" and lost and found:
            yield _name(step), f"evaluations of steps {lost} were never recorded"


def reasons_are_true(evidence: Evidence) -> Found:
    """Every trial's end agrees with what became of its last job.

    A poor job may end by itself before the stop arrives, well or not: then the store saw no failure of it.
    """
    jobs = {job.key: job for job in _ours(evidence)}
    last: dict[tuple[str, int], StepRow] = {}
    for step in sorted(evidence.steps, key=lambda s: (s.epoch, s.attempt)):
        last[step.experiment, step.trial] = step
    for trial in evidence.trials:
        known = last.get((trial.experiment, trial.number))
        job = jobs.get(known.key) if known is not None else None
        wrong = _untrue(trial, known, job, evidence)
        if wrong:
            yield _name(trial), wrong


def _untrue(trial: TrialRow, step: StepRow | None, job: Job | None, evidence: Evidence) -> str:
    status = "none" if job is None else job.status
    said = f"{trial.state} ({trial.reason or 'no reason'}), its last job: {status}"
    if trial.state == "SUCCEEDED":
        return "" if status == "Success" else said
    if not trial.reason:
        return said
    if trial.state == "EARLY_STOPPED":
        by_itself = status == "Success" or (
            step is not None and step.state == "STOPPED" and status == "Failed"
        )
        return "" if job is not None and (job.stopped or by_itself) else said
    if trial.state == "FAILED":
        limits = any(words in trial.reason for words in (*_LIMITS, *_NO_OWNER))
        no_try_left = status != "Success" and _SERVICE_WAS_AWAY.search(trial.reason)
        return "" if status == "Failed" or limits or no_try_left else said
    if trial.state == "CANCELLED":
        owed = trial.task in evidence.acted_on or any(words in trial.reason for words in _NO_OWNER)
        return "" if owed else said
    return ""


def the_tuner_was_told_the_truth(evidence: Evidence) -> Found:
    """A value that counts for the tuner is the last one that the trial's event files hold."""
    steps = _last_steps(evidence.steps)
    for trial in evidence.trials:
        if not trial.is_search:
            continue
        counts = trial.state in ("SUCCEEDED", "EARLY_STOPPED")
        if trial.told != counts:
            yield _name(trial), f"is {trial.state}, and {'was' if trial.told else 'was not'} told"
        step = steps.get((trial.experiment, trial.number))
        if not counts or step is None:
            continue
        found = evidence.results.get(step.key, ())
        if trial.metric is None or not found:
            if trial.state == "SUCCEEDED":
                yield _name(trial), f"metric {trial.metric} with {len(found)} results"
            continue
        written = evidence.evaluations.get(step.model_dir, {})
        if trial.state == "SUCCEEDED" and written:
            final = written[max(written)]
            if not _same(trial.metric, final):
                yield _name(trial), f"was told with {trial.metric}, its files end with {final}"
        elif not any(_same(trial.metric, value) for value in written.values()):
            yield _name(trial), f"was told with {trial.metric}, which no event file has"


def days_make_one_chain(evidence: Evidence) -> Found:
    """Each day trained and promoted, from the exact checkpoint of the day before; one at a time."""
    days = {day.bizdate: day for day in evidence.days if day.state == "PROMOTED"}
    before: DayRow | None = None
    jobs = {job.model_dir: job for job in evidence.jobs if job.trains and job.status == "Success"}
    for bizdate in evidence.days_wanted:
        day = days.get(bizdate)
        if day is None:
            states = [d.state for d in evidence.days if d.bizdate == bizdate]
            yield bizdate, f"was never promoted ({', '.join(states) or 'never begun'})"
            continue
        expected = before.checkpoint_out if before else f"{evidence.origin}/model.ckpt-"
        real = evidence.trained_from.get(_folder(day.checkpoint_out), "nothing")
        if not real.startswith(expected) or (before and real != expected):
            yield bizdate, f"was trained from {real}, the day before left {expected}"
        if _folder(day.checkpoint_out) not in jobs:
            yield bizdate, f"{day.checkpoint_out} was left by no job that succeeded"
        before = day
    yield from _overlaps(evidence)
    if list(evidence.promotions) != list(range(1, len(evidence.promotions) + 1)):
        yield "promotions", f"are numbered {list(evidence.promotions)}"


def _overlaps(evidence: Evidence) -> Found:
    finetune = [j for j in evidence.jobs if "/finetune/" in j.model_dir and j.trains]
    finetune.sort(key=lambda job: job.started)
    for earlier, later in itertools.pairwise(finetune):
        if earlier.ended is None or later.started < earlier.ended:
            yield later.model_dir, f"was submitted before {earlier.model_dir} had ended"


def _ours(evidence: Evidence) -> Sequence[Job]:
    return [job for job in evidence.jobs if job.by_store]


def _last_steps(steps: Sequence[StepRow]) -> Mapping[tuple[str, int], StepRow]:
    ordered = sorted(steps, key=lambda s: (s.epoch, s.attempt))
    return {(step.experiment, step.trial): step for step in ordered}


def _same(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME)


def _folder(checkpoint: str) -> str:
    return checkpoint.rpartition("/")[0]


def _name(row: StepRow | TrialRow) -> str:
    if isinstance(row, TrialRow):
        return f"trial {row.number} of {row.experiment}"
    return f"epoch {row.epoch} attempt {row.attempt} of trial {row.trial} of {row.experiment}"


CHECKS: dict[str, Callable[[Evidence], Found]] = {
    "jobs submitted = steps begun": jobs_are_steps,
    "nothing runs": nothing_runs,
    "none trained twice": trained_once,
    "no result lost or doubled": results_are_whole,
    "every end has a true reason": reasons_are_true,
    "the tuner was told the truth": the_tuner_was_told_the_truth,
    "one chain of days": days_make_one_chain,
}
