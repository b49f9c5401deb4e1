"""What a person does to a search while it runs, or after: one function for each action (reference R2, +20).

They serve every way in, the command line and a page alike. Each records who did it, says in words what
happened and what follows, and raises StateError or ConfigError with the reason where it makes no sense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from include.errors import (
    ConfigError,
    EasyRecAutoMLError,
    PermanentError,
    ProblemsError,
    RetryableError,
    StateError,
)
from include.experiments.chain_plan import plan_of
from include.experiments.opening import MOST_TRIALS, check_number
from include.experiments.services import utc_now
from include.names import StepId
from include.ports import Workflow
from include.search.trial import TrialState
from include.store import SEARCHES, Experiment, ExperimentState, ExperimentStore, RunRequest, Trial

MOST_SLOTS = 1000
_GIVEN = "custom_parameters"
_TRIGGERED_WITHIN = timedelta(minutes=1)
_ALIVE = (ExperimentState.RUNNING, ExperimentState.PAUSED)
_JOBS_STOP = (
    "their jobs are stopped within ten seconds; where no triggerer follows one, by the next easyrec_reconcile"
)


@dataclass(frozen=True)
class Control:
    """Who acts on which experiments. ``now`` is here so that tests can drive time."""

    store: ExperimentStore
    workflow: Workflow
    by: str
    now: datetime = field(default_factory=utc_now)


@dataclass(frozen=True)
class Outcome:
    """``said``: what happened, one sentence. ``notes``: what follows from it. ``run_id``: of a run it started."""

    said: str
    notes: tuple[str, ...] = ()
    run_id: str | None = None


def set_concurrency(control: Control, experiment_id: str, slots: int) -> Outcome:
    """Slots of the pool that the model's searches share. Trials that run go on when it is lowered."""
    experiment = search(control.store, experiment_id)
    check_slots(slots)
    pool = pool_of(experiment)
    before = control.workflow.pool_slots(pool)
    control.workflow.set_pool_slots(pool, slots)
    control.store.record_pool(pool, slots)
    data = {"pool": pool, "from": before, "to": slots}
    control.store.record_event(experiment_id, None, "concurrency_changed", control.by, data)
    return Outcome(
        f"{pool} has {slots} slots (before: {before})",
        (f"it caps all searches of {experiment.model} together", "trials that run go on to their end"),
    )


def pool_of(experiment: Experiment) -> str:
    """Name of the Airflow pool that caps a search's trials."""
    return plan_of(experiment.snapshot).settings.pool_of(experiment.model)


def check_slots(slots: int) -> None:
    """Raises ConfigError for a number of trials at once that makes no sense."""
    if not 1 <= slots <= MOST_SLOTS:
        raise ConfigError(
            f"{slots} trials at once make no sense", hint=f"1 to {MOST_SLOTS}; pause to start none"
        )


def stop_trials(control: Control, experiment_id: str, numbers: Sequence[int]) -> Outcome:
    """End these trials and their jobs. Raises ProblemsError, and ends none, when one can't be stopped."""
    search(control.store, experiment_id)
    known = {t.number: t for t in control.store.trials(experiment_id)}
    problems = [f"there is no trial {n}" for n in numbers if n not in known]
    problems += [
        f"trial {n} has ended: {known[n].state.value}"
        for n in numbers
        if n in known and known[n].state.is_terminal
    ]
    if problems or not numbers:
        raise ProblemsError(f"no trial of {experiment_id} was stopped", problems or ["no trial was named"])
    stopped = [n for n in dict.fromkeys(numbers) if _cancel(control, experiment_id, n)]
    if not stopped:
        return Outcome("nothing was left to stop: ended at this moment, or its task was cleared")
    listed = ", ".join(map(str, stopped))
    return Outcome(f"stopped: trial {listed}", (_JOBS_STOP,))


