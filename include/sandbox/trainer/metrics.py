"""Evaluation metrics by EasyRec's tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from include.errors import ConfigError

Array = npt.NDArray[Any]


def auc(labels: Array, scores: Array) -> float:
    """Area under the ROC curve, ties counted half; 0 when there is one class only, as TensorFlow's."""
    positive = labels > 0.5
    hits = int(positive.sum())
    misses = len(labels) - hits
    if not hits or not misses:
        return 0.0
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def grouped_auc(labels: Array, scores: Array, groups: Array) -> float:
    """Mean of the groups' AUC, weighted by size; groups of one class don't count."""
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(np.unique(groups, return_inverse=True)[1][order])) + 1
    total = weight = 0.0
    for rows in np.split(order, edges):
        if 0 < labels[rows].sum() < len(rows):
            total += len(rows) * auc(labels[rows], scores[rows])
            weight += len(rows)
    return total / weight if weight else 0.0


def evaluate(
    metrics_set: Any, labels: Array, predictions: Array, columns: Mapping[str, Array], suffix: str
) -> dict[str, float]:
    """The metrics of one task, e.g. ``{"auc_is_like": 0.71}``. ConfigError for metrics unknown here."""
    values = {}
    for entry in metrics_set:
        kind = entry.WhichOneof("metric")
        if kind == "gauc":
            field = entry.gauc.uid_field
            if field not in columns:
                raise ConfigError(f"uid_field {field!r} is not among the input_fields", where="gauc")
            values[f"gauc{suffix}"] = grouped_auc(labels, predictions, columns[field])
        elif kind in _PLAIN:
            values[f"{kind}{suffix}"] = _PLAIN[kind](labels, predictions)
        else:
            hint = f"it knows gauc, {', '.join(_PLAIN)}"
            raise ConfigError(f"the sandbox's trainer has no metric {kind}", where="metrics_set", hint=hint)
    return values


def _max_f1(labels: Array, predictions: Array) -> float:
    order = np.argsort(-predictions, kind="stable")
    hits = np.cumsum(labels[order] > 0.5)
    return float(np.max(2 * hits / (np.arange(1, len(order) + 1) + max(hits[-1], 1))))


def _mean_squared(labels: Array, predictions: Array) -> float:
    return float(np.mean((labels - predictions) ** 2))


def _ratio(hits: Array, among: Array) -> float:
    return float((hits & among).sum() / max(among.sum(), 1))


_PLAIN: dict[str, Callable[[Array, Array], float]] = {
    "auc": auc,
    "max_f1": _max_f1,
    "accuracy": lambda y, p: float(np.mean((p > 0.5) == (y > 0.5))),
    "recall": lambda y, p: _ratio(p > 0.5, y > 0.5),
    "precision": lambda y, p: _ratio(y > 0.5, p > 0.5),
    "mean_absolute_error": lambda y, p: float(np.mean(np.abs(y - p))),
    "mean_squared_error": _mean_squared,
    "root_mean_squared_error": lambda y, p: float(np.sqrt(_mean_squared(y, p))),
}
