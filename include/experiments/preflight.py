"""Everything that can be wrong with a search is found here, before a yuan is spent (design section 4, open)."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from include import names
from include.errors import (
    AccessError,
    ConfigError,
    CredentialsError,
    EasyRecAutoMLError,
    NotFoundError,
    RetryableError,
)
from include.experiments import variables
from include.experiments.checkpoints import find_checkpoint
from include.experiments.plan import Plan
from include.experiments.services import Services
from include.names import StepId
from include.pipeline_config import Problem, check_edits, fg_json_path
from include.store.values import refuse_secrets
from include.texts import utf8

_TABLE_KEYS = ("train_tables", "eval_tables", "tables", "boundary_table")


@dataclass(frozen=True)
class Checked:
    """What the checks found. Nothing was created or submitted yet."""

    plan: Plan
    """With the pipeline config in it, where that could be read."""
    problems: Sequence[str]
    notes: Sequence[str]
    unjudged: Sequence[str] = ()
    """Of keys of the search space that can't be tried on the pipeline config as it is."""


def check_search(
    services: Services, folder: Plan, plan: Plan, given: Sequence[Mapping[str, Any]], *, baseline: bool
) -> Checked:
    """All that can be known before the first submit, all problems at once.

    ``plan`` is what the experiment runs with; the pool is the one that the ``folder``'s DAG uses today;
    ``given`` are parameters that the tuner doesn't choose, ``baseline`` whether the config runs as it is, too.
    Raises RetryableError when a service can't be reached.
    """
    checked = _check_outside(services, plan)
    problems = [*_check_pool(services, folder), *checked.problems]
    problems = problems or [
        *_check_parameters(checked.plan, given, baseline),
        *_attempt(lambda: refuse_secrets(checked.plan.snapshot(), f"model {folder.model}")),
    ]
    return replace(checked, problems=problems)


def publish_search_space(services: Services, plan: Plan, experiment_id: str) -> list[str]:
    """The search space beside the reports-to-be; proves that OSS can be written before a job needs it."""
    url = names.join_url(names.experiment_prefix(plan.base_dir, experiment_id), "search_space.json")
    text = json.dumps(plan.space.as_dict(), indent=2, ensure_ascii=False)
    return _attempt(lambda: services.objects.write(url, text.encode()), _below(plan))


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
        as_json=plan.sends_edits,
    )


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


def _check_outside(services: Services, plan: Plan) -> Checked:
    """All checks that don't depend on each other."""
    notes, problems = _check_maxcompute(services, plan)
    problems += _attempt(lambda: services.make_assessor(plan))
    url = plan.config_url
    try:
        text = _config_text(services, plan)
    except RetryableError:
        raise
    except EasyRecAutoMLError as error:
        problems.append(_said_of(f"-Dconfig={url}", error))
        if not isinstance(error, CredentialsError):  # wrong keys are said once
            problems += _check_objects(services, plan)
        return Checked(plan, problems, notes)
    checked = plan.with_pipeline_config(text)
    found = dry_run(checked)
    problems += _check_objects(services, checked) + _check_own_edits(checked)
    problems += [str(p) for p in found if p.fatal]
    if not problems:
        problems += _attempt(lambda: _ask_once(services, checked))
    return Checked(checked, problems, notes, [str(p) for p in found if not p.fatal])


def _config_text(services: Services, plan: Plan) -> str:
    """The pipeline config that the jobs will get. An experiment that exists must get the one it was opened
    with: its results, dry runs and best config are of that one.
    """
    kept = plan.pipeline_config
    if kept and not plan.sends_edits:
        return kept
    text = utf8(services.objects.read(plan.config_url), plan.config_url)
    if kept and text != kept:
        raise ConfigError(
            "the file was changed since the experiment was opened: further trials could not be compared",
            hint="start a new search, or put the old file back",
        )
    return text


def _check_own_edits(plan: Plan) -> list[str]:
    own = plan.job.parameters.get("edit_config_json", "")
    # With fg_json_path the ini's own edits may need features that are not in the text; those with variables
    # are tried with the search space.
    if fg_json_path(plan.pipeline_config) or variables.used_in(own):
        return []
    return _attempt(lambda: plan.patched_config({}))


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
    read, written = (names.split_oss_url(url)[0] for url in (plan.config_url, plan.base_dir))
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


def _check_parameters(plan: Plan, given: Sequence[Mapping[str, Any]], baseline: bool) -> list[str]:
    """Trials that the tuner doesn't choose, rendered and thrown away."""
    problems: list[str] = []
    for number, parameters in enumerate(given):
        found = _attempt(partial(plan.render_trial, StepId("check", 0), parameters))
        problems += [f"custom parameters {number}: {problem}" for problem in found]
    if baseline:
        found = _attempt(partial(plan.render_trial, StepId("check", 0), {}))
        problems += [f"the baseline: {problem}" for problem in found]
    return problems
