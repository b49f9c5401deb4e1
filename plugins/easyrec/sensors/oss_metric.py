"""Waits for the metric of a model_dir: usable in any DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from easyrec.sensors.deferred import DeferredWait
from easyrec.triggers.metric import MetricTrigger
from include.errors import NotFoundError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from easyrec.triggers.waiting import WaitTrigger


class OssMetricSensor(DeferredWait):
    """Waits, deferred, until a model_dir on OSS has its metric; tells "not yet" from "broken".

    Reads only the new bytes of the event files below ``<model_dir>/eval_val/``. Fails at once when the metric
    can't come any more: training ended without it, a weighted tag is not there, every value is NaN. Returns
    ``metric`` (Σ weight·value), ``metrics`` of that step and ``global_step``.

    Templated: ``model_dir``, ``eval_result``, ``weights``.

    :param model_dir: a model_dir that a training writes to.
    :param weights: weight by metric tag, as in ``[metric_config]``.
    :param until: ``done`` waits for the end of training, ``first`` takes the first evaluation.
    :param eval_result: instead of event files: the file that ``-Dcmd=evaluate`` writes.
    :param optimize_mode: decides the best step when the settings' ``final_metric`` is ``best``.
    :param wait_hours: how long to wait.
    """

    template_fields: Sequence[str] = ("model_dir", "eval_result", "weights")

    def __init__(
        self,
        *,
        weights: Mapping[str, float],
        model_dir: str,
        eval_result: str | None = None,
        until: Literal["done", "first"] = "done",
        optimize_mode: Literal["maximize", "minimize"] = "maximize",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_dir = model_dir
        self.weights = weights
        self.eval_result = eval_result
        self.until = until
        self.optimize_mode = optimize_mode

    def trigger(self, context: Context, **common: Any) -> WaitTrigger:
        probe = {
            "model_dir": self.model_dir,
            "weights": dict(self.weights),
            "until": self.until,
            "optimize_mode": self.optimize_mode,
            "final_metric": self.settings.final_metric,
        }
        return MetricTrigger(probe=probe, settings=self.plain_settings(), **common)

    def wait(self, context: Context) -> Any:
        if not self.eval_result:
            return super().wait(context)
        from easyrec import runtime
        from include.daily.metric_probe import read_eval_result

        found = read_eval_result(runtime.objects(self.settings), self.eval_result, self.weights)
        if found is None:
            raise NotFoundError("the evaluation left no result", where=self.eval_result)
        return found.as_dict()
