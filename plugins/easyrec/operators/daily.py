"""The tasks of a daily finetune: each is one method of ``include.daily.day.DailyFinetune``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowSkipException,
    DagRunTriggerException,
)

from easyrec.assets import promoted
from easyrec.callbacks import GaveWay, PartitionsLateError
from easyrec.dates import FIELD, business_date_of, business_date_of_run
from easyrec.failures import fails_the_task
from easyrec.notifications import check
from easyrec.operators.begin_search import started_by
from easyrec.operators.pai_train import PaiTrainOperator
from easyrec.sensors.deferred import DeferredWait
from easyrec.triggers.tables import TablesTrigger
from easyrec.triggers.turn import DayBeforeTrigger, EarlierRunTrigger, LeaseTrigger
from include.daily.plan import FinetunePlan
from include.errors import ConfigError, PermanentError, RetryableError
from include.store import RunKey

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import DagRunProtocol

    from easyrec.triggers.turn import TurnTrigger
    from easyrec.triggers.waiting import WaitTrigger
    from include.daily.day import DailyFinetune


class HoldsLease(BaseOperator):
    """Base of tasks that change a model's chain: waits, deferred, until its run has the lease.

    Each of them asks, not only the first: a person may clear any one of them alone, long after its run.
    """

    gives_way = False
    """Whether its run may end, to be started again, when it waits for one that finds no place to begin."""

    def claim_or_wait(self, context: Context, model: str, bizdate: date) -> None:
        from easyrec import turn

        found = turn.claim(model, run_key(context), bizdate)
        if found is not None:
            self.log.info("waiting for %s", found.words)
            self.wait_with(LeaseTrigger, context, model, bizdate)

    def wait_with(
        self, trigger: type[TurnTrigger], context: Context, model: str, bizdate: date, **arguments: Any
    ) -> None:
        from easyrec import turn

        run = run_key(context)
        given = {
            "model": model,
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "bizdate": bizdate.isoformat(),
            "gives_way": self.gives_way,
            "poll_seconds": turn.POLL_SECONDS,
        }
        self.defer(trigger=trigger(**{**given, **arguments}), method_name="go_on")

    def let_go(self, context: Context, model: str) -> None:
        """Let others have the lease. ``finish`` does it too, but not when only failed tasks were cleared:
        it was green and doesn't run again."""
        from easyrec import runtime

        runtime.open_store().release_lease(model, run=run_key(context))

    def go_on(self, context: Context, event: Mapping[str, Any]) -> Any:
        if "error" in event:
            raise AirflowException(event["error"])
        return self.execute(context)


class DailyOperator(HoldsLease):
    """Base: reads the model's folder, gets the lease, and turns our errors into Airflow's.

    :param model_folder: path of the model's folder.
    """

    def __init__(self, *, model_folder: str, **kwargs: Any) -> None:
        super().__init__(multiple_outputs=True, **kwargs)
        self.model_folder = model_folder

    def work(self, context: Context, daily: DailyFinetune, plan: FinetunePlan, bizdate: date) -> Any:
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        with fails_the_task():
            plan = FinetunePlan.load(Path(self.model_folder))
            bizdate = business_date_of(context, plan.finetune.timezone)
            self.claim_or_wait(context, plan.model, bizdate)
            return self.work(context, engine(plan), plan, bizdate)


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


