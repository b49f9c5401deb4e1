"""What the tasks that change a model's chain have in common: they wait for its lease."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from easyrec.dates import business_date_of
from easyrec.failures import fails_the_task
from easyrec.triggers.turn import LeaseTrigger
from include.daily.plan import FinetunePlan
from include.store import RunKey

if TYPE_CHECKING:
    from airflow.sdk import Context

    from easyrec.triggers.turn import TurnTrigger
    from include.daily.day import DailyFinetune


class HoldsLease(BaseOperator):
    """Base of tasks that change a model's chain: waits, deferred, until its run has the lease.

    Each of them asks, not only the first: a person may clear any one of them alone, long after its run.
    """

    gives_way = False
    """Whether its run may end, to be started again, when it waits for one that finds no place to begin."""

    def claim_or_wait(self, context: Context, model: str, bizdate: date) -> None:
        from easyrec import runtime, turn

        runtime.own_store()  # an Airflow that it refuses may hold no lease in it either
        found = turn.claim(model, run_key(context), bizdate)
        if found is not None:
            self.log.info("waiting for %s", found.words)
            self.wait_with(LeaseTrigger, context, model, bizdate)

    def wait_with(
        self, trigger: type[TurnTrigger], context: Context, model: str, bizdate: date, **arguments: Any
    ) -> None:
        from easyrec import turn

        run = run_key(context)
        waiting = trigger(
            model=model,
            dag_id=run.dag_id,
            run_id=run.run_id,
            bizdate=bizdate.isoformat(),
            gives_way=self.gives_way,
            poll_seconds=turn.POLL_SECONDS,
            **arguments,
        )
        self.defer(trigger=waiting, method_name="go_on")

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

    def before_lease(self, context: Context, plan: FinetunePlan, bizdate: date) -> None:
        """What the task does, or defers for, before it asks for the lease."""

    def work(self, context: Context, daily: DailyFinetune, plan: FinetunePlan, bizdate: date) -> Any:
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        with fails_the_task():
            plan = FinetunePlan.load(Path(self.model_folder))
            bizdate = business_date_of(context, plan.finetune.timezone)
            self.before_lease(context, plan, bizdate)
            self.claim_or_wait(context, plan.model, bizdate)
            return self.work(context, engine(plan), plan, bizdate)


def engine(plan: FinetunePlan) -> DailyFinetune:
    from easyrec import runtime
    from include.daily.day import DailyFinetune

    return DailyFinetune(runtime.services(plan.settings), plan)


def run_key(context: Context) -> RunKey:
    ti = context["ti"]
    return RunKey(ti.dag_id, ti.run_id)
