"""The layers that EasyRec's rank models are made of, with their gradients by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from include.errors import ConfigError
from include.sandbox.trainer.features import Encoded, Feature
from include.sandbox.trainer.variables import (
    Matrix,
    Segment,
    Variable,
    glorot_uniform,
    normal,
    ones,
    zeros,
)

_BN_MOMENTUM = np.float32(0.99)
_BN_EPSILON = np.float32(1e-3)


def sigmoid(values: Matrix) -> Matrix:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))), np.float32)


# name: (value, slope), both as functions of the input
_ACTIVATIONS: dict[str, tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(np.float32)),
    "leaky_relu": (lambda x: np.where(x > 0, x, np.float32(0.2) * x), lambda x: np.where(x > 0, 1, 0.2)),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "swish": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "linear": (lambda x: x, np.ones_like),
}


class Embeddings:
    """Embedding tables of some features; looks up and pools every feature's slots in one go.

    ``dims`` may differ between features; tables of one dimension lie side by side in one matrix.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        encoded: dict[str, Encoded],
        dims: dict[str, int],
        segment: Segment,
        *,
        suffix: str,
        known_rows: Mapping[str, npt.NDArray[np.int64]],
    ) -> None:
        self._arenas: list[_Arena] = []
        for dim in sorted({dims[feature.name] for feature in features}):
            same = [feature for feature in features if dims[feature.name] == dim]
            self._arenas.append(_Arena(same, encoded, dim, segment, suffix, known_rows))

    def forward(self, rows: npt.NDArray[np.int64]) -> dict[str, Matrix]:
        """Pooled vectors ``[examples, dim]`` by feature."""
        return {name: vector for arena in self._arenas for name, vector in arena.forward(rows).items()}

    def backward(self, gradients: dict[str, Matrix], regularization: float) -> float:
        """Add to the tables' gradients and return the regularization loss (on what was looked up)."""
        return sum(arena.backward(gradients, regularization) for arena in self._arenas)


class _Arena:
    def __init__(
        self,
        features: Sequence[Feature],
        encoded: dict[str, Encoded],
        dim: int,
        segment: Segment,
        suffix: str,
        known_rows: Mapping[str, npt.NDArray[np.int64]],
    ) -> None:
        self.names = [feature.name for feature in features]
        self._segment = segment
        tables: dict[str, list[Feature]] = {}
        for feature in features:
            tables.setdefault(feature.embedding, []).append(feature)
        places: dict[str, npt.NDArray[np.int64]] = {}
        start = 0
        self._variables: list[Variable] = []
        for table, sharing in tables.items():
            name = f"input_layer/{table}_{suffix}/embedding_weights"
            buckets = max(feature.buckets for feature in sharing)
            known = known_rows.get(name, np.empty(0, np.int64))
            touched = [encoded[feature.name].buckets.ravel() for feature in sharing]
            used = np.unique(np.concatenate([*touched, known[known < buckets]]))
            self._variables.append(
                segment.add(
                    name,
                    (len(used), dim),
                    _initializer(sharing[0], dim),
                    rows=used,
                    full_shape=(buckets, dim),
                )
            )
            for feature in sharing:
                places[feature.name] = start + np.searchsorted(used, encoded[feature.name].buckets)
            start += len(used)
        self._rows, self._dim = start, dim
        widths = [places[name].shape[1] for name in self.names]
        self._slots = np.concatenate([places[name] for name in self.names], axis=1)
        self._weights = np.concatenate([encoded[name].weights for name in self.names], axis=1)
        self._starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
        self._owner = np.repeat(np.arange(len(widths)), widths)
        self._plain = bool((self._weights == 1).all()) and max(widths) == 1
        self._matrices: tuple[Matrix, Matrix] | None = None
        self._batch: tuple[npt.NDArray[np.int64], Matrix, Matrix] | None = None

    def _views(self) -> tuple[Matrix, Matrix]:
        """Values and gradients of all tables as one matrix: they were registered one after the other."""
        if self._matrices is None:
            values, gradients = self._segment.block(self._variables[0], self._variables[-1])
            shape = (self._rows, self._dim)
            self._matrices = (values.reshape(shape), gradients.reshape(shape))
        return self._matrices

    def forward(self, rows: npt.NDArray[np.int64]) -> dict[str, Matrix]:
        slots, weights = self._slots[rows], self._weights[rows]
        vectors = self._views()[0][slots]
        if not self._plain:
            vectors *= weights[:, :, None]
            vectors = np.add.reduceat(vectors, self._starts, axis=1)
        self._batch = (slots, weights, vectors)
        return {name: vectors[:, index] for index, name in enumerate(self.names)}

    def backward(self, gradients: dict[str, Matrix], regularization: float) -> float:
        assert self._batch is not None
        slots, weights, pooled = self._batch
        incoming = np.zeros_like(pooled)
        for index, name in enumerate(self.names):
            if name in gradients:
                incoming[:, index] = gradients[name]
        loss = 0.0
        if regularization:
            incoming += np.float32(regularization) * pooled
            loss = 0.5 * regularization * float(np.vdot(pooled, pooled))
        if not self._plain:
            incoming = incoming[:, self._owner] * weights[:, :, None]
        flat = slots.ravel()
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        sums = np.add.reduceat(incoming.reshape(-1, self._dim)[order], starts, axis=0)
        self._views()[1][ordered[starts]] += sums
        return loss


