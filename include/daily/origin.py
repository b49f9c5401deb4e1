"""Where a chain starts: the best model of a begin search, or a checkpoint that a person names."""

from __future__ import annotations

import logging
import re
from datetime import date
from typing import Protocol

from include import names
from include.daily.plan import FinetunePlan
from include.errors import ConfigError, NotFoundError
from include.experiments.checkpoints import Checkpoint, find_checkpoint
from include.experiments.closing import report_of_store
from include.experiments.plan import Plan
from include.experiments.report import Report
from include.experiments.services import Services
from include.finetune.learning_rate import rate_at
from include.finetune.settings import BEGIN, FinetuneSettings
from include.ports import ObjectStore
from include.store import Chain, Experiment, ExperimentState, Origin, Result
from include.texts import utf8

log = logging.getLogger(__name__)

_EXPERIMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*-[0-9a-f]{8}")


class Starting(Protocol):
    """Of a plan, what decides where its first day starts."""

    @property
    def model(self) -> str: ...

    @property
    def finetune(self) -> FinetuneSettings: ...


def find_origin(services: Services, plan: Starting, start_from: str) -> Origin:
    """The origin that ``start_from`` (see ``FinetuneSettings``) names, complete and checked.

    The learning rate is that at which its training ended: from the schedule in the config that EasyRec
    saved there, and the steps that the checkpoint's name tells (reference R22).

    Raises ConfigError or NotFoundError that says what to set instead.
    """
    if start_from.startswith("oss://"):
        return _origin(services, plan, find_checkpoint(services.objects, start_from))
    if start_from == BEGIN:
        experiment = _newest_search(services, plan.model)
    elif _EXPERIMENT.fullmatch(start_from):
        experiment = services.store.experiment(start_from)
    else:
        raise ConfigError(
            f"{start_from!r} is no place to start from",
            where="start_from",
            hint=f"{BEGIN}, the id of an experiment, or oss://<bucket>/<model_dir>[/model.ckpt-N]",
        )
    if experiment.kind != BEGIN:
        raise ConfigError(
            f"experiment {experiment.id} is no begin search",
            where="start_from",
            hint="to start from a model of it, name its model_dir on OSS",
        )
    if experiment.model != plan.model:
        raise ConfigError(
            f"experiment {experiment.id} belongs to model {experiment.model}, not {plan.model}",
            where="start_from",
        )
    report = report_of_store(services.store, experiment.id, services.now())
    if report.best is None:
        raise ConfigError(f"no trial of experiment {experiment.id} succeeded", where="start_from")
    step = _best_step(services, experiment, report)
    checkpoint = find_checkpoint(services.objects, report.best_model_dir, step=step)
    return _origin(services, plan, checkpoint, report)


def config_of_days(plan: FinetunePlan, chain: Chain, bizdate: date) -> str:
    """URL of the pipeline config that a day of a chain is made from."""
    if plan.finetune.pipeline_config == "origin":
        return chain.origin.config_url
    return plan.parameters(bizdate)["config"]


def rate_of_days(objects: ObjectStore, plan: Starting, chain: Chain) -> float | list[float] | None:
    """The learning rate that each day of a chain starts with: one for all optimizers, one for each, or None
    to leave them as they are. Raises as ``handed_over``."""
    setting = plan.finetune.learning_rate
    if setting == "unchanged":
        return None
    if setting != "handover":
        return setting
    # A chain that was opened under another setting has recorded none.
    return list(chain.origin.learning_rates or handed_over(objects, chain.origin.checkpoint))


def handed_over(objects: ObjectStore, path: str) -> tuple[float, ...]:
    """The learning rates at which the training of a checkpoint ended, one per optimizer (reference R22).

    Raises ConfigError for a rate of 0, or a schedule that can't be read; NotFoundError.
    """
    checkpoint = find_checkpoint(objects, path)
    saved_url = names.saved_pipeline_config(checkpoint.model_dir)
    rates = tuple(rate_at(utf8(objects.read(saved_url), saved_url), checkpoint.step))
    shown = ", ".join(f"{rate:g}" for rate in rates)
    if any(rate <= 0 for rate in rates):
        raise ConfigError(
            f"training ended at step {checkpoint.step} with a learning rate of {shown}",
            where=saved_url,
            hint="set finetune.learning_rate in model.yml to the rate to go on with",
        )
    log.info("learning rate at step %d of %s: %s", checkpoint.step, checkpoint.model_dir, shown)
    return rates


def _newest_search(services: Services, model: str) -> Experiment:
    searches = [
        e
        for e in services.store.experiments(model)
        if e.kind == "begin" and e.state is ExperimentState.FINISHED
    ]
    if not searches:
        raise NotFoundError(
            f"model {model} has no begin search that finished",
            where="start_from",
            hint=f"run begin_search_{model}, or set finetune.start_from to a model_dir on OSS",
        )
    return max(searches, key=lambda e: e.ended_at or e.created_at)


def _best_step(services: Services, experiment: Experiment, report: Report) -> int | None:
    """With the metric of the best step, the checkpoint of that step; else None for the last one."""
    plan = Plan.from_snapshot(experiment.snapshot)
    if plan.settings.final_metric != "best" or report.best is None:
        return None
    results: list[Result] = [*services.store.results(experiment.id, report.best.number)]
    final = plan.final_result(results)
    return final.global_step if final is not None else None


def _origin(
    services: Services, plan: Starting, checkpoint: Checkpoint, report: Report | None = None
) -> Origin:
    rates: tuple[float, ...] = ()
    if plan.finetune.learning_rate == "handover":
        rates = handed_over(services.objects, checkpoint.prefix)
    saved = names.saved_pipeline_config(checkpoint.model_dir)
    services.objects.read(saved)  # every day's shapes are compared with it
    return Origin(
        checkpoint=checkpoint.prefix,
        config_url=report.best_config if report is not None else saved,
        learning_rates=rates,
        experiment=report.experiment if report is not None else None,
        trial=report.best.number if report is not None and report.best is not None else None,
    )
