"""First task of a finetune search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from easyrec.operators.begin_search import OpenExperimentOperator, whose

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Context

    from include.experiments.opening import Opened, OpenRequest
    from include.experiments.plan import Plan
    from include.experiments.services import Services


class OpenFinetuneSearchOperator(OpenExperimentOperator):
    """As ``OpenExperimentOperator``, for trials that are chains of days; reads ``start_time`` and ``end_time``."""

    def load(self, folder: Path) -> Plan:
        from include.experiments.chain_plan import ChainPlan

        return ChainPlan.load(folder)

    def open(self, services: Services, plan: Any, request: OpenRequest, context: Context) -> Opened:
        from include.finetune_search.opening import open_finetune_search

        start, end = (context["params"].get(name) or "" for name in ("start_time", "end_time"))
        return open_finetune_search(services, plan, request, start=start, end=end, **whose(context))