def _initializer(feature: Feature, dim: int) -> Any:
    config = feature.config
    kind = config.initializer.WhichOneof("initializer_oneof") if config.HasField("initializer") else None
    if kind is None:
        # What EasyRec's feature columns take by default.
        return normal(0.01 / np.sqrt(dim))
    chosen = getattr(config.initializer, kind)
    if hasattr(chosen, "stddev"):
        return normal(float(chosen.stddev))
    return glorot_uniform


class DNN:
    """Dense, batch normalization, activation and dropout per entry of ``hidden_units``."""

    def __init__(self, config: Any, inputs: int, segment: Segment, *, name: str, l2: float) -> None:
        self._layers: list[_Hidden] = []
        self.outputs = inputs
        units = list(config.hidden_units)
        if units == [0]:
            return
        ratios = list(config.dropout_ratio)
        if ratios and len(ratios) < len(units):
            raise ConfigError("dropout_ratio needs one entry per hidden layer", where=name)
        for index, width in enumerate(units):
            if width < 1:
                raise ConfigError(f"a layer of {width} units", where=f"{name}.hidden_units")
            ratio = ratios[index] if ratios else 0.0
            if not 0 <= ratio < 1:
                raise ConfigError(f"invalid dropout_ratio: {ratio:.3f}", where=name)
            label = f"{name}/dnn_{index}"
            self._layers.append(_Hidden(config, self.outputs, width, ratio, segment, label, l2))
            self.outputs = width

    @property
    def moving(self) -> list[Variable]:
        return [variable for layer in self._layers for variable in layer.moving]

    def forward(self, values: Matrix, rng: np.random.Generator | None) -> Matrix:
        """``rng`` is None outside training."""
        for layer in self._layers:
            values = layer.forward(values, rng)
        return values

    def backward(self, gradient: Matrix) -> Matrix:
        for layer in reversed(self._layers):
            gradient = layer.backward(gradient)
        return gradient


