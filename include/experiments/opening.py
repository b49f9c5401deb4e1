"""Everything that can be wrong is found here, before a yuan is spent (design section 4, open)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from include import names
from include.errors import ConfigError, EasyRecAutoMLError, NotFoundError, ProblemsError, RetryableError
from include.experiments.plan import Plan
from include.experiments.services import Services
from include.experiments.settings import ModelSettings
from include.experiments.trial_starter import BASELINE, CUSTOM, TUNER, Assignment
from include.names import StepId
from include.pipeline_config import Problem, check_edits, fg_json_path
from include.store import Experiment, ExperimentStore, NewExperiment

_TABLE_KEYS = ("train_tables", "eval_tables", "tables", "boundary_table")
DEFAULT_TRIALS = 20


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


def settings_of(
    store: ExperimentStore, plan: Plan, request: OpenRequest, *, dag_id: str, run_id: str
) -> ModelSettings:
    """The settings that count: those that the experiment was opened with, if it exists, else the folder's."""
    experiment_id = request.extend or names.experiment_id(plan.model, store.uuid, dag_id, run_id)
    known = _known(store, experiment_id)
    return plan.settings if known is None else Plan.from_snapshot(known.snapshot).settings


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

    Idempotent per DAG run: repeated after an end (a user cleared it), the same experiment goes on with the
    files it was opened with. Raises ProblemsError with all problems, RetryableError when a service can't be
    reached; in both cases nothing was created or submitted.
    """
    store = services.store
    if request.extend is not None:
        return _extend(services, plan, request, by=by, run_id=run_id)
    experiment_id = names.experiment_id(plan.model, store.uuid, dag_id, run_id)
    known = _known(store, experiment_id)
    running = plan if known is None else Plan.from_snapshot(known.snapshot)
    checked, problems = _check_all(services, plan, running, request)
    problems += _attempt(lambda: _publish_opening(services, checked, experiment_id)) if not problems else []
    if problems:
        raise ProblemsError(f"the search of {plan.model} can't start; nothing was submitted", problems)
    trials = request.trials if request.trials is not None else running.search.max_trials or DEFAULT_TRIALS
    assignments = _assignments(experiment_id, trials, request)
    duration = request.max_duration or running.search.max_duration
    deadline = services.now() + duration if duration else None
    if known is None:
        known = store.create_experiment(
            NewExperiment(
                id=experiment_id,
                model=plan.model,
                kind="begin",
                dag_id=dag_id,
                run_id=run_id,
                seed=request.seed if request.seed is not None else _seed_of(experiment_id),
                optimize_mode=plan.search.optimize_mode,
                max_trials=len(assignments),
                deadline=deadline,
                snapshot=checked.snapshot(),
                created_by=by,
            )
        )
    opened = store.open_run(known.id, run_id=run_id, deadline=deadline, by=by)
    return Opened(opened, assignments, (*_notes(checked), *_outdated(plan, running)))


def _extend(services: Services, plan: Plan, request: OpenRequest, *, by: str, run_id: str) -> Opened:
    """More trials for an experiment that exists; it keeps the files it was opened with."""
    store = services.store
    experiment = store.experiment(str(request.extend))
    if experiment.model != plan.model:
        raise ConfigError(
            f"experiment {experiment.id} belongs to model {experiment.model}, not {plan.model}",
            hint="trigger the DAG of that model",
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
    kept = Plan.from_snapshot(experiment.snapshot)
    _, problems = _check_all(services, plan, kept, request)
    if problems:
        raise ProblemsError(f"experiment {experiment.id} can't be extended; nothing was submitted", problems)
    assignments = _assignments(experiment.id, trials, request)
    duration = request.max_duration or kept.search.max_duration
    deadline = services.now() + duration if duration else None
    extended = store.open_run(experiment.id, run_id=run_id, more=len(assignments), deadline=deadline, by=by)
    return Opened(extended, assignments, _outdated(plan, kept))


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


def _attempt(check: Callable[[], Any]) -> list[str]:
    """The problem that ``check`` meets, as text; trouble that may pass is raised, not listed."""
    try:
        check()
    except RetryableError:
        raise
    except EasyRecAutoMLError as error:
        return [str(error)]
    return []


def _check_all(services: Services, folder: Plan, plan: Plan, request: OpenRequest) -> tuple[Plan, list[str]]:
    """``plan`` is what the experiment runs with; the pool is the one that the folder's DAG uses today."""
    checked, problems = _check_outside(services, plan)
    problems = [*_check_pool(services, folder), *problems]
    return checked, problems or _check_parameters(checked, request.custom_parameters)