def stop_search(control: Control, experiment_id: str) -> Outcome:
    """No further trial starts, and those that run are ended with their jobs.

    A search that has ended keeps its state; trials of it may still run (one was cleared, or a wrong metric failed
    the search). Raises StateError when nothing of it goes on.
    """
    store, experiment = control.store, search(control.store, experiment_id)
    reason = f"stopped by {control.by}"
    if not experiment.state.is_terminal:
        # First of all: after this nothing asks any more, so that the list below is complete.
        store.set_experiment_state(
            experiment_id, ExperimentState.CANCELLED, reason=reason, by=control.by, only_from=_ALIVE
        )
    waiting = store.waiting_requests(experiment_id)
    for request in waiting:
        store.withdraw_request(request, reason, control.by)
    running = [t.number for t in store.trials(experiment_id) if not t.state.is_terminal]
    stopped = [n for n in running if _cancel(control, experiment_id, n)]
    if experiment.state.is_terminal and not (stopped or waiting):
        why = f": {experiment.reason}" if experiment.reason else ""
        raise StateError(f"{experiment_id} has ended, and nothing of it runs: {experiment.state.value}{why}")
    notes = [] if experiment.state.is_terminal else ["tasks that have not begun are skipped"]
    notes += [_JOBS_STOP] if stopped else []
    if waiting:
        notes.append(f"{len(waiting)} runs that were asked for bring no trials any more")
    return Outcome(f"{experiment_id} is stopped, {len(stopped)} trials with it", tuple(notes))


def pause(control: Control, experiment_id: str) -> Outcome:
    """No new trial starts until ``resume``; trials that run go on."""
    search(control.store, experiment_id)
    control.store.set_experiment_state(
        experiment_id, ExperimentState.PAUSED, reason="", by=control.by, only_from=[ExperimentState.RUNNING]
    )
    return Outcome(
        f"{experiment_id} is paused",
        ("trials that have begun go on", "tasks that wait for the resume keep their slots of the pool"),
    )


def resume(control: Control, experiment_id: str) -> Outcome:
    """End a pause."""
    search(control.store, experiment_id)
    control.store.set_experiment_state(
        experiment_id, ExperimentState.RUNNING, reason="", by=control.by, only_from=[ExperimentState.PAUSED]
    )
    return Outcome(f"{experiment_id} goes on")


def extend(control: Control, experiment_id: str, trials: int) -> Outcome:
    """So many more trials, also for a search that has ended."""
    search(control.store, experiment_id)
    if not 1 <= trials <= MOST_TRIALS:
        raise ConfigError(f"{trials} more trials make no sense", hint=f"1 to {MOST_TRIALS}")
    return _run(control, experiment_id, "extend", {"trials": trials})


def add_trials(control: Control, experiment_id: str, given: Sequence[Mapping[str, Any]]) -> Outcome:
    """Trials with given parameters: points of the search space. Raises ProblemsError with all that is wrong."""
    experiment = search(control.store, experiment_id)
    check_number(len(given))
    problems = [] if given else ["no parameters were given"]
    for number, parameters in enumerate(given):
        problems += [f"parameters {number}: {p}" for p in outside(experiment, parameters)]
    if problems:
        raise ProblemsError(f"nothing was added to {experiment_id}", problems)
    return _with_parameters(control, experiment_id, "add", given)


def clone_trial(control: Control, experiment_id: str, number: int, changes: Mapping[str, Any]) -> Outcome:
    """A new trial with the parameters of an earlier one, some of them changed."""
    experiment = search(control.store, experiment_id)
    parameters = {**control.store.trial(experiment_id, number).parameters, **changes}
    if changes and (problems := outside(experiment, parameters)):
        raise ProblemsError(f"trial {number} of {experiment_id} was not cloned", problems)
    return _with_parameters(control, experiment_id, "clone", [parameters])


def retry_failed(control: Control, experiment_id: str, numbers: Sequence[int] = ()) -> Outcome:
    """New trials with the parameters of failed ones: of these, or of all that failed and have no repeat yet."""
    search(control.store, experiment_id)
    trials = {t.number: t for t in control.store.trials(experiment_id)}
    problems = [f"there is no trial {n}" for n in numbers if n not in trials]
    chosen = [trials[n] for n in dict.fromkeys(numbers) if n in trials]
    problems += [
        f"trial {t.number} has not failed: {t.state.value}"
        for t in chosen
        if t.state not in (TrialState.FAILED, TrialState.CANCELLED)
    ]
    failed = chosen if numbers else _unrepeated(control, experiment_id, list(trials.values()))
    if not failed and not problems:
        problems.append("no trial has failed that was not repeated")
    if problems:
        raise ProblemsError(f"nothing of {experiment_id} was repeated", problems)
    return _with_parameters(control, experiment_id, "retry", [t.parameters for t in failed])


def _unrepeated(control: Control, experiment_id: str, trials: Sequence[Trial]) -> list[Trial]:
    """Failed trials, but those whose parameters a later trial has, or one that was asked for."""
    later = [p for r in control.store.waiting_requests(experiment_id) for p in r.conf.get(_GIVEN, ())]
    found = []
    for trial in sorted(trials, key=lambda t: t.number, reverse=True):
        if trial.state is TrialState.FAILED and trial.parameters not in later:
            found.append(trial)
        later.append(trial.parameters)
    return found[::-1]


