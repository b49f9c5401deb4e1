"""Old model_dirs of a model's days, removed from OSS when ``finetune.keep_days`` says so (design section 6).

Whatever may still be needed stays, and so does whatever is not certainly ours: a folder too many costs little,
a model too few can't be brought back. Call it while holding the model's lease, so that no day begins meanwhile.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from include import names
from include.daily.chain import last_good
from include.daily.plan import FinetunePlan
from include.experiments.chain_plan import plan_of
from include.experiments.services import Services
from include.ports import ObjectInfo, ObjectStore
from include.store import SEARCHES, Chain, Day, DayState, ExperimentStore, Promotion, current_days

log = logging.getLogger(__name__)

_AT_ONCE = 20
"""Folders that one day removes at most: others wait for its lease."""


def remove_old_models(services: Services, plan: FinetunePlan) -> list[str]:
    """Remove model_dirs that are older than ``keep_days`` and that nothing needs; returns them.

    Nothing by default. Never: what serves, models of the last ``keep_promotions`` promotions, where any chain
    starts or goes on from, what a search that goes on (or ended within ``keep_days``) starts from, what a job at
    work names, what a newer day was trained from, a folder without this store's owner marker, one
    that was written to within ``keep_days``, one of a run that still has a job.
    """
    days = plan.finetune.keep_days
    if days is None:
        return []
    cutoff = services.now() - timedelta(days=days)
    removed: list[str] = []
    for model_dir in old_model_dirs(services.store, plan, cutoff=cutoff):
        found = _contents(services.objects, model_dir, services.store.uuid, cutoff)
        if not found:
            continue
        size = sum(each.size for each in found) / 1e6
        log.info("keep_days %d: removes %s (%d objects, %.1f MB)", days, model_dir, len(found), size)
        for each in found:
            services.objects.delete(each.url)
        removed.append(model_dir)
        if len(removed) == _AT_ONCE:
            log.info("the next day removes more")
            break
    return removed


def old_model_dirs(store: ExperimentStore, plan: FinetunePlan, *, cutoff: datetime) -> list[str]:
    """The model_dirs that may go as far as the store knows, oldest first; some may be gone already.

    A day is old when it lies more than ``keep_days`` before the day that serves, and nothing was done with it
    since ``cutoff``: a backfill of last year doesn't remove what it makes.
    """
    keep, serving = plan.finetune.keep_days, store.serving(plan.model)
    if keep is None or serving is None:
        return []
    age = _Age(serving.bizdate - timedelta(days=keep), cutoff)
    used = {url.rstrip("/") for url in _needed(store, plan, age) if url}
    every = store.days(plan.model)
    wanted = dict.fromkeys(day.model_dir.rstrip("/") for day in every if age.is_old(day))
    busy = {d.model_dir.rstrip("/") for d in every if age.is_old(d) and _has_job(store, d)}
    return [folder for folder in wanted if folder not in busy and not _touches(folder, used)]


@dataclass(frozen=True)
class _Age:
    first_kept: date
    cutoff: datetime

    def is_old(self, day: Day) -> bool:
        if day.state in (DayState.OPEN, DayState.TRAINED) or day.bizdate >= self.first_kept:
            return False
        times = (day.begun_at, day.trained_at, day.ended_at)
        return max(time for time in times if time is not None) < self.cutoff


def _needed(store: ExperimentStore, plan: FinetunePlan, age: _Age) -> Iterator[str]:
    """Places that must stay. Of other models all: they may have been started from this one's."""
    yield plan.promotions_prefix
    yield from _of_searches(store, age)
    yield from _of_jobs(store)
    chains = store.chains()
    for chain in chains:
        yield from (_folder(chain.origin.checkpoint), _folder(chain.origin.config_url))
    for model in {chain.model for chain in chains} | {plan.model}:
        mine = model == plan.model
        days, promotions = store.days(model), store.promotions(model)
        yield from _of_promotions(promotions, plan.finetune.keep_promotions if mine else len(promotions))
        yield from _of_days(day for day in days if not (mine and age.is_old(day)))
        yield from _of_days(_newest_of_chains(days, [c for c in chains if c.model == model]))


def _of_searches(store: ExperimentStore, age: _Age) -> Iterator[str]:
    """What searches start from, of whichever model: each further trial reads it again, and so does a clear."""
    for experiment in store.experiments(kinds=SEARCHES):
        if experiment.ended_at is None or experiment.ended_at >= age.cutoff:
            yield from plan_of(experiment.snapshot).read_places


def _of_jobs(store: ExperimentStore) -> Iterator[str]:
    """Every folder and file that a job at work names."""
    for step in store.open_steps():
        for value in step.payload["parameters"].values():
            yield from (part.strip().rstrip("/") for part in str(value).split(",") if "oss://" in part)


def _of_promotions(promotions: list[Promotion], keep: int) -> Iterator[str]:
    """Those of the last ``keep`` different models that served: where a rollback may go back to."""
    models: set[str] = set()
    for promotion in reversed(promotions):
        models.add(promotion.checkpoint)
        if len(models) > keep:
            return
        yield from (promotion.model_dir, _folder(promotion.checkpoint))
        yield from (promotion.export_dir or "", _folder(promotion.config_url or ""))


def _of_days(days: Iterable[Day]) -> Iterator[str]:
    """Their models, and what they start from: a day that is cleared starts there again."""
    for day in days:
        yield from (day.model_dir, _folder(day.checkpoint_in), _folder(day.checkpoint_out or ""))


def _newest_of_chains(days: list[Day], chains: list[Chain]) -> Iterator[Day]:
    """The day that the next one of each chain goes on from."""
    for chain in chains:
        last = last_good(current_days(d for d in days if d.chain_id == chain.id).values())
        if last is not None:
            yield last


def _has_job(store: ExperimentStore, day: Day) -> bool:
    """Somebody may have cleared a task of its old run, an export for example."""
    return any(not trial.state.is_terminal for trial in store.trials_of_run(day.run))


def _touches(folder: str, used: Iterable[str]) -> bool:
    """Whether it is one of these, or lies in one, or holds one."""
    return any(
        each == folder or each.startswith(f"{folder}/") or folder.startswith(f"{each}/") for each in used
    )


def _contents(objects: ObjectStore, folder: str, store_uuid: str, cutoff: datetime) -> list[ObjectInfo]:
    """What is to be deleted, the owner marker last: what a crash leaves is still known as ours. May be nothing."""
    marker = names.owner_marker(folder)
    if objects.info(marker) is None:
        return []
    if not _is_ours(objects.read(marker), store_uuid):
        log.warning("%s is old, and stays: its owner marker is not this store's", folder)
        return []
    found = list(objects.list(names.join_url(folder) + "/"))
    if any(each.modified_at >= cutoff for each in found):
        log.info("%s is old, and stays: it was written to since %s", folder, cutoff.date())
        return []
    return sorted(found, key=lambda each: each.url == marker)


def _is_ours(marker: bytes, store_uuid: str) -> bool:
    try:
        return bool(json.loads(marker)["store"] == store_uuid)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _folder(url: str) -> str:
    return url.rpartition("/")[0]
