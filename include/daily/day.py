"""One day of a chain from its beginning to its end (design section 6).

Whoever calls these methods holds the model's lease; each is safe to call again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from include import names
from include.daily import telling
from include.daily.chain import DayBeforeUnfinishedError, continue_from
from include.daily.origin import config_of_days, find_origin, rate_of_days
from include.daily.plan import FinetunePlan
from include.daily.promotion import promote
from include.daily.retention import remove_old_models
from include.errors import StateError
from include.experiments.checkpoints import find_checkpoint
from include.experiments.job_plan import JobPlan
from include.experiments.leftovers import end_leftovers
from include.experiments.services import Services
from include.finetune.gate import Verdict, judge
from include.jobs.edits import CHECKPOINT_KEY
from include.store import Chain, Day, DayState, Promotion, RunKey, current_days

log = logging.getLogger(__name__)

_DONE = (DayState.PROMOTED, DayState.GATE_FAILED, DayState.ROLLED_BACK)


class DayAlreadyDoneError(StateError):
    """The day has its result, and nobody asked for another one."""


@dataclass(frozen=True)
class DayInputs:
    """What a day trains on and with; plain data for the tasks after it.

    ``checkpoint``: exact prefix. ``trained_config``: the config that trained it. ``config_source`` becomes
    ``config_target`` with ``edits`` in it and ``learning_rate``: one number for every optimizer, a list with
    one for each, or None to leave them. ``overrides``: adopted parameters, which win over all of that.
    """

    day: int
    chain: str
    bizdate: str
    checkpoint: str
    model_dir: str
    trained_config: str
    config_source: str
    config_target: str
    edits: Mapping[str, Any]
    learning_rate: float | list[float] | None
    overrides: Mapping[str, Any]
    note: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    """What came out of a day's job. ``checkpoint``: exact prefix. ``metric``: the objective."""

    model_dir: str
    checkpoint: str
    metric: float | None
    metrics: Mapping[str, float]


