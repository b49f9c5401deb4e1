"""The tasks of a daily finetune: each is one method of ``include.daily.day.DailyFinetune``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
)

from easyrec.assets import promoted
from easyrec.callbacks import PartitionsLateError
from easyrec.dates import FIELD, business_date_of
from easyrec.failures import fails_the_task
from easyrec.notifications import check
from easyrec.operators.begin_search import started_by
from easyrec.operators.chain import DailyOperator, HoldsLease, engine, run_key
from easyrec.operators.pai_train import PaiTrainOperator
from easyrec.runs import start_of
from easyrec.sensors.deferred import DeferredWait
from easyrec.triggers.tables import TablesTrigger
from include.daily.plan import FinetunePlan
from include.errors import PermanentError, RetryableError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from easyrec.triggers.waiting import WaitTrigger
    from include.daily.day import DailyFinetune


class WaitForTablesOperator(DeferredWait):
    """Waits, deferred, for the tables and partitions that a command of the day reads.

    :param model_folder: path of the model's folder.
    :param command: ``train`` or ``evaluate``.
    """

    too_late = PartitionsLateError

    def __init__(self, *, model_folder: str, command: str = "train", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_folder = model_folder
        self.command = command

    def trigger(self, context: Context, **common: Any) -> WaitTrigger:
        plan = FinetunePlan.load(Path(self.model_folder))
        check(plan.settings.notify)
        bizdate = business_date_of(context, plan.finetune.timezone)
        self.log.info("business date %s", bizdate)
        tables = [vars(t) for t in plan.tables(bizdate, self.command)]
        return TablesTrigger(tables=tables, settings=self.plain_settings(), **common)


class TrainDayOperator(PaiTrainOperator, HoldsLease):
    """The day's training: a ``PaiTrainOperator`` that holds the lease and starts from what was resolved.

    :param model_folder: path of the model's folder.
    :param day: id of the day in the store (templated).
    """

    template_fields: Sequence[str] = (*PaiTrainOperator.template_fields, "day")

    def __init__(self, *, model_folder: str, day: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_folder = model_folder
        self.day = day

    def execute(self, context: Context) -> Any:
        with fails_the_task():
            plan = FinetunePlan.load(Path(self.model_folder))
            self.claim_or_wait(context, plan.model, self._day(context))
            engine(plan).check_still_valid(int(self.day))
        return super().execute(context)


class GateOperator(DailyOperator, SkipMixin):
    """Records the day's model and judges it. A failed gate is green, and what follows is skipped.

    Tomorrow then continues from the last good day.

    :param day: id of the day in the store (templated).
    :param trained: what ``train`` returned (templated).
    :param metric: what ``metrics`` returned (templated).
    """

    template_fields: Sequence[str] = ("day", "trained", "metric")

    def __init__(self, *, day: Any, trained: Any, metric: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.day = day
        self.trained = trained
        self.metric = metric

    def work(self, context: Context, daily: DailyFinetune, plan: FinetunePlan, bizdate: date) -> Any:
        from include.daily.day import Trained

        trained = Trained(
            model_dir=self.trained["model_dir"],
            checkpoint=self.trained["checkpoint"],
            metric=self.metric["metric"],
            metrics=self.metric["metrics"],
        )
        day, verdict = daily.judge(int(self.day), trained)
        self.log.log(20 if verdict.passed else 30, "%s: gate %s", bizdate, verdict)
        if not verdict.passed:
            followers = [t for t in self.get_direct_relatives(upstream=False) if not t.is_teardown]
            self.skip(ti=context["ti"], tasks=followers)
            self.let_go(context, plan.model)
        return {"day": day.id, "passed": verdict.passed, "reasons": list(verdict.reasons)}


class PromoteOperator(DailyOperator):
    """Lets the day's model serve: records it, publishes the pointer on OSS, and emits the model's asset.

    :param gate: what ``gate`` returned (templated).
    :param exported: what ``export`` returned (templated), if there is an export.
    """

    template_fields: Sequence[str] = ("gate", "exported")

    def __init__(self, *, gate: Any, exported: Any = None, model: str, **kwargs: Any) -> None:
        super().__init__(outlets=[promoted(model)], **kwargs)
        self.gate = gate
        self.exported = exported
        self.model = model

    def work(self, context: Context, daily: DailyFinetune, plan: FinetunePlan, bizdate: date) -> Any:
        export_dir = (self.exported or {}).get("export_dir")
        promotion, stale = daily.promote(int(self.gate["day"]), by=started_by(context), export_dir=export_dir)
        days = [d.bizdate.isoformat() for d in stale]
        if days:
            self.log.warning(
                "these days were trained on what %s replaces and are stale now: %s (run them with retrain, "
                "or this one with retrain_later)",
                bizdate,
                ", ".join(days),
            )
        done: dict[str, Any] = {"bizdate": bizdate.isoformat(), "stale": days, "promotion": None}
        if promotion is None:
            self.log.info("%s is part of the chain again; a later day serves", bizdate)
        else:
            done |= {"promotion": promotion.number, "checkpoint": promotion.checkpoint}
            self.log.info("promotion %d: %s serves", promotion.number, promotion.checkpoint)
        context["outlet_events"][promoted(self.model)].extra = done
        self._remove_old(daily)
        self.let_go(context, plan.model)
        return done

    def _remove_old(self, daily: DailyFinetune) -> None:
        """While the lease is held. The day serves already: no trouble here may fail it."""
        try:
            daily.remove_old_models()
        except Exception as error:  # noqa: BLE001 - see above
            self.log.warning("old model_dirs stay for today (finetune.keep_days): %s", error)


class RetrainLaterOperator(BaseOperator):
    """Starts the run of the next stale day, when the form asked for ``retrain_later``; it starts the one after.

    :param model_folder: path of the model's folder.
    """

    def __init__(self, *, model_folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_folder = model_folder

    def execute(self, context: Context) -> None:
        if not context["params"].get("retrain_later"):
            return  # not skipped: Airflow takes 5 s to record a skip
        plan = FinetunePlan.load(Path(self.model_folder))
        stale = engine(plan).next_stale(business_date_of(context, plan.finetune.timezone))
        if stale is None:
            self.log.info("no later day is stale")
            return
        raise start_of(
            self.dag_id,
            f"retrain__{stale}__{context['run_id']}"[:240],
            conf={FIELD: stale.isoformat(), "retrain": True, "retrain_later": True},
        )


class FinishDayOperator(BaseOperator):
    """Ends the run in order, whatever became of it: jobs that nobody watches, the day's record, the lease.

    :param model_folder: path of the model's folder.
    """

    def __init__(self, *, model_folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_folder = model_folder

    def execute(self, context: Context) -> None:
        try:
            plan = FinetunePlan.load(Path(self.model_folder))
            engine(plan).finish(run_key(context), "a task of its run failed: see the red square in the grid")
        except (PermanentError, RetryableError) as error:
            raise AirflowException(str(error)) from error
