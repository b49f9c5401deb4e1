"""The beginning of a search: its experiment is checked, then created or extended (design section 4, open)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from include import names
from include.errors import ConfigError, NotFoundError, ProblemsError
from include.experiments.chain_plan import plan_of
from include.experiments.plan import Plan
from include.experiments.preflight import Checked, check_search, publish_search_space
from include.experiments.services import Services
from include.experiments.settings import ModelSettings
from include.experiments.trial_starter import BASELINE, CUSTOM, TUNER, Assignment
from include.store import Experiment, ExperimentStore, NewExperiment

DEFAULT_TRIALS = 20
MOST_TRIALS = 1000
"""Of one DAG run: each is a mapped task, and Airflow maps 1024 at most by default."""


@dataclass(frozen=True)
class OpenRequest:
    """What the trigger form asks for; None means what ``config.yml`` says."""

    trials: int | None = None
    max_duration: timedelta | None = None
    seed: int | None = None
    extend: str | None = None
    """An existing experiment that gets ``trials`` more trials."""
    custom_parameters: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """Parameter sets to run first, as given."""
    baseline: bool = False
    """Also run the pipeline config as it is, to compare with."""


@dataclass(frozen=True)
class Opened:
    experiment: Experiment
    assignments: tuple[Assignment, ...]
    notes: tuple[str, ...]


def check_number(trials: int) -> None:
    """Raises ConfigError for more trials than one DAG run can have."""
    if trials > MOST_TRIALS:
        raise ConfigError(f"{trials} trials are too many for one DAG run", hint=f"give at most {MOST_TRIALS}")


def settings_of(
    store: ExperimentStore, plan: Plan, request: OpenRequest, *, dag_id: str, run_id: str
) -> ModelSettings:
    """The settings that count: those that the experiment was opened with, if it exists, else the folder's."""
    experiment_id = request.extend or names.experiment_id(plan.model, store.uuid, dag_id, run_id)
    known = _known(store, experiment_id)
    return plan.settings if known is None else plan_of(known.snapshot).settings


def open_experiment(
    services: Services,
    plan: Plan,
    request: OpenRequest,
    *,
    dag_id: str,
    run_id: str,
    by: str,
    further_problems: Sequence[str] = (),
) -> Opened:
    """Check everything, then create or extend the experiment of this DAG run.

    ``further_problems``: what a caller has found besides, told together with the rest.

    Idempotent per DAG run: repeated after an end (a user cleared it), the same experiment goes on with the
    files it was opened with. Raises ProblemsError with all problems, RetryableError when a service can't be
    reached; in both cases nothing was created or submitted.
    """
    store = services.store
    if request.extend is not None:
        return _extend(services, plan, request, by=by, run_id=run_id, further_problems=further_problems)
    experiment_id = names.experiment_id(plan.model, store.uuid, dag_id, run_id)
    known = _known(store, experiment_id)
    running = plan if known is None else plan_of(known.snapshot)
    trials = request.trials if request.trials is not None else running.search.max_trials or DEFAULT_TRIALS
    checked, too_many = _checked(services, plan, running, request, trials)
    problems = [
        *_seed_problems(request),
        *too_many,
        *checked.problems,
        *further_problems,
    ]
    problems = problems or publish_search_space(services, checked.plan, experiment_id)
    if problems:
        raise ProblemsError(f"the search of {plan.model} can't start; nothing was submitted", problems)
    assignments = _assignments(experiment_id, trials, request)
    duration = request.max_duration or running.search.max_duration
    deadline = services.now() + duration if duration else None
    if known is None:
        known = store.create_experiment(
            NewExperiment(
                id=experiment_id,
                model=plan.model,
                kind=plan.kind,
                dag_id=dag_id,
                run_id=run_id,
                seed=request.seed if request.seed is not None else _seed_of(experiment_id),
                optimize_mode=plan.search.optimize_mode,
                max_trials=len(assignments),
                deadline=deadline,
                snapshot=checked.plan.snapshot(),
                created_by=by,
            )
        )
    opened = store.open_run(known.id, run_id=run_id, deadline=deadline, by=by)
    return Opened(opened, assignments, (*_notes(checked), *_outdated(plan, running)))


