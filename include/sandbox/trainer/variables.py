"""Named variables as views into flat vectors, so that an optimizer step is a handful of array operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Initializer = Callable[[np.random.Generator, tuple[int, ...]], Matrix]


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> Matrix:  # noqa: ARG001
    return np.zeros(shape, np.float32)


def ones(rng: np.random.Generator, shape: tuple[int, ...]) -> Matrix:  # noqa: ARG001
    return np.ones(shape, np.float32)


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Matrix:
    limit = np.sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def normal(stddev: float) -> Initializer:
    return lambda rng, shape: (rng.standard_normal(shape) * stddev).astype(np.float32)


@dataclass(eq=False)
class Variable:
    """``value`` and ``gradient`` are views. ``rows`` are the buckets that an embedding keeps in memory.

    ``full_shape`` is what EasyRec's variable would have: all buckets.
    """

    name: str
    full_shape: tuple[int, ...]
    shape: tuple[int, ...]
    initializer: Initializer
    rows: npt.NDArray[np.int64] | None = None
    trainable: bool = True
    value: Matrix = field(default_factory=lambda: np.empty(0, np.float32))
    gradient: Matrix = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass
class Segment:
    """Variables that one optimizer updates, in one flat vector."""

    variables: list[Variable] = field(default_factory=list)
    values: Matrix = field(default_factory=lambda: np.empty(0, np.float32))
    gradients: Matrix = field(default_factory=lambda: np.empty(0, np.float32))

    def add(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        *,
        rows: npt.NDArray[np.int64] | None = None,
        full_shape: tuple[int, ...] | None = None,
    ) -> Variable:
        variable = Variable(name, full_shape or shape, shape, initializer, rows)
        self.variables.append(variable)
        return variable

    def allocate(self, rng: np.random.Generator) -> None:
        """Give every variable its place and first values. Call once, after the last ``add``."""
        total = sum(int(np.prod(variable.shape)) for variable in self.variables)
        self.values = np.zeros(total, np.float32)
        self.gradients = np.zeros(total, np.float32)
        for variable, place in self.places():
            variable.value = self.values[place].reshape(variable.shape)
            variable.gradient = self.gradients[place].reshape(variable.shape)
            variable.value[...] = variable.initializer(rng, variable.shape)

    def places(self) -> list[tuple[Variable, slice]]:
        """Where each variable lies in the flat vectors (and in an optimizer's slots)."""
        found, start = [], 0
        for variable in self.variables:
            stop = start + int(np.prod(variable.shape))
            found.append((variable, slice(start, stop)))
            start = stop
        return found

    def block(self, first: Variable, last: Variable) -> tuple[Matrix, Matrix]:
        """Flat views of values and gradients from one variable to another that was added later."""
        places = {variable.name: place for variable, place in self.places()}
        span = slice(places[first.name].start, places[last.name].stop)
        return self.values[span], self.gradients[span]
