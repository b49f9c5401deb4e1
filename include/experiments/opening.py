"""Everything that can be wrong is found here, before a yuan is spent (design section 4, open)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from include import names
from include.errors import (
    AccessError,
    ConfigError,
    CredentialsError,
    EasyRecAutoMLError,
    NotFoundError,
    ProblemsError,
    RetryableError,
)
from include.experiments import variables
from include.experiments.checkpoints import find_checkpoint
from include.experiments.plan import Plan
from include.experiments.services import Services
from include.experiments.trial_starter import BASELINE, CUSTOM, TUNER, Assignment
from include.names import StepId
from include.pipeline_config import Problem, check_edits, fg_json_path
from include.store import Experiment, ExperimentState, NewExperiment

_TABLE_KEYS = ("train_tables", "eval_tables", "tables", "boundary_table")
DEFAULT_TRIALS = 20
_EXTENDED = "extended"


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


def open_experiment(
    services: Services,
    plan: Plan,
    request: OpenRequest,
    *,
    dag_id: str,
    run_id: str,
    by: str,
) -> Opened:
    """Check everything, then create or extend the experiment of this DAG run.

    Idempotent per DAG run. Raises ProblemsError with all problems, RetryableError when a service can't be
    reached; in both cases nothing was created or submitted.
    """
    store = services.store
    if request.extend is not None:
        return _extend(services, plan, request, by=by, run_id=run_id)
    experiment_id = names.experiment_id(plan.model, store.uuid, dag_id, run_id)
    checked, found, problems = _check_outside(services, plan)
    problems += _check_parameters(checked, request) if not problems else []
    if not problems:
        problems = _attempt(lambda: _publish_opening(services, checked, experiment_id), _below(checked))
    if problems:
        raise ProblemsError(f"the search of {plan.model} can't start; nothing was submitted", problems)
    trials = request.trials if request.trials is not None else plan.search.max_trials or DEFAULT_TRIALS
    assignments = _assignments(experiment_id, trials, request)
    duration = request.max_duration or plan.search.max_duration
    experiment = store.create_experiment(
        NewExperiment(
            id=experiment_id,
            model=plan.model,
            kind="begin",
            dag_id=dag_id,
            run_id=run_id,
            seed=request.seed if request.seed is not None else _seed_of(experiment_id),
            optimize_mode=plan.search.optimize_mode,
            max_trials=len(assignments),
            deadline=services.now() + duration if duration else None,
            snapshot=checked.snapshot(),
            created_by=by,
        )
    )
    return Opened(experiment, assignments, (*found, *_notes(checked)))


def _extend(services: Services, plan: Plan, request: OpenRequest, *, by: str, run_id: str) -> Opened:
    """More trials for an experiment that exists; it keeps the files it was opened with."""
    store = services.store
    experiment = store.experiment(str(request.extend))
    if experiment.model != plan.model:
        raise ConfigError(
            f"experiment {experiment.id} belongs to model {experiment.model}, not {plan.model}",
            hint="trigger the DAG of that model",
        )
    kept = Plan.from_snapshot(experiment.snapshot)
    problems = _check_parameters(kept, request)
    if problems:
        raise ProblemsError(f"experiment {experiment.id} can't be extended", problems)
    trials = request.trials if request.trials is not None else len(request.custom_parameters)
    if trials < 1:
        raise ConfigError("how many more trials?", where="trials", hint="give trials or custom parameters")
    assignments = _assignments(experiment.id, trials, request)
    said = [e.data for e in store.events(experiment.id) if e.kind == _EXTENDED and e.data["run_id"] == run_id]
    if not said:  # the new limit is said before it is set, so that a repeated open sets the same one
        limit = max(experiment.max_trials or 0, experiment.asks) + len(assignments)
        said = [{"run_id": run_id, "max_trials": limit}]
        store.record_event(experiment.id, None, _EXTENDED, by=by, data=said[0])
    duration = request.max_duration or kept.search.max_duration
    store.set_limits(
        experiment.id,
        max_trials=max(experiment.max_trials or 0, said[0]["max_trials"]),
        deadline=services.now() + duration if duration else None,
        by=by,
    )
    extended = store.set_experiment_state(experiment.id, ExperimentState.RUNNING, reason="extended", by=by)
    return Opened(extended, assignments, ())


def _assignments(experiment: str, trials: int, request: OpenRequest) -> tuple[Assignment, ...]:
    """The baseline comes on top of the trials; custom parameters are the first of them."""
    custom = [Assignment(experiment, CUSTOM, dict(p)) for p in request.custom_parameters]
    tuned = [Assignment(experiment, TUNER)] * max(0, trials - len(custom))
    baseline = [Assignment(experiment, BASELINE, {})] if request.baseline else []
    return (*baseline, *custom, *tuned)


def _seed_of(experiment_id: str) -> int:
    return int(hashlib.sha256(experiment_id.encode()).hexdigest()[:8], 16) % 2**31


def _attempt(check: Callable[[], Any], where: str = "") -> list[str]:
    """The problem that ``check`` meets, as text; trouble that may pass is raised, not listed.

    ``where`` says what of the user's files it is about, in place of the error's own.
    """
    try:
        check()
    except RetryableError:
        raise
    except EasyRecAutoMLError as error:
        return [_said_of(where, error)]
    return []


def _said_of(where: str, error: EasyRecAutoMLError) -> str:
    return str(EasyRecAutoMLError(error.message, where=where or error.where, hint=error.hint))


def _check_outside(services: Services, plan: Plan) -> tuple[Plan, list[str], list[str]]:
    """All checks that don't depend on each other.

    Returns the plan with the pipeline config in it, what is worth a note, and the problems.
    """
    problems = _check_pool(services, plan)
    notes, found = _check_maxcompute(services, plan)
    problems += found + _attempt(lambda: services.make_assessor(plan))
    url = plan.job.parameters["config"]
    try:
        text = services.objects.read(url).decode("utf-8")
    except RetryableError:
        raise
    except UnicodeDecodeError:
        return plan, notes, [*problems, f"-Dconfig={url} is not a text file in UTF-8"]
    except EasyRecAutoMLError as error:
        problems.append(_said_of(f"-Dconfig={url}", error))
        if not isinstance(error, CredentialsError):  # wrong keys are said once
            problems += _check_objects(services, plan)
        return plan, notes, problems
    checked = plan.with_pipeline_config(text)
    problems += _check_objects(services, checked) + _check_edits(checked)
    if not problems:
        problems += _attempt(lambda: _ask_once(services, checked))
    return checked, notes, problems


def _check_edits(plan: Plan) -> list[str]:
    problems: list[str] = []
    own = plan.job.parameters.get("edit_config_json", "")
    # With fg_json_path the ini's own edits may need features that are not in the text; those with variables
    # are tried with the search space.
    if not fg_json_path(plan.pipeline_config) and not variables.used_in(own):
        problems += _attempt(lambda: plan.patched_config({}))
    return problems + [str(p) for p in dry_run(plan) if p.fatal]


def dry_run(plan: Plan) -> list[Problem]:
    """Every key of the search space on the real config (design section 4)."""
    filled = {
        path: plan.space[value]
        for path, value in plan.own_edits.items()
        if isinstance(value, str) and value in plan.space and variables.name_of(value)
    }
    return check_edits(
        plan.pipeline_config,
        {**filled, **plan.space},
        allow_unknown_fields=plan.settings.allow_unknown_fields,
        as_json=plan.settings.parameters_via == "edit_config_json",
    )


def _check_pool(services: Services, plan: Plan) -> list[str]:
    pool, known = plan.settings.pool_of(plan.model), services.store.pools()
    if pool in known:
        return []
    return [
        f"pool {pool!r} was not seen by Airflow's components (seen: {', '.join(sorted(known)) or 'none'}): "
        f"run 'airflow pools set {pool} {plan.search.concurrency} trials --include-deferred' "
        "and restart the scheduler, which also makes missing pools at its start"
    ]


def _check_maxcompute(services: Services, plan: Plan) -> tuple[list[str], list[str]]:
    """Notes and problems of the project that jobs run in and of every table that they read."""
    notes: list[str] = []
    problems: list[str] = []
    try:
        project = services.jobs.check()
        named = plan.job.odps_project
        if named not in ("", project):
            notes.append(
                f"the ini says project_name={named}, but jobs run in {project}, "
                "the project of the MaxCompute connection"
            )
    except RetryableError:
        raise
    except AccessError as error:
        return notes, [str(error)]  # tables would be refused as well
    except EasyRecAutoMLError as error:
        problems.append(str(error))
    for where, value in _values_of(plan, _TABLE_KEYS, problems):
        for url in filter(None, (u.strip() for u in value.split(","))):
            problems += _attempt(partial(_table_must_exist, services, url), f"{where}={url}")
    return notes, list(dict.fromkeys(problems))


def _values_of(plan: Plan, keys: Sequence[str], problems: list[str]) -> list[tuple[str, str]]:
    """``(-Dkey, value)`` for every value that these keys may have; what can't be listed is a problem."""
    found: list[tuple[str, str]] = []
    for key in keys:
        try:
            found += [(f"-D{key}", value) for value in plan.possible_values(key)]
        except ConfigError as error:
            problems.append(str(error))
    return found