class DailyFinetune:
    def __init__(self, services: Services, plan: FinetunePlan) -> None:
        self._services = services
        self._plan = plan
        self._store = services.store

    def begin(
        self,
        bizdate: date,
        *,
        run: RunKey,
        task_max_tries: int,
        by: str,
        start_from: str = "",
        retrain: bool = False,
    ) -> DayInputs:
        """Decide what the day continues from, and record that it has begun.

        ``start_from``: begin a new chain there instead of going on with the current one; a run that has done
        so keeps that chain when it is tried again or cleared. ``retrain``: also when the day is done.
        ``task_max_tries``: a value that differs from the recorded one means that a
        user cleared the day, which asks for a new training, unless another run has done what this one failed in.

        Raises DayAlreadyDoneError, ChainGapError, and ConfigError or NotFoundError for a checkpoint or an
        origin that can't be used. Nothing was recorded then.
        """
        mine = self._store.day_of_run(run)
        if mine is not None and mine.bizdate != bizdate:
            raise StateError(f"this run has begun {mine.bizdate} already, it can't train {bizdate} too")
        chain = self._chain(start_from, by, mine)
        days = self._store.days(self._plan.model, chain_id=chain.id)
        if not retrain and (mine is None or mine.checkpoint_out is None):
            _refuse_if_done(current_days(days).get(bizdate), run)
        try:
            found = continue_from(bizdate, chain, days, on_gap=self._plan.finetune.on_gap)
        except DayBeforeUnfinishedError as error:
            self._services.tell(telling.day_waits(self._plan.model, bizdate, str(error), run))
            raise
        find_checkpoint(self._services.objects, found.checkpoint)  # it is there, and whole
        named = self._plan.named_checkpoint(bizdate)
        if found.note:
            log.warning("%s", found.note)
        if named and named.rstrip("/") not in (found.checkpoint, found.checkpoint.rpartition("/")[0]):
            log.warning("the ini names %s; the chain continues from %s", named, found.checkpoint)
        parameters = self._plan.parameters(bizdate)
        rate = rate_of_days(self._services.objects, self._plan, chain)
        day = self._store.begin_day(
            chain.id,
            bizdate,
            run=run,
            task_max_tries=task_max_tries,
            checkpoint_in=found.checkpoint,
            model_dir=parameters["model_dir"],
        )
        if found.missing and mine is None:
            self._services.tell(telling.gap_passed_over(self._plan.model, bizdate, found, run))
        return self._inputs(day, chain, rate, found.note)

    def check_still_valid(self, day_id: int) -> None:
        """Before a training that was cleared alone: does the day still continue from the same checkpoint?

        Raises StateError that says which task to clear instead.
        """
        day = self._day(day_id)
        chain = self._store.current_chain(self._plan.model)
        if chain is None or chain.id != day.chain_id:
            raise StateError(
                f"{day.bizdate} belongs to chain {day.chain_id}, which is no longer the model's",
                hint="clear resolve_checkpoint and what follows it",
            )
        days = self._store.days(self._plan.model, chain_id=chain.id)
        newest = max((d for d in days if d.bizdate == day.bizdate), key=lambda d: d.repeat)
        if newest.run != day.run and (day.state is DayState.SUPERSEDED or newest.state in _DONE):
            raise StateError(
                f"run {newest.run} has trained {day.bizdate} in place of this one",
                hint="to train it once more, clear resolve_checkpoint and what follows it",
            )
        now = continue_from(day.bizdate, chain, days, on_gap=self._plan.finetune.on_gap)
        if now.checkpoint != day.checkpoint_in:
            raise StateError(
                f"{day.bizdate} was to continue from {day.checkpoint_in}, by now it is {now.checkpoint}",
                hint="clear resolve_checkpoint and what follows it",
            )

    def judge(self, day_id: int, trained: Trained) -> tuple[Day, Verdict]:
        """Record the day's model and let the gate decide. A failed gate is the day's end, and no error."""
        day = before = self._day(day_id)
        checkpoint = find_checkpoint(self._services.objects, trained.checkpoint)
        day = self._store.record_training(
            day_id,
            model_dir=trained.model_dir,
            checkpoint_in=day.checkpoint_in,
            checkpoint_out=checkpoint.prefix,
            global_step=checkpoint.step,
            metric=trained.metric,
            metrics=trained.metrics,
        )
        if day.state is DayState.PROMOTED:
            return day, Verdict(True, ("it is promoted already",))
        days = current_days(self._store.days(self._plan.model, chain_id=day.chain_id))
        earlier = [
            d.metric
            for d in days.values()
            if d.bizdate < day.bizdate and d.state is DayState.PROMOTED and d.metric is not None
        ]
        verdict = judge(
            self._plan.finetune.gate,
            objective=trained.metric,
            metrics=trained.metrics,
            earlier=earlier,
            optimize_mode=self._plan.finetune.optimize_mode,
        )
        if not verdict.passed:
            day = self._store.end_day(day.id, DayState.GATE_FAILED, str(verdict))
            if (before.id, before.state) != (day.id, day.state):  # else it was told before
                serving = self._store.serving(self._plan.model)
                self._services.tell(telling.gate_refused(day, verdict, serving))
        return day, verdict

    def promote(
        self, day_id: int, *, by: str, reason: str = "", export_dir: str | None = None
    ) -> tuple[Promotion | None, list[Day]]:
        """Let the day's model serve. Also returns later days that were trained on what it replaces.

        No promotion (None) when a later day of the chain serves already.
        """
        day = self._day(day_id)
        return promote(self._services, self._plan, day, by=by, reason=reason, export_dir=export_dir)

    def remove_old_models(self) -> list[str]:
        """Remove model_dirs that are older than ``keep_days`` and that nothing needs; returns them."""
        return remove_old_models(self._services, self._plan)

    def next_stale(self, after: date) -> date | None:
        """The first later day whose model was trained on one that was replaced since.

        Days that failed, run now, or were rolled back wait for a person instead.
        """
        chain = self._store.current_chain(self._plan.model)
        if chain is None:
            return None
        days = current_days(self._store.days(self._plan.model, chain_id=chain.id))
        stale = (d.bizdate for d in days.values() if d.stale and d.state.has_model)
        return min((bizdate for bizdate in stale if bizdate > after), default=None)

    def finish(self, run: RunKey, reason: str) -> None:
        """The run is over, well or not: nothing of it goes on, and others may have the lease.

        ``reason``: why a day that has no outcome failed.
        """
        trials = self._store.trials_of_run(run)
        unstopped = end_leftovers(
            self._services, trials, lambda trial: JobPlan.of_trial(trial.parameters), model=self._plan.model
        )
        day = self._store.day_of_run(run)
        if day is not None and day.state is DayState.OPEN:
            self._store.end_day(day.id, DayState.FAILED, reason)
        self._store.release_lease(self._plan.model, run=run)
        if unstopped is not None:
            raise unstopped

    def _chain(self, start_from: str, by: str, mine: Day | None) -> Chain:
        current = self._store.current_chain(self._plan.model)
        # What start_from names may be another checkpoint by now, e.g. of a search that ended since.
        if current is not None and (not start_from or (mine is not None and mine.chain_id == current.id)):
            return current
        origin = find_origin(self._services, self._plan, start_from or self._plan.finetune.start_from)
        return self._store.open_chain(self._plan.model, origin=origin, by=by)

    def _inputs(self, day: Day, chain: Chain, rate: float | list[float] | None, note: str) -> DayInputs:
        folder, _, name = day.model_dir.rstrip("/").rpartition("/")
        trained_in = day.checkpoint_in.rpartition("/")[0]
        adopted = self._store.adoption(self._plan.model)
        if adopted is not None and adopted.edits:
            log.info("%s: %s", adopted, dict(adopted.edits))
        return DayInputs(
            day=day.id,
            chain=chain.id,
            bizdate=day.bizdate.isoformat(),
            checkpoint=day.checkpoint_in,
            model_dir=day.model_dir,
            trained_config=names.saved_pipeline_config(trained_in),
            config_source=config_of_days(self._plan, chain, day.bizdate),
            config_target=names.join_url(folder, f"{self._plan.model}_configs", f"{name}.config"),
            edits={**self._plan.edits(day.bizdate), CHECKPOINT_KEY: day.checkpoint_in},
            learning_rate=rate,
            overrides=dict(adopted.edits) if adopted is not None else {},
            note=note,
        )

    def _day(self, day_id: int) -> Day:
        return self._store.day(day_id)


def _refuse_if_done(day: Day | None, run: RunKey) -> None:
    """What ``run`` has done itself it may do again: it was cleared."""
    if day is None or day.run == run or day.state not in _DONE:
        return
    outcome = day.state.value.lower().replace("_", " ")
    raise DayAlreadyDoneError(
        f"{day.bizdate} is done: {outcome}{', but stale' if day.stale else ''}",
        hint="to train it again, clear its run, or run it with retrain",
    )
