"""EasyRec's six learning-rate schedules (table in reference section 2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from include.errors import ConfigError

Schedule = Callable[[int], float]


def build(learning_rate: Any, *, where: str) -> Schedule:
    """The rate at step t (from 0) for a ``LearningRate`` message. ConfigError when no schedule is set."""
    kind = learning_rate.WhichOneof("learning_rate")
    if kind is None:
        raise ConfigError("no learning-rate schedule is set", where=where)
    return _SCHEDULES[kind](getattr(learning_rate, kind))


def _constant(config: Any) -> Schedule:
    return lambda _: float(config.learning_rate)


def _exponential(config: Any) -> Schedule:
    initial, burnin = config.initial_learning_rate, config.burnin_steps

    def unbounded(step: int) -> float:
        if step < burnin:
            if config.burnin_learning_rate == 0:
                return float(initial)
            slope = (initial - config.burnin_learning_rate) / burnin
            return float(config.burnin_learning_rate + slope * step)
        exponent = (step - burnin) / config.decay_steps
        if config.staircase:
            exponent = math.floor(exponent)
        return float(initial * config.decay_factor**exponent)

    def rate(step: int) -> float:
        return max(unbounded(step), float(config.min_learning_rate))

    return rate


def _manual(config: Any) -> Schedule:
    if not config.schedule:
        raise ConfigError("empty learning rate schedule", where="manual_step_learning_rate")
    steps = [entry.step for entry in config.schedule]
    rates = [entry.learning_rate for entry in config.schedule]

    def rate(step: int) -> float:
        if config.warmup and step < steps[0]:
            share = step / steps[0]
            return float(config.initial_learning_rate + share * (rates[0] - config.initial_learning_rate))
        reached = [r for s, r in zip(steps, rates, strict=True) if step >= s]
        return float(reached[-1] if reached else config.initial_learning_rate)

    return rate


def _cosine(config: Any) -> Schedule:
    base, warmup, hold = config.learning_rate_base, config.warmup_steps, config.hold_base_rate_steps
    if config.total_steps < warmup:
        raise ConfigError("total_steps must be larger or equal to warmup_steps", where="cosine_decay")

    def rate(step: int) -> float:
        if step > config.total_steps:
            return 0.0
        if step < warmup:
            slope = (base - config.warmup_learning_rate) / warmup
            return float(config.warmup_learning_rate + slope * step)
        if step < warmup + hold:
            return float(base)
        span = max(config.total_steps - warmup - hold, 1)
        return float(0.5 * base * (1 + math.cos(math.pi * (step - warmup - hold) / span)))

    return rate


def _poly(config: Any) -> Schedule:
    base, end, total = config.learning_rate_base, config.end_learning_rate, config.total_steps

    def rate(step: int) -> float:
        return float((base - end) * (1 - min(step, total) / total) ** config.power + end)

    return rate


def _transformer(config: Any) -> Schedule:
    scale = config.step_scaling_rate

    def rate(step: int) -> float:
        now = step * scale + 1.0
        lower = min(now * (config.warmup_steps * scale) ** -1.5, now**-0.5)
        return float(config.learning_rate_base * config.hidden_size**-0.5 * lower)

    return rate


_SCHEDULES: dict[str, Callable[[Any], Schedule]] = {
    "constant_learning_rate": _constant,
    "exponential_decay_learning_rate": _exponential,
    "manual_step_learning_rate": _manual,
    "cosine_decay_learning_rate": _cosine,
    "poly_decay_learning_rate": _poly,
    "transformer_learning_rate": _transformer,
}