def _check_outside(services: Services, plan: Plan) -> tuple[Plan, list[str]]:
    """All checks that don't depend on each other; the plan comes back with the pipeline config in it."""
    problems = _check_tables(services, plan)
    problems += _attempt(lambda: services.make_assessor(plan))
    script, checkpoint = (plan.job.parameters.get(key, "") for key in ("script", "fine_tune_checkpoint"))
    if script:
        problems += _attempt(lambda: _must_exist(services, "-Dscript", script))
    if checkpoint and "${" not in checkpoint:
        problems += _attempt(lambda: _must_hold_a_checkpoint(services, checkpoint))
    try:
        text = _config_text(services, plan)
    except RetryableError:
        raise
    except EasyRecAutoMLError as error:
        return plan, [*problems, f"-Dconfig={plan.job.parameters['config']}: {error}"]
    checked = plan.with_pipeline_config(text)
    if not fg_json_path(text):  # else the ini's own edits may need features that are not in the text
        problems += _attempt(lambda: checked.patched_config({}))
    problems += [str(p) for p in dry_run(checked) if p.fatal]
    if not problems:
        problems += _attempt(lambda: _ask_once(services, checked))
    return checked, problems


def _config_text(services: Services, plan: Plan) -> str:
    """The pipeline config that the jobs will get. An experiment that exists must get the one it was opened
    with: its results, dry runs and best config are of that one.
    """
    kept = plan.pipeline_config
    if kept and plan.settings.parameters_via == "patched_config":
        return kept
    try:
        text = services.objects.read(plan.job.parameters["config"]).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("not a text file in UTF-8") from error
    if kept and text != kept:
        raise ConfigError(
            "the file was changed since the experiment was opened: further trials could not be compared",
            hint="start a new search, or put the old file back",
        )
    return text


def dry_run(plan: Plan) -> list[Problem]:
    """Every key of the search space on the real config (design section 4)."""
    return check_edits(
        plan.pipeline_config,
        plan.space,
        allow_unknown_fields=plan.settings.allow_unknown_fields,
        as_json=plan.settings.parameters_via == "edit_config_json",
    )


def _check_pool(services: Services, plan: Plan) -> list[str]:
    pool, known = plan.settings.pool_of(plan.model), services.store.pools()
    if pool in known:
        return []
    return [
        f"pool {pool!r} that counts deferred tasks was not seen by Airflow's components (seen: "
        f"{', '.join(sorted(known)) or 'none'}): "
        f"run 'airflow pools set {pool} {plan.search.concurrency} trials --include-deferred' "
        "and restart the scheduler, which also makes missing pools at its start"
    ]


def _check_tables(services: Services, plan: Plan) -> list[str]:
    problems: list[str] = []
    for key in _TABLE_KEYS:
        for url in filter(None, (u.strip() for u in plan.job.parameters.get(key, "").split(","))):
            problems += _attempt(partial(_table_must_exist, services, key, url))
    return list(dict.fromkeys(problems))


def _table_must_exist(services: Services, key: str, url: str) -> None:
    project, table, partition = names.split_table_url(url)
    where = f"-D{key}={url}"
    if not services.tables.project_exists(project):
        raise NotFoundError(f"there is no MaxCompute project {project}", where=where)
    if not services.tables.table_exists(project, table):
        raise NotFoundError(f"there is no table {table} in project {project}", where=where)
    if partition and not services.tables.partition_exists(project, table, partition):
        raise NotFoundError(f"table {table} has no partition {partition}", where=where)


def _must_exist(services: Services, key: str, url: str) -> None:
    if services.objects.info(url) is None:
        raise NotFoundError("there is no such object on OSS", where=f"{key}={url}")


def _must_hold_a_checkpoint(services: Services, url: str) -> None:
    if not any(found.url.endswith(".index") for found in services.objects.list(url)):
        raise NotFoundError(
            "there is no checkpoint (model.ckpt-<step>.index) on OSS", where=f"-Dfine_tune_checkpoint={url}"
        )


def _ask_once(services: Services, plan: Plan) -> None:
    """One suggestion, rendered and thrown away: tuner arguments and the whole payload are right."""
    parameters = services.make_tuner(plan).ask((), (), 0)
    plan.render_trial(StepId("check", 0), parameters)


def _check_parameters(plan: Plan, given: Sequence[Mapping[str, Any]]) -> list[str]:
    problems: list[str] = []
    for number, parameters in enumerate(given):
        found = _attempt(partial(plan.render_trial, StepId("check", 0), parameters))
        problems += [f"custom parameters {number}: {problem}" for problem in found]
    return problems


def _publish_opening(services: Services, plan: Plan, experiment_id: str) -> None:
    """The search space beside the reports-to-be; proves that OSS can be written before a job needs it."""
    url = names.join_url(names.experiment_prefix(plan.base_dir, experiment_id), "search_space.json")
    services.objects.write(url, json.dumps(plan.space.as_dict(), indent=2, ensure_ascii=False).encode())


def _notes(plan: Plan) -> tuple[str, ...]:
    unjudged = (str(p) for p in dry_run(plan) if not p.fatal)
    return (*plan.search.notes, *plan.job.warnings, *unjudged)