def _extend(
    services: Services,
    plan: Plan,
    request: OpenRequest,
    *,
    by: str,
    run_id: str,
    further_problems: Sequence[str],
) -> Opened:
    """More trials for an experiment that exists; it keeps the files it was opened with."""
    store = services.store
    experiment = store.experiment(str(request.extend))
    if experiment.model != plan.model:
        raise ConfigError(
            f"experiment {experiment.id} belongs to model {experiment.model}, not {plan.model}",
            hint="trigger the DAG of that model",
        )
    if experiment.kind != plan.kind:
        raise ConfigError(
            f"experiment {experiment.id} belongs to the DAG {experiment.dag_id}",
            where="experiment",
            hint="extend it by that DAG",
        )
    if request.seed not in (None, experiment.seed):
        raise ConfigError(
            f"experiment {experiment.id} was opened with seed {experiment.seed} and keeps it",
            where="seed",
            hint="leave the field empty",
        )
    trials = request.trials if request.trials is not None else len(request.custom_parameters)
    if trials < 1:
        raise ConfigError("how many more trials?", where="trials", hint="give trials or custom parameters")
    kept = plan_of(experiment.snapshot)
    checked, too_many = _checked(services, plan, kept, request, trials)
    problems = [*too_many, *checked.problems, *further_problems]
    if problems:
        raise ProblemsError(f"experiment {experiment.id} can't be extended; nothing was submitted", problems)
    assignments = _assignments(experiment.id, trials, request)
    duration = request.max_duration or kept.search.max_duration
    deadline = services.now() + duration if duration else None
    extended = store.open_run(experiment.id, run_id=run_id, more=len(assignments), deadline=deadline, by=by)
    return Opened(extended, assignments, (*checked.notes, *_outdated(plan, kept)))


def _checked(
    services: Services, folder: Plan, plan: Plan, request: OpenRequest, trials: int
) -> tuple[Checked, list[str]]:
    """What the checks found, and whether there are too many trials: each that is given is rendered, but not then."""
    too_many = _number_problems(trials, request)
    given = () if too_many else request.custom_parameters
    return check_search(services, folder, plan, given, baseline=request.baseline), too_many


def _seed_problems(request: OpenRequest) -> list[str]:
    if request.seed is None or 0 <= request.seed < 2**63:
        return []
    return [f"the seed is {request.seed}: a number from 0 to 2**63 - 1"]


def _number_problems(trials: int, request: OpenRequest) -> list[str]:
    try:
        check_number(max(trials, len(request.custom_parameters)))
    except ConfigError as error:
        where = "in the form's field trials (or as maxTrialNumber), and extend the experiment later"
        return [f"{error.message}: {error.hint} {where}"]
    return []


def _known(store: ExperimentStore, experiment_id: str) -> Experiment | None:
    """The experiment, if it has been opened: by an earlier try, a try before a clear, or another run."""
    try:
        return store.experiment(experiment_id)
    except NotFoundError:
        return None


def _outdated(folder: Plan, kept: Plan) -> tuple[str, ...]:
    """A note when the folder is not what the experiment runs with any more."""
    changed = [
        name
        for name in sorted({*folder.texts, *kept.texts})
        if folder.texts.get(name) != kept.texts.get(name)
    ]
    if not changed:
        return ()
    return (
        f"{', '.join(changed)} changed since the experiment was opened; it goes on with what it was opened "
        "with: trigger a new run to use the changes",
    )


def _assignments(experiment: str, trials: int, request: OpenRequest) -> tuple[Assignment, ...]:
    """The baseline comes on top of the trials; custom parameters are the first of them."""
    custom = [Assignment(experiment, CUSTOM, dict(p)) for p in request.custom_parameters]
    tuned = [Assignment(experiment, TUNER)] * max(0, trials - len(custom))
    baseline = [Assignment(experiment, BASELINE, {})] if request.baseline else []
    return (*baseline, *custom, *tuned)


def _seed_of(experiment_id: str) -> int:
    return int(hashlib.sha256(experiment_id.encode()).hexdigest()[:8], 16) % 2**31


def _notes(checked: Checked) -> tuple[str, ...]:
    return (*checked.notes, *checked.plan.search.notes, *checked.plan.job.warnings, *checked.unjudged)