class ResolveCheckpointOperator(DailyOperator):
    """Decides what the day continues from and records that it has begun; returns ``DayInputs``.

    Days begin in order: it waits for the same task of the run before, and for days before that have no result.
    Skips the day, and with it the tasks that follow, when it is done already and ``retrain`` was not asked for.
    """

    gives_way = True

    def execute(self, context: Context) -> Any:
        from easyrec import runtime

        with fails_the_task():
            plan = FinetunePlan.load(Path(self.model_folder))
            bizdate = business_date_of(context, plan.finetune.timezone)
            runtime.open_store().return_place(plan.model, run=run_key(context), by=started_by(context))
            self._wait_for_run_before(context, plan, bizdate)
        return super().execute(context)

    def work(self, context: Context, daily: DailyFinetune, plan: FinetunePlan, bizdate: date) -> Any:
        from include.daily.chain import DayBeforeUnfinishedError
        from include.daily.day import DayAlreadyDoneError

        params = context["params"]
        try:
            inputs = daily.begin(
                bizdate,
                run=run_key(context),
                task_max_tries=context["ti"].max_tries,
                by=started_by(context),
                start_from=params.get("start_from") or _of_begin(context),
                retrain=bool(params.get("retrain")),
            )
        except DayAlreadyDoneError as error:
            raise AirflowSkipException(str(error)) from error
        except DayBeforeUnfinishedError as error:
            self.log.warning("%s; this day goes on by itself after that", error)
            self.let_go(context, plan.model)
            self.wait_with(DayBeforeTrigger, context, plan.model, bizdate)
        self.log.info("%s of %s continues from %s", bizdate, inputs.chain, inputs.checkpoint)
        return inputs.as_dict()

    def go_on(self, context: Context, event: Mapping[str, Any]) -> Any:
        blocked = event.get("found", {}).get("give_way_to")
        if blocked is not None:
            self._give_way(context, RunKey(run_key(context).dag_id, blocked))
        return super().go_on(context, event)

    def _wait_for_run_before(self, context: Context, plan: FinetunePlan, bizdate: date) -> None:
        """Else a backfill would begin all its days at once, and a chain with any of them."""
        from easyrec import turn

        before = context["ti"].get_previous_dagrun()
        if before is None or not _is_earlier(before, bizdate, plan.finetune.timezone):
            return
        asked = {
            "task_id": self.task_id,
            # One that a person started may have failed for any reason; last_good passes over days that failed.
            "also_failed": before.run_type != "manual" and plan.finetune.on_gap == "fail",
        }
        found = turn.earlier_run(RunKey(before.dag_id, before.run_id), **asked)
        if found is not None:
            self.log.info("waiting for %s", found.words)
            self.wait_with(
                EarlierRunTrigger,
                context,
                plan.model,
                bizdate,
                earlier=before.run_id,
                poll_seconds=turn.EARLIER_RUN_POLL_SECONDS,
                **asked,
            )

    def _give_way(self, context: Context, blocked: RunKey) -> None:
        from easyrec import runtime
        from easyrec.task_state import AirflowTasks

        if not AirflowTasks().is_queued(blocked):
            return  # it has found a place meanwhile
        with fails_the_task():
            plan = FinetunePlan.load(Path(self.model_folder))
            bizdate = business_date_of(context, plan.finetune.timezone)
            self.let_go(context, plan.model)
            runtime.open_store().give_place(plan.model, run=run_key(context), bizdate=bizdate, to=blocked)
        raise GaveWay(
            f"this run waits for {blocked.run_id}, which stays queued because the waiting runs fill max_active_runs: "
            "it gives its place away, and easyrec_reconcile starts it again"
        )


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

    Not a ``TriggerDagRunOperator``: its import alone takes longer than a DAG file may.

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
        raise DagRunTriggerException(
            trigger_dag_id=self.dag_id,
            dag_run_id=f"retrain__{stale}__{context['run_id']}"[:240],
            conf={FIELD: stale.isoformat(), "retrain": True, "retrain_later": True},
            logical_date=None,
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=[],
            failed_states=[],
            poke_interval=0,
            deferrable=False,
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


def engine(plan: FinetunePlan) -> DailyFinetune:
    from easyrec import runtime
    from include.daily.day import DailyFinetune

    return DailyFinetune(runtime.services(plan.settings), plan)


def run_key(context: Context) -> RunKey:
    ti = context["ti"]
    return RunKey(ti.dag_id, ti.run_id)


def _is_earlier(run: DagRunProtocol, bizdate: date, timezone: str) -> bool:
    """Whether the run is one of a day before ``bizdate``."""
    try:
        return business_date_of_run(run, timezone) < bizdate
    except ConfigError:  # it is of no day, and fails for that
        return False


def _of_begin(context: Context) -> str:
    """The experiment of the begin search whose asset event started this run, if one did."""
    events = context.get("triggering_asset_events") or {}
    found = [
        event.extra["experiment"]
        for several in events.values()
        for event in several
        if (event.extra or {}).get("experiment")
    ]
    return str(found[-1]) if found else ""
