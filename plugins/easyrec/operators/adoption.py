"""A finetune search's parameters, handed to the daily finetune as a DAG run (reference R26)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from easyrec.failures import fails_the_task
from easyrec.operators.begin_search import started_by
from include.daily.plan import FinetunePlan
from include.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Context

EXPERIMENT, TRIAL, NONE, REASON = "experiment", "trial", "none", "reason"


class AdoptOperator(BaseOperator):
    """Trains the model's coming days with the parameters of a finetune search, as the form says.

    :param model_folder: path of the model's folder.
    """

    def __init__(self, *, model_folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_folder = model_folder

    def execute(self, context: Context) -> dict[str, Any]:
        from easyrec import runtime
        from include.daily import adoption

        params, by = context["params"], started_by(context)
        with fails_the_task():
            plan = FinetunePlan.load(Path(self.model_folder))
            experiment, reason = params.get(EXPERIMENT), params.get(REASON) or ""
            if bool(experiment) == bool(params.get(NONE)):
                raise ConfigError(f"give either {EXPERIMENT}, or tick {NONE}", where="form")
            services = runtime.services(plan.settings)
            if params.get(NONE):
                adopted = adoption.adopt_none(services.store, plan, by=by, reason=reason)
            else:
                trial = adoption.parameters_to_adopt(
                    services.store, plan.model, experiment, params.get(TRIAL)
                )
                adopted = adoption.adopt(services.store, services.objects, plan, trial, by=by, reason=reason)
        self.log.info("adoption %d of %s counts: %s", adopted.number, adopted.model, dict(adopted.edits))
        return {"adoption": adopted.number, "edits": dict(adopted.edits)}