def _table_must_exist(services: Services, url: str) -> None:
    project, table, partition = names.split_table_url(url)
    if not services.tables.project_exists(project):
        raise NotFoundError(f"there is no MaxCompute project {project}", where=url)
    if not services.tables.table_exists(project, table):
        raise NotFoundError(f"there is no table {table} in project {project}", where=url)
    if partition and not services.tables.partition_exists(project, table, partition):
        raise NotFoundError(f"table {table} has no partition {partition}", where=url)


def _check_objects(services: Services, plan: Plan) -> list[str]:
    """What a job reads on OSS besides its config, and the buckets it is to reach."""
    problems: list[str] = []
    for where, url in _values_of(plan, ("script",), problems):
        problems += _attempt(partial(_must_exist, services, url), f"{where}={url}")
    for where, url in _values_of(plan, ("fine_tune_checkpoint",), problems):
        problems += _attempt(partial(find_checkpoint, services.objects, url), f"{where}={url}")
    read, written = (names.split_oss_url(plan.job.parameters[key])[0] for key in ("config", "model_dir"))
    for bucket in re.findall(r"oss://([^/.,?\s]+)", plan.job.parameters["buckets"]):
        if bucket != read:  # that one was looked into for the config
            where = _below(plan) if bucket == written else f"-Dbuckets=…oss://{bucket}/"
            problems += _attempt(partial(_bucket_must_exist, services, bucket), where)
    return list(dict.fromkeys(problems))


