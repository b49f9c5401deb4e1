"""Rank models of EasyRec in small: the configured groups, towers and losses over numpy layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from include.errors import ConfigError
from include.sandbox.trainer.features import Array, Encoded, Feature
from include.sandbox.trainer.layers import DNN, Dense, Embeddings, sigmoid
from include.sandbox.trainer.variables import Matrix, Segment, Variable

_WIDE, _WIDE_AND_DEEP = 1, 2
_LOSSES = {"CLASSIFICATION": "cross_entropy_loss", "L2_LOSS": "l2_loss", "SIGMOID_L2_LOSS": "sigmoid_l2_loss"}
_MULTI = {"DBMTL": "dbmtl", "SimpleMultiTask": "simple_multi_task"}
_SINGLE = {"DeepFM": "deepfm", "WideAndDeep": "wide_and_deep", "MultiTower": "multi_tower", "FM": "fm"}


@dataclass(frozen=True)
class Task:
    """One label to predict. ``suffix`` ends its metric and loss names, e.g. ``_is_like``."""

    suffix: str
    label: str
    loss: str
    weight: float
    metrics_set: Any

    @property
    def loss_name(self) -> str:
        return _LOSSES[self.loss] + self.suffix

    @property
    def is_probability(self) -> bool:
        return self.loss != "L2_LOSS"


@dataclass(frozen=True)
class Group:
    name: str
    deep: tuple[str, ...]
    wide: tuple[str, ...]


class Network:
    """The model of a config over examples whose features are encoded. ConfigError for what isn't supported.

    Variables live in two segments, embeddings and the rest, as EasyRec's optimizers group them.
    ``known_rows``: embedding rows of a checkpoint, kept although today's data may not touch them.
    """

    def __init__(
        self,
        config: Any,
        features: Mapping[str, Feature],
        encoded: dict[str, Encoded],
        *,
        seed: int,
        known_rows: Mapping[str, npt.NDArray[np.int64]] | None = None,
    ) -> None:
        model = config.model_config
        self.tasks = read_tasks(config)
        self.embedding_segment, self.dense_segment = Segment(), Segment()
        self._encoded = encoded
        self._known_rows = known_rows or {}
        self._regularization = float(model.embedding_regularization)
        self._groups = [_read_group(group, features) for group in model.feature_groups]
        if not self._groups:
            raise ConfigError("no feature_groups", where="model_config")
        name = (_MULTI | _SINGLE)[model.model_class]
        self._body = getattr(model, name)
        self._l2 = float(self._body.l2_regularization)
        self._features = features
        wide_dim = int(getattr(self._body, "wide_output_dim", 1) or 1)
        self._deep = self._tables([f for group in self._groups for f in group.deep], None)
        self._wide = self._tables([f for group in self._groups for f in group.wide], wide_dim)
        self._dnns: dict[str, DNN] = {}
        self._heads: list[Dense] = []
        build = {"dbmtl": self._build_towers, "simple_multi_task": self._build_towers}
        build.get(name, self._build_single)(name)
        rng = np.random.default_rng([seed, 1])
        self.embedding_segment.allocate(rng)
        self.dense_segment.allocate(rng)

    # -- construction -------------------------------------------------------------------------------

    def _tables(self, names: Sequence[str], wide_dim: int | None) -> Embeddings | None:
        chosen = [self._features[name] for name in dict.fromkeys(names) if not self._is_plain(name, wide_dim)]
        dims = {feature.name: wide_dim or feature.dim for feature in chosen}
        for feature in chosen:
            if not dims[feature.name]:
                raise ConfigError("embedding_dim must be set", where=f"feature {feature.name}")
        if not chosen:
            return None
        suffix = "wide" if wide_dim else "embedding"
        return Embeddings(
            chosen, self._encoded, dims, self.embedding_segment, suffix=suffix, known_rows=self._known_rows
        )

    def _is_plain(self, name: str, wide_dim: int | None) -> bool:
        """Numbers without embedding_dim go into the network as they are."""
        feature = self._features[name]
        return feature.is_number and not feature.dim and wide_dim is None

    def _width(self, group: Group) -> int:
        return sum(1 if self._is_plain(name, None) else self._features[name].dim for name in group.deep)

    def _dnn(self, label: str, config: Any, inputs: int) -> int:
        self._dnns[label] = DNN(config, inputs, self.dense_segment, name=label, l2=self._l2)
        return self._dnns[label].outputs

    def _head(self, inputs: int, label: str) -> None:
        self._heads.append(Dense(inputs, 1, self.dense_segment, name=f"{label}/output", l2=self._l2))

    def _build_towers(self, kind: str) -> None:
        self._kind = "towers"
        width = sum(self._width(group) for group in self._groups)
        if kind == "dbmtl":
            for field in ("bottom_cmbf", "bottom_uniter", "expert_dnn"):
                if self._body.HasField(field):
                    raise ConfigError(f"the sandbox's trainer has no {field}", where="model_config.dbmtl")
            if self._body.HasField("bottom_dnn"):
                width = self._dnn("bottom_dnn", self._body.bottom_dnn, width)
        self._bottom = width
        outputs: dict[str, int] = {}
        for tower in self._body.task_towers:
            name, size = tower.tower_name, width
            if tower.HasField("dnn"):
                size = self._dnn(f"{name}/dnn", tower.dnn, width)
            outputs[name] = size
            if kind == "dbmtl" and tower.HasField("relation_dnn"):
                for other in tower.relation_tower_names:
                    if other not in outputs:
                        raise ConfigError(f"relation tower {other!r} must come before", where=name)
                size = sum((outputs[other] for other in tower.relation_tower_names), size)
                size = self._dnn(f"{name}/relation_dnn", tower.relation_dnn, size)
                outputs[name] = size
            self._head(size, name)

    def _build_single(self, kind: str) -> None:
        self._kind = kind
        self._vector = 0
        if kind in ("deepfm", "fm"):
            dims = {self._features[f].dim for group in self._groups for f in group.deep}
            if len(dims) != 1:
                raise ConfigError(f"{kind} needs one embedding_dim for all deep features, found {dims}")
            self._vector = dims.pop()
        if kind == "multi_tower":
            by_name = {group.name: group for group in self._groups}
            size = 0
            for tower in self._body.towers:
                if tower.input not in by_name:
                    raise ConfigError(f"there is no feature group {tower.input!r}", where="multi_tower")
                size += self._dnn(f"{tower.input}/dnn", tower.dnn, self._width(by_name[tower.input]))
            self._head(self._dnn("final_dnn", self._body.final_dnn, size), "final")
        elif kind != "fm":
            width = sum(self._width(group) for group in self._groups)
            size = self._dnn("deep_feature", self._body.dnn, width)
            if self._body.HasField("final_dnn"):
                size = self._dnn("final_dnn", self._body.final_dnn, size)
            self._head(size, "deep_output")

    @property
    def variables(self) -> list[Variable]:
        moving = [variable for dnn in self._dnns.values() for variable in dnn.moving]
        return [*self.embedding_segment.variables, *self.dense_segment.variables, *moving]

    # -- passes -------------------------------------------------------------------------------------

    def logits(self, rows: npt.NDArray[np.int64]) -> list[Matrix]:
        """One vector per task, outside training."""
        return self._forward(rows, None)

    def to_prediction(self, task: Task, logit: Matrix) -> Matrix:
        """A probability, or the value itself for L2_LOSS."""
        return sigmoid(logit) if task.is_probability else logit

    def train(
        self, rows: npt.NDArray[np.int64], labels: Sequence[Array], rng: np.random.Generator
    ) -> dict[str, float]:
        """Fill the segments' gradients for one batch; the losses by name."""
        self.embedding_segment.gradients[...] = 0
        self.dense_segment.gradients[...] = 0
        logits = self._forward(rows, rng)
        values, slopes = losses(self.tasks, labels, logits)
        values["regularization_loss"] = self._backward(slopes)
        values["total_loss"] = sum(values.values())
        return values

    def _forward(self, rows: npt.NDArray[np.int64], rng: np.random.Generator | None) -> list[Matrix]:
        self._pooled = self._deep.forward(rows) if self._deep else {}
        for group in self._groups:
            for name in group.deep:
                if self._is_plain(name, None):
                    self._pooled[name] = self._encoded[name].weights[rows]
        if self._kind == "towers":
            return self._forward_towers(rng)
        return [self._forward_single(rows, rng)]

    def _concatenated(self, groups: Sequence[Group]) -> Matrix:
        return np.concatenate([self._pooled[name] for group in groups for name in group.deep], axis=1)

    def _scatter(self, gradient: Matrix, groups: Sequence[Group], into: dict[str, Matrix]) -> None:
        start = 0
        for group in groups:
            for name in group.deep:
                stop = start + self._pooled[name].shape[1]
                into[name] = into.get(name, np.float32(0)) + gradient[:, start:stop]
                start = stop

    def _forward_towers(self, rng: np.random.Generator | None) -> list[Matrix]:
        hidden = self._concatenated(self._groups)
        if "bottom_dnn" in self._dnns:
            hidden = self._dnns["bottom_dnn"].forward(hidden, rng)
        outputs: dict[str, Matrix] = {}
        logits = []
        for tower, head in zip(self._body.task_towers, self._heads, strict=True):
            name, value = tower.tower_name, hidden
            if f"{name}/dnn" in self._dnns:
                value = self._dnns[f"{name}/dnn"].forward(value, rng)
            if f"{name}/relation_dnn" in self._dnns:
                joined = [value, *(outputs[other] for other in tower.relation_tower_names)]
                value = self._dnns[f"{name}/relation_dnn"].forward(np.concatenate(joined, axis=1), rng)
            outputs[name] = value
            logits.append(head.forward(value)[:, 0])
        self._outputs, self._hidden = outputs, hidden
        return logits

    def _backward_towers(self, slopes: Sequence[Matrix]) -> dict[str, Matrix]:
        total = np.zeros_like(self._hidden)
        later: dict[str, Matrix] = {}
        for index in reversed(range(len(self._heads))):
            tower = self._body.task_towers[index]
            name = tower.tower_name
            gradient = self._heads[index].backward(slopes[index][:, None])
            if name in later:
                gradient = gradient + later[name]
            if f"{name}/relation_dnn" in self._dnns:
                joined = self._dnns[f"{name}/relation_dnn"].backward(gradient)
                stop = joined.shape[1]
                for other in reversed(tower.relation_tower_names):
                    start = stop - self._outputs[other].shape[1]
                    later[other] = later.get(other, np.float32(0)) + joined[:, start:stop]
                    stop = start
                gradient = joined[:, :stop]
            if f"{name}/dnn" in self._dnns:
                gradient = self._dnns[f"{name}/dnn"].backward(gradient)
            total += gradient
        if "bottom_dnn" in self._dnns:
            total = self._dnns["bottom_dnn"].backward(total)
        into: dict[str, Matrix] = {}
        self._scatter(total, self._groups, into)
        return into

    def _forward_single(self, rows: npt.NDArray[np.int64], rng: np.random.Generator | None) -> Matrix:
        logit = np.zeros(len(rows), np.float32)
        if self._kind == "multi_tower":
            parts = [
                self._dnns[f"{tower.input}/dnn"].forward(self._concatenated([self._group(tower.input)]), rng)
                for tower in self._body.towers
            ]
            self._widths = [part.shape[1] for part in parts]
            final = self._dnns["final_dnn"].forward(np.concatenate(parts, axis=1), rng)
            return self._heads[0].forward(final)[:, 0]
        if self._kind != "fm":
            hidden = self._dnns["deep_feature"].forward(self._concatenated(self._groups), rng)
            if "final_dnn" in self._dnns:
                hidden = self._dnns["final_dnn"].forward(hidden, rng)
            logit += self._heads[0].forward(hidden)[:, 0]
        if self._wide:
            self._wide_values = self._wide.forward(rows)
            logit += sum(value.sum(1) for value in self._wide_values.values())
        if self._vector:
            fields = self._fields()
            self._field_sum = fields.sum(1)
            logit += np.float32(0.5) * (self._field_sum**2 - (fields**2).sum(1)).sum(1)
        return logit

    def _backward_single(self, slope: Matrix) -> dict[str, Matrix]:
        into: dict[str, Matrix] = {}
        if self._kind == "multi_tower":
            joined = self._dnns["final_dnn"].backward(self._heads[0].backward(slope[:, None]))
            start = 0
            for tower, width in zip(self._body.towers, self._widths, strict=True):
                gradient = self._dnns[f"{tower.input}/dnn"].backward(joined[:, start : start + width])
                self._scatter(gradient, [self._group(tower.input)], into)
                start += width
            return into
        if self._kind != "fm":
            gradient = self._heads[0].backward(slope[:, None])
            if "final_dnn" in self._dnns:
                gradient = self._dnns["final_dnn"].backward(gradient)
            self._scatter(self._dnns["deep_feature"].backward(gradient), self._groups, into)
        if self._wide:
            spread = {
                name: np.broadcast_to(slope[:, None], value.shape)
                for name, value in self._wide_values.items()
            }
            self._wide.backward(spread, 0.0)
        if self._vector:
            for name in dict.fromkeys(name for group in self._groups for name in group.deep):
                part = slope[:, None] * (self._field_sum - self._pooled[name])
                into[name] = into.get(name, np.float32(0)) + part
        return into

    def _fields(self) -> Matrix:
        names = dict.fromkeys(name for group in self._groups for name in group.deep)
        return np.stack([self._pooled[name] for name in names], axis=1)

    def _group(self, name: str) -> Group:
        return next(group for group in self._groups if group.name == name)

    def _backward(self, slopes: Sequence[Matrix]) -> float:
        into = self._backward_towers(slopes) if self._kind == "towers" else self._backward_single(slopes[0])
        return self._deep.backward(into, self._regularization) if self._deep else 0.0