class Dense:
    """``x·W + b`` with L2 on W; ``loss`` is the regularization loss of the last backward pass."""

    def __init__(self, inputs: int, outputs: int, segment: Segment, *, name: str, l2: float) -> None:
        self.kernel = segment.add(f"{name}/kernel", (inputs, outputs), glorot_uniform)
        self.bias = segment.add(f"{name}/bias", (outputs,), zeros)
        self._l2 = np.float32(l2)
        self._inputs = np.empty(0, np.float32)

    def forward(self, values: Matrix) -> Matrix:
        self._inputs = values
        return np.asarray(values @ self.kernel.value + self.bias.value)

    def backward(self, gradient: Matrix) -> Matrix:
        self.kernel.gradient += self._inputs.T @ gradient + self._l2 * self.kernel.value
        self.bias.gradient += gradient.sum(0)
        return np.asarray(gradient @ self.kernel.value.T)


class _Hidden:
    def __init__(
        self, config: Any, inputs: int, width: int, ratio: float, segment: Segment, name: str, l2: float
    ) -> None:
        activation = config.activation.removeprefix("tf.nn.").removeprefix("tf.").lower() or "linear"
        if activation not in _ACTIVATIONS:
            hint = f"it knows {', '.join(_ACTIVATIONS)}"
            raise ConfigError(
                f"the sandbox's trainer has no activation {config.activation!r}", where=name, hint=hint
            )
        self._activate, self._slope = _ACTIVATIONS[activation]
        self._dense = Dense(inputs, width, segment, name=name, l2=l2)
        self._ratio = ratio
        self._norm = _BatchNorm(width, segment, f"{name}/bn") if config.use_bn else None
        self._batch: tuple[Matrix, Matrix | None] | None = None

    @property
    def moving(self) -> list[Variable]:
        return [self._norm.mean, self._norm.variance] if self._norm else []

    def forward(self, values: Matrix, rng: np.random.Generator | None) -> Matrix:
        before = self._dense.forward(values)
        if self._norm is not None:
            before = self._norm.forward(before, training=rng is not None)
        after = self._activate(before)
        kept: Matrix | None = None
        if rng is not None and self._ratio:
            kept = (rng.random(after.shape, np.float32) >= self._ratio) / np.float32(1 - self._ratio)
            after = after * kept
        self._batch = (before, kept)
        return after

    def backward(self, gradient: Matrix) -> Matrix:
        assert self._batch is not None
        before, kept = self._batch
        if kept is not None:
            gradient = gradient * kept
        gradient = np.asarray(gradient * self._slope(before), np.float32)
        if self._norm is not None:
            gradient = self._norm.backward(gradient)
        return self._dense.backward(gradient)


class _BatchNorm:
    def __init__(self, width: int, segment: Segment, name: str) -> None:
        self._gamma = segment.add(f"{name}/gamma", (width,), ones)
        self._beta = segment.add(f"{name}/beta", (width,), zeros)
        self.mean = _moving(f"{name}/moving_mean", np.zeros(width, np.float32))
        self.variance = _moving(f"{name}/moving_variance", np.ones(width, np.float32))
        self._batch: tuple[Matrix, Matrix] | None = None

    def forward(self, values: Matrix, *, training: bool) -> Matrix:
        if training:
            mean, variance = values.mean(0), values.var(0)
            self.mean.value += (1 - _BN_MOMENTUM) * (mean - self.mean.value)
            self.variance.value += (1 - _BN_MOMENTUM) * (variance - self.variance.value)
        else:
            mean, variance = self.mean.value, self.variance.value
        scale = 1 / np.sqrt(variance + _BN_EPSILON)
        centred = (values - mean) * scale
        self._batch = (centred, scale)
        return np.asarray(centred * self._gamma.value + self._beta.value)

    def backward(self, gradient: Matrix) -> Matrix:
        assert self._batch is not None
        centred, scale = self._batch
        self._gamma.gradient += (gradient * centred).sum(0)
        self._beta.gradient += gradient.sum(0)
        inner = gradient * self._gamma.value
        inner -= inner.mean(0) + centred * (inner * centred).mean(0)
        return np.asarray(inner * scale)


def _moving(name: str, value: Matrix) -> Variable:
    return Variable(name, value.shape, value.shape, zeros, trainable=False, value=value)
