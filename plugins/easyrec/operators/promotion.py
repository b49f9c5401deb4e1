"""What serves, changed by a person: promote a day, or roll back, as a DAG run (design section 6)."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.assets import promoted
from easyrec.dates import FIELD
from easyrec.failures import fails_the_task
from easyrec.operators.begin_search import started_by
from easyrec.operators.chain import HoldsLease, run_key
from include.daily.plan import FinetunePlan
from include.errors import ConfigError, NotFoundError
from include.finetune.calendar import parse_day

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.services import Services
    from include.store import Promotion

ROLL_BACK_TO = "roll_back_to"
REASON = "reason"


class ChangeServingOperator(HoldsLease):
    """Lets a trained day serve that the gate refused, or an earlier promotion serve again.

    The form says which: ``bizdate`` or ``roll_back_to``, and a ``reason``. It waits, deferred, while a day of
    the model trains, and emits the model's asset.

    :param model: name of the model.
    :param model_folder: path of the model's folder.
    """

    def __init__(self, *, model: str, model_folder: str, **kwargs: Any) -> None:
        super().__init__(outlets=[promoted(model)], **kwargs)
        self.model = model
        self.model_folder = model_folder

    def execute(self, context: Context) -> dict[str, Any]:
        from easyrec import runtime

        with fails_the_task():
            plan = FinetunePlan.load(Path(self.model_folder))
            services = runtime.services(plan.settings)
            wanted, reason = change_wanted(context["params"])
            day = wanted if isinstance(wanted, date) else _day_of(services, plan.model, wanted)
            self.claim_or_wait(context, plan.model, day)
            try:
                promotion = _change(services, plan, wanted, by=started_by(context), reason=reason)
            finally:
                services.store.release_lease(plan.model, run=run_key(context))
        if promotion is None:
            self.log.info("%s is part of the chain again; a later day serves", day)
            return {"promotion": None, "bizdate": day.isoformat()}
        self.log.info("promotion %d: %s serves", promotion.number, promotion.checkpoint)
        done = {
            "promotion": promotion.number,
            "kind": promotion.kind,
            "bizdate": promotion.bizdate.isoformat(),
            "checkpoint": promotion.checkpoint,
        }
        context["outlet_events"][promoted(self.model)].extra = done
        return done


def change_wanted(params: Any) -> tuple[date | int, str]:
    """The form, read: the day to promote or the promotion to go back to, and why. Raises ConfigError."""
    day, number, reason = params.get(FIELD), params.get(ROLL_BACK_TO), (params.get(REASON) or "").strip()
    if (day is None) == (number is None):
        raise ConfigError(
            f"give either {FIELD} (promote that day) or {ROLL_BACK_TO} (serve that promotion again)",
            where="form",
        )
    if not reason:
        raise ConfigError("say why: it is kept with the promotion", where=f"form field {REASON}")
    return (int(number) if number is not None else parse_day(day)), reason


def _day_of(services: Services, model: str, number: int) -> date:
    found = next((p for p in services.store.promotions(model) if p.number == number), None)
    if found is None:
        raise NotFoundError(f"model {model} has no promotion {number}", where=f"form field {ROLL_BACK_TO}")
    return found.bizdate


def _change(
    services: Services, plan: FinetunePlan, wanted: date | int, *, by: str, reason: str
) -> Promotion | None:
    from include.daily.promotion import promote_day, roll_back

    if isinstance(wanted, int):
        return roll_back(services, plan, to=wanted, by=by, reason=reason)
    return promote_day(services, plan, wanted, by=by, reason=reason)