def _must_exist(services: Services, url: str) -> None:
    if services.objects.info(url) is None:
        raise NotFoundError("there is no such object on OSS", where=url)


def _bucket_must_exist(services: Services, bucket: str) -> None:
    # What our keys may not see, the role of -Darn may.
    with contextlib.suppress(AccessError):
        next(services.objects.list(f"oss://{bucket}/"), None)


def _below(plan: Plan) -> str:
    return f"-Dmodel_dir={plan.base_dir}"


def _ask_once(services: Services, plan: Plan) -> None:
    """One suggestion, rendered and thrown away: tuner arguments and the whole payload are right."""
    parameters = services.make_tuner(plan).ask((), (), 0)
    plan.render_trial(StepId("check", 0), parameters)


def _check_parameters(plan: Plan, request: OpenRequest) -> list[str]:
    """Trials that the tuner doesn't choose, rendered and thrown away."""
    problems: list[str] = []
    for number, parameters in enumerate(request.custom_parameters):
        found = _attempt(partial(plan.render_trial, StepId("check", 0), parameters))
        problems += [f"custom parameters {number}: {problem}" for problem in found]
    if request.baseline:
        found = _attempt(partial(plan.render_trial, StepId("check", 0), {}))
        problems += [f"the baseline: {problem}" for problem in found]
    return problems


def _publish_opening(services: Services, plan: Plan, experiment_id: str) -> None:
    """The search space beside the reports-to-be; proves that OSS can be written before a job needs it."""
    url = names.join_url(names.experiment_prefix(plan.base_dir, experiment_id), "search_space.json")
    services.objects.write(url, json.dumps(plan.space.as_dict(), indent=2, ensure_ascii=False).encode())


def _notes(plan: Plan) -> tuple[str, ...]:
    unjudged = (str(p) for p in dry_run(plan) if not p.fatal)
    return (*plan.search.notes, *plan.job.warnings, *unjudged)
