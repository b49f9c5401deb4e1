"""The metric of a model_dir, looked at from outside the job: "not yet" told from "broken" (R9)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from include import names
from include.errors import ConfigError, MetricError, NotFoundError
from include.metrics.events import EventFollower
from include.metrics.objective import Objective, ObjectiveValue, OptimizeMode, final
from include.ports import ObjectStore

_LOOKS_FOR_LATE_METRICS = 3


@dataclass(frozen=True)
class Metric:
    """``objective``: Σ weight·value at ``global_step``; ``metrics``: all values of that step by tag."""

    global_step: int | None
    objective: float
    metrics: Mapping[str, float]

    def as_dict(self) -> dict[str, object]:
        return {"global_step": self.global_step, "metric": self.objective, "metrics": dict(self.metrics)}


class MetricProbe:
    """Looks at the event files below ``<model_dir>/eval_val/``, at new bytes only.

    ``until``: ``done`` waits for the end of training (EasyRec's ``ESTIMATOR_TRAIN_DONE``), ``first`` takes
    the first evaluation that is complete.
    """

    def __init__(
        self,
        objects: ObjectStore,
        model_dir: str,
        weights: Mapping[str, float],
        *,
        until: Literal["done", "first"] = "done",
        optimize_mode: OptimizeMode = "maximize",
        final_metric: Literal["last", "best"] = "last",
    ) -> None:
        names.split_oss_url(model_dir)
        self._objects = objects
        self._model_dir = model_dir
        self._until = until
        self._mode: OptimizeMode = optimize_mode
        self._use_best = final_metric == "best"
        self._weights = dict(weights)
        self._objective = Objective(weights)
        self._follower = EventFollower(objects, names.eval_events_prefix(model_dir))
        self._results: list[ObjectiveValue] = []
        self._empty_looks = 0

    def look(self) -> Metric | None:
        """The metric, or None while it may still come. One bounded round.

        Raises MetricError when it can't come any more, or is NaN or infinite; RetryableError when OSS can't
        be reached.
        """
        done = self._objects.info(names.train_done_marker(self._model_dir)) is not None
        self._results += self._objective.collect(self._follower.poll())
        if self._until == "done" and not done:
            return None
        if not self._results:
            if not done:
                return None
            self._empty_looks += 1  # the last event file may show up after the marker
            if self._empty_looks <= _LOOKS_FOR_LATE_METRICS:
                return None
            raise MetricError(
                f"training has ended without one evaluation that has all of {', '.join(self._weights)}",
                where=names.eval_events_prefix(self._model_dir),
            )
        found = final(self._results, optimize_mode=self._mode, use_best=self._use_best)
        if found is None:
            raise MetricError(
                f"every evaluation is NaN or infinite ({len(self._results)} of them): training diverged",
                where=self._model_dir,
            )
        return Metric(found.global_step, found.objective, found.metrics)


def read_eval_result(objects: ObjectStore, url: str, weights: Mapping[str, float]) -> Metric | None:
    """The metric in the file that ``-Dcmd=evaluate`` writes; None while there is none.

    Raises MetricError when it is not what EasyRec writes, lacks a weighted tag or holds NaN.
    """
    if not weights:
        raise ConfigError("the objective has no metrics", hint="name one in [metric_config], e.g. auc=1")
    try:
        text = objects.read(url)
    except NotFoundError:
        return None
    try:
        values = {str(k): float(v) for k, v in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MetricError(f"not an evaluation result: {error}", where=url) from error
    missing = [tag for tag in weights if tag not in values]
    if missing:
        raise MetricError(
            f"the evaluation has no metric {', '.join(missing)}; it has {', '.join(sorted(values))}",
            where=url,
        )
    objective = sum(weight * values[tag] for tag, weight in weights.items() if weight)
    if not math.isfinite(objective):
        raise MetricError(f"the objective is {objective}", where=url)
    step = int(values.pop("global_step")) if math.isfinite(values.get("global_step", math.nan)) else None
    return Metric(step, objective, values)