def search(store: ExperimentStore, experiment_id: str) -> Experiment:
    """The experiment; ConfigError for one that is no search, NotFoundError."""
    experiment = store.experiment(experiment_id)
    if experiment.kind not in SEARCHES:
        raise ConfigError(f"{experiment_id} is a single job, not a search")
    return experiment


def outside(experiment: Experiment, parameters: Mapping[str, Any]) -> list[str]:
    """Why no tuner of this search could have chosen ``parameters``, all reasons."""
    plan = plan_of(experiment.snapshot)
    space = plan.space
    if space.is_batch:
        return [] if space.contains(parameters) else ["not one of the search space's sets"]
    problems = [f"{key!r} is missing" for key in space if key not in parameters]
    for key, value in parameters.items():
        if key not in space:
            problems.append(f"{key!r} is no key of the search space (its keys: {', '.join(space)})")
        elif not space.domains[key].contains(value):
            problems.append(f"{key!r}: {value!r} is not in {_in_words(space[key])}")
    if not problems:
        try:
            plan.render_trial(StepId("check", 0), parameters)
        except EasyRecAutoMLError as error:
            problems.append(str(error))
    return problems


def _in_words(entry: Mapping[str, Any]) -> str:
    """A key's entry of the search space: ``choice(64, 128)``, ``uniform(0.0, 0.1)``."""
    return f"{entry['_type']}({', '.join(map(str, entry.get('_value', ())))})"


def run_requested(control: Control, request: RunRequest) -> None:
    """Start the run of a recorded request. Raises what Airflow says; a refused request is taken back.

    When the answer is lost, Airflow is asked whether the run is there.
    """
    try:
        control.workflow.trigger(request.dag_id, request.run_id, request.conf, by=control.by)
    except RetryableError as error:
        if control.workflow.run_state(request.dag_id, request.run_id) is None:
            raise RetryableError(
                error.message, where=error.where, hint="ask for the same again: it is the same run then"
            ) from error
    except PermanentError as error:
        control.store.drop_request(request, error.message, control.by)
        raise


def forget_lost_requests(control: Control, experiment_id: str) -> None:
    """Runs that ended, or were deleted, before they opened the experiment bring no trials any more."""
    for request in control.store.waiting_requests(experiment_id):
        state = control.workflow.run_state(request.dag_id, request.run_id)
        if state in ("success", "failed"):
            control.store.drop_request(request, f"its run ended: {state}", control.by)
        elif state is None and control.now - request.at > _TRIGGERED_WITHIN:
            control.store.drop_request(request, "there is no such run", control.by)


def _with_parameters(
    control: Control, experiment_id: str, kind: str, given: Sequence[Mapping[str, Any]]
) -> Outcome:
    check_number(len(given))
    conf = {"trials": len(given), _GIVEN: [dict(p) for p in given]}
    return _run(control, experiment_id, kind, conf)


def _run(control: Control, experiment_id: str, kind: str, conf: Mapping[str, Any]) -> Outcome:
    request = _begun_before(control, experiment_id, kind, conf)
    if request is None:
        request = control.store.request_run(experiment_id, kind=kind, conf=conf, by=control.by)
    run_requested(control, request)
    notes = ["they come on top of the maximum and share the model's pool"]
    if control.store.experiment(experiment_id).state is ExperimentState.PAUSED:
        notes.append("the search is paused: they wait for the resume")
    return Outcome(f"run {request.run_id} brings {request.trials} more trials", tuple(notes), request.run_id)


def _begun_before(
    control: Control, experiment_id: str, kind: str, conf: Mapping[str, Any]
) -> RunRequest | None:
    """The same wish, recorded a moment ago, whose run was never made: nothing is asked for twice."""
    wanted = {**conf, "experiment": experiment_id}
    for request in control.store.waiting_requests(experiment_id):
        same = request.conf == wanted and request.run_id.startswith(f"{kind}_") and request.by == control.by
        if same and control.workflow.run_state(request.dag_id, request.run_id) is None:
            return request
    return None


def _cancel(control: Control, experiment_id: str, number: int) -> bool:
    """False when the trial has ended at this moment, or its task was cleared."""
    trial = control.store.trial(experiment_id, number)
    reason = f"stopped by {control.by}"
    try:
        control.store.move_trial(
            experiment_id, number, epoch=trial.epoch, to=TrialState.CANCELLED, reason=reason, by=control.by
        )
    except StateError:
        return False
    return True
