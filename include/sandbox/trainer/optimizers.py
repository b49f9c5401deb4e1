"""TensorFlow's optimizers on one flat vector of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from include.errors import ConfigError
from include.sandbox.trainer import schedules

Vector = npt.NDArray[np.float32]
Update = Callable[["Optimizer", Vector, Vector, float], None]

_EPSILON = 1e-8


class Optimizer:
    """One ``optimizer_config``: its schedule, its rule and its state (``slots``, by TensorFlow's names)."""

    def __init__(self, config: Any, size: int, *, where: str = "train_config.optimizer_config") -> None:
        kind = config.WhichOneof("optimizer")
        if kind is None:
            raise ConfigError("no optimizer is set", where=where)
        self.config = getattr(config, kind)
        self.rate_at = schedules.build(self.config.learning_rate, where=f"{where}.{kind}")
        self._update, names = _RULES[kind]
        start = getattr(self.config, "initial_accumulator_value", 0.0)
        self.slots: dict[str, Vector] = {
            name: np.full(size, start if name == "Accumulator" else 0.0, np.float32) for name in names
        }
        self.updates = 0

    def apply(self, values: Vector, gradient: Vector, step: int) -> None:
        """Change ``values`` in place by one step at the schedule's rate of ``step``."""
        self.updates += 1
        self._update(self, values, gradient, self.rate_at(step))


def _momentum(self: Optimizer, values: Vector, gradient: Vector, rate: float) -> None:
    velocity = self.slots["Momentum"]
    velocity *= self.config.momentum_optimizer_value
    velocity += gradient
    values -= np.float32(rate) * velocity


def _adam(self: Optimizer, values: Vector, gradient: Vector, rate: float) -> None:
    first, second = self.slots["Adam"], self.slots["Adam_1"]
    beta1, beta2 = self.config.beta1, self.config.beta2
    first += np.float32(1 - beta1) * (gradient - first)
    second += np.float32(1 - beta2) * (gradient * gradient - second)
    scale = rate * np.sqrt(1 - beta2**self.updates) / (1 - beta1**self.updates)
    values -= np.float32(scale) * first / (np.sqrt(second) + np.float32(_EPSILON))


def _lazy_adam(self: Optimizer, values: Vector, gradient: Vector, rate: float) -> None:
    """Moments of what wasn't touched in this step stay as they are."""
    touched = np.flatnonzero(gradient)
    first, second, beta1, beta2 = (
        self.slots["Adam"],
        self.slots["Adam_1"],
        self.config.beta1,
        self.config.beta2,
    )
    part = gradient[touched]
    first[touched] += np.float32(1 - beta1) * (part - first[touched])
    second[touched] += np.float32(1 - beta2) * (part * part - second[touched])
    scale = rate * np.sqrt(1 - beta2**self.updates) / (1 - beta1**self.updates)
    values[touched] -= np.float32(scale) * first[touched] / (np.sqrt(second[touched]) + np.float32(_EPSILON))


def _decayed(rule: Update) -> Update:
    """Decoupled weight decay in front of a rule, as in AdamW."""

    def update(self: Optimizer, values: Vector, gradient: Vector, rate: float) -> None:
        values *= np.float32(1 - self.config.weight_decay)
        rule(self, values, gradient, rate)

    return update


def _adagrad(self: Optimizer, values: Vector, gradient: Vector, rate: float) -> None:
    total = self.slots["Accumulator"]
    total += gradient * gradient
    values -= np.float32(rate) * gradient / np.sqrt(total)


def _rms_prop(self: Optimizer, values: Vector, gradient: Vector, rate: float) -> None:
    square, velocity = self.slots["RMSProp"], self.slots["Momentum"]
    square += np.float32(1 - self.config.decay) * (gradient * gradient - square)
    velocity *= self.config.momentum_optimizer_value
    velocity += np.float32(rate) * gradient / np.sqrt(square + np.float32(self.config.epsilon))
    values -= velocity


def _ftrl(self: Optimizer, values: Vector, gradient: Vector, rate: float) -> None:
    total, linear, config = self.slots["Accumulator"], self.slots["Linear"], self.config
    power = -config.learning_rate_power
    shrunk = gradient + np.float32(2 * config.l2_shrinkage_reg) * values
    grown = total + gradient * gradient
    linear += shrunk - (grown**power - total**power) / np.float32(max(rate, 1e-12)) * values
    total[:] = grown
    quadratic = total**power / np.float32(max(rate, 1e-12)) + np.float32(2 * config.l2_reg)
    kept = np.clip(linear, -config.l1_reg, config.l1_reg)
    values[:] = (kept - linear) / quadratic


_ADAM = ("Adam", "Adam_1")
_RULES: dict[str, tuple[Update, tuple[str, ...]]] = {
    "adam_optimizer": (_adam, _ADAM),
    "adam_async_optimizer": (_adam, _ADAM),
    "adamw_optimizer": (_decayed(_adam), _ADAM),
    "adam_asyncw_optimizer": (_decayed(_adam), _ADAM),
    "lazy_adam_optimizer": (_lazy_adam, _ADAM),
    "momentum_optimizer": (_momentum, ("Momentum",)),
    "momentumw_optimizer": (_decayed(_momentum), ("Momentum",)),
    "adagrad_optimizer": (_adagrad, ("Accumulator",)),
    "rms_prop_optimizer": (_rms_prop, ("RMSProp", "Momentum")),
    "ftrl_optimizer": (_ftrl, ("Accumulator", "Linear")),
}
