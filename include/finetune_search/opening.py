"""The beginning of a finetune search: its days, its first checkpoint, and everything checked (R25, R26, R28)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from datetime import date

from include import names
from include.daily.chain import continue_from
from include.daily.origin import find_origin, handed_over
from include.errors import ConfigError, EasyRecAutoMLError, NotFoundError, RetryableError
from include.experiments.chain_plan import ChainPlan
from include.experiments.checkpoints import find_checkpoint
from include.experiments.opening import Opened, OpenRequest, open_experiment
from include.experiments.services import Services
from include.finetune import calendar
from include.finetune.shapes import ShapeChange, ShapeKey, shape_changes, shape_keys
from include.pipeline_config import fg_json_path
from include.store import ExperimentStore, Origin, current_days
from include.texts import utf8


def open_finetune_search(
    services: Services,
    folder: ChainPlan,
    request: OpenRequest,
    *,
    start: str = "",
    end: str = "",
    dag_id: str,
    run_id: str,
    by: str,
) -> Opened:
    """Check everything of every day, then create or extend the experiment of this DAG run.

    ``start``, ``end``: first and last day, both inclusive; empty for what ``trialCommand`` says. An experiment
    that exists keeps its days and its first checkpoint. Raises as ``open_experiment`` does.
    """
    problems: list[str] = []
    notes: list[str] = []
    known = _kept(services.store, folder, request, dag_id, run_id)
    days = _days(folder, known, start, end)
    if known is not None:
        if (start or end) and days != known.days:
            raise ConfigError(
                f"the experiment runs from {known.days[0]} to {known.days[-1]} and keeps its days",
                where="start_time, end_time",
                hint="leave the fields empty, or start a new search",
            )
        plan, opened_with = known, folder
        with _listed(problems):
            find_checkpoint(services.objects, plan.checkpoint)
    else:
        plan = dataclasses.replace(folder, days=days)
        why = ""
        with _listed(problems):
            plan, why = _starting(services, plan)
        if plan.checkpoint:
            notes.append(
                f"{days[0]}, the first day of every trial, continues from {plan.checkpoint}"
                + (f" ({why})" if why else "")
            )
            fatal, odd = _shapes(services, plan)
            problems, notes = [*problems, *fatal], [*notes, *odd]
        opened_with = plan
    opened = open_experiment(
        services, opened_with, request, dag_id=dag_id, run_id=run_id, by=by, further_problems=problems
    )
    return dataclasses.replace(opened, notes=(*opened.notes, *plan.winner_notes, *notes))


def first_checkpoint(services: Services, plan: ChainPlan) -> tuple[Origin, str]:
    """What the first day continues from, as the daily run decides it for that day (``on_gap`` included), and
    why it is not simply the day before.

    With the chain's handed-over rates. Without a chain, and for days before its first one, it is where a new
    chain would start (``finetune.start_from``). Raises ChainGapError for days that the daily run would not
    pass over, ConfigError or NotFoundError.
    """
    first, chain = plan.days[0], services.store.current_chain(plan.model)
    days = [] if chain is None else services.store.days(plan.model, chain_id=chain.id)
    if chain is None or first < min(current_days(days), default=first):
        note = f"{first} comes before {chain.id}" if chain is not None else ""
        return find_origin(services, plan, plan.finetune.start_from), note
    known = continue_from(first, chain, days, on_gap=plan.finetune.on_gap)
    found = find_checkpoint(services.objects, known.checkpoint)
    rates = chain.origin.learning_rates
    if plan.finetune.learning_rate == "handover" and not rates:  # it was opened under another setting
        rates = handed_over(services.objects, chain.origin.checkpoint)
    return dataclasses.replace(chain.origin, checkpoint=found.prefix, learning_rates=rates), known.note


@contextlib.contextmanager
def _listed(problems: list[str]) -> Iterator[None]:
    """What goes wrong inside is added to ``problems``; trouble that may pass is raised."""
    try:
        yield
    except RetryableError:
        raise
    except EasyRecAutoMLError as error:
        problems.append(f"the checkpoint to start from: {error}")


def _kept(
    store: ExperimentStore, folder: ChainPlan, request: OpenRequest, dag_id: str, run_id: str
) -> ChainPlan | None:
    experiment_id = request.extend or names.experiment_id(folder.model, store.uuid, dag_id, run_id)
    try:
        experiment = store.experiment(experiment_id)
    except NotFoundError:
        if request.extend:
            raise
        return None
    if experiment.kind != ChainPlan.kind:
        raise ConfigError(
            f"experiment {experiment_id} is no finetune search", where="experiment", hint="start a new one"
        )
    return ChainPlan.from_snapshot(experiment.snapshot)


def _days(folder: ChainPlan, known: ChainPlan | None, start: str, end: str) -> tuple[date, ...]:
    usual = known.days if known is not None else folder.days
    if not usual and not (start and end):
        raise ConfigError(
            "which days?",
            where="start_time, end_time",
            hint="give both, like 2022-05-30, or write --start_time and --end_time into trialCommand",
        )
    return tuple(calendar.days(start or usual[0], end or usual[-1]))


def _starting(services: Services, plan: ChainPlan) -> tuple[ChainPlan, str]:
    """The plan with all that the days start from, and why that is not simply the day before."""
    origin, why = first_checkpoint(services, plan)
    setting = plan.finetune.learning_rate
    rates = origin.learning_rates if setting == "handover" else ()
    adopted = services.store.adoption(plan.model)
    return dataclasses.replace(
        plan,
        checkpoint=origin.checkpoint,
        adopted=adopted.edits if adopted is not None else {},
        rates=rates if isinstance(setting, str) else (setting,),
        source=origin.config_url if plan.finetune.pipeline_config == "origin" else "",
    ), why


def _shapes(services: Services, plan: ChainPlan) -> tuple[list[str], list[str]]:
    """Problems and notes: what would not fit the checkpoint's variables (reference R28)."""
    with contextlib.suppress(NotFoundError, ConfigError):  # check_search says so
        text = utf8(services.objects.read(plan.config_url), plan.config_url)
        saved = names.saved_pipeline_config(plan.checkpoint.rpartition("/")[0])
        body = services.objects.read(saved)
        problems: list[str] = []
        with _listed(problems):
            trained = utf8(body, saved)
            return _compared(plan.with_pipeline_config(text), trained)
        return problems, []
    return [], []


def _compared(plan: ChainPlan, trained: str) -> tuple[list[str], list[str]]:
    allowed = plan.settings.allow_unknown_fields
    try:
        found: list[ShapeKey | ShapeChange] = [
            *shape_keys(plan.space, plan.pipeline_config, allow_unknown_fields=allowed),
            *shape_changes(trained, plan.patched_config({})),
        ]
    except RetryableError:
        raise
    except EasyRecAutoMLError as error:
        return [str(error)], []
    fatal = [
        f"{each}: the checkpoint fixes it, EasyRec would start it afresh" for each in found if each.is_fatal
    ]
    notes = [str(each) for each in found if not each.is_fatal]
    if fg_json_path(plan.pipeline_config):
        notes.append("features of fg_json_path were not compared with the checkpoint's")
    return ([], [*fatal, *notes]) if plan.finetune.force_shapes else (fatal, notes)
