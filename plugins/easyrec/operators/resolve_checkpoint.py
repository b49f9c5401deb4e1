"""The first task of a day that changes its chain: it waits for its turn, and gives way where it must."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from easyrec.callbacks import GaveWay
from easyrec.dates import business_date_of, business_date_of_run
from easyrec.failures import fails_the_task
from easyrec.operators.begin_search import started_by
from easyrec.operators.chain import DailyOperator, run_key
from easyrec.triggers.turn import DayBeforeTrigger, EarlierRunTrigger
from include.daily.plan import FinetunePlan
from include.errors import ConfigError
from include.store import RunKey

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import DagRunProtocol

    from include.daily.day import DailyFinetune


class ResolveCheckpointOperator(DailyOperator):
    """Decides what the day continues from and records that it has begun; returns ``DayInputs``.

    Days begin in order: it waits for the same task of the run before, and for days before that have no result.
    Skips the day, and with it the tasks that follow, when it is done already and ``retrain`` was not asked for.
    """

    gives_way = True

    def before_lease(self, context: Context, plan: FinetunePlan, bizdate: date) -> None:
        from easyrec import runtime

        runtime.own_store().return_place(plan.model, run=run_key(context), by=started_by(context))
        self._wait_for_run_before(context, plan, bizdate)

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