def losses(
    tasks: Sequence[Task], labels: Sequence[Array], logits: Sequence[Matrix]
) -> tuple[dict[str, float], list[Matrix]]:
    """Each task's weighted loss by name, and its slope in the logits."""
    values, slopes = {}, []
    for task, label, logit in zip(tasks, labels, logits, strict=True):
        scale = np.float32(task.weight / len(label))
        if task.loss == "CLASSIFICATION":
            each = np.logaddexp(0, logit) - label * logit
            slope = sigmoid(logit) - label
        elif task.loss == "L2_LOSS":
            each, slope = (logit - label) ** 2, 2 * (logit - label)
        else:
            chance = sigmoid(logit)
            each, slope = (chance - label) ** 2, 2 * (chance - label) * chance * (1 - chance)
        values[task.loss_name] = task.weight * float(each.mean())
        slopes.append(np.asarray(slope * scale, np.float32))
    return values, slopes


def read_tasks(config: Any) -> list[Task]:
    """The labels that a config trains on. ConfigError for model classes and losses unknown here."""
    model, fields = config.model_config, list(config.data_config.label_fields)
    if model.model_class not in _MULTI | _SINGLE:
        hint = f"it knows {', '.join(_MULTI | _SINGLE)}"
        raise ConfigError(f"the sandbox's trainer has no model_class {model.model_class!r}", hint=hint)
    name = (_MULTI | _SINGLE)[model.model_class]
    if model.WhichOneof("model") != name:
        raise ConfigError(
            f"model_class is {model.model_class} but {name} is not set", where="model_config", hint=name
        )
    if not fields:
        raise ConfigError("label_fields is empty", where="data_config")
    if model.model_class in _SINGLE:
        loss = _loss_name(model)
        return [Task("", model.label_name or fields[0], loss, 1.0, config.eval_config.metrics_set)]
    tasks = []
    for index, tower in enumerate(getattr(model, name).task_towers):
        label = tower.label_name or (fields[index] if index < len(fields) else "")
        if label not in fields:
            raise ConfigError(f"label {label!r} is not among label_fields", where=tower.tower_name)
        tasks.append(
            Task(f"_{tower.tower_name}", label, _loss_name(tower), float(tower.weight), tower.metrics_set)
        )
    if not tasks:
        raise ConfigError("no task_towers", where=f"model_config.{name}")
    return tasks


def _loss_name(owner: Any) -> str:
    number = owner.DESCRIPTOR.fields_by_name["loss_type"].enum_type.values_by_number
    name = str(number[owner.loss_type].name)
    if name not in _LOSSES or owner.num_class > 1 or owner.losses:
        raise ConfigError(
            f"the sandbox's trainer can't do {name} with num_class {owner.num_class}",
            hint=f"it knows one of {', '.join(_LOSSES)}, one class",
        )
    return name


def _read_group(group: Any, features: Mapping[str, Feature]) -> Group:
    for name in group.feature_names:
        if name not in features:
            raise ConfigError(f"feature {name!r} is not defined", where=f"feature group {group.group_name}")
    if group.sequence_features:
        raise ConfigError("the sandbox's trainer has no sequence_features", where=group.group_name)
    names = tuple(dict.fromkeys(group.feature_names))
    wide = names if group.wide_deep in (_WIDE, _WIDE_AND_DEEP) else ()
    return Group(group.group_name, () if group.wide_deep == _WIDE else names, wide)
