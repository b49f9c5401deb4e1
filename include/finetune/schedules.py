"""EasyRec's six learning-rate schedules: the rate at a step, and what is wrong with a schedule.

The formulas are those of EasyRec's ``learning_schedules`` and ``optimizer_builder`` (reference section 2),
in double precision on the numbers as they are written in the config. EasyRec holds them as 32-bit floats, so
whatever is compared is compared as such.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from include.pipeline_config.values import as_float32

Fault = tuple[str, str]
"""A field, below the schedule's own path, and what is wrong with it."""


@dataclass(frozen=True)
class Schedule:
    """One branch of ``LearningRate``, with the fields of its message (absent ones by their defaults).

    ``rate_field``: what a hand-over sets (reference R23). ``floor_field``: what it must not fall below.
    """

    rate_field: ClassVar[str]
    floor_field: ClassVar[str] = ""

    def rate(self, step: int) -> float:
        """The rate at ``step``, counted from 0. Only for a schedule without faults."""
        raise NotImplementedError

    def faults(self) -> Iterator[Fault]:
        """Values with which EasyRec would stop, or train with rates that are no numbers or negative."""
        yield from ()

    def rises(self, limit: float) -> Iterator[Fault]:  # noqa: ARG002 - most schedules can rise
        """Fields that lift the rate above ``limit``, the value of ``rate_field``, at some step."""
        yield from ()

    def all_faults(self) -> Iterator[Fault]:
        """``faults``, and numbers that are none."""
        found = [fault for name, value in _numbers(vars(self)) if (fault := _number_fault(name, value))]
        yield from found or self.faults()


@dataclass(frozen=True)
class Constant(Schedule):
    rate_field: ClassVar[str] = "learning_rate"
    learning_rate: float

    def rate(self, step: int) -> float:  # noqa: ARG002 - it is the same at each step
        return self.learning_rate


@dataclass(frozen=True)
class Exponential(Schedule):
    rate_field: ClassVar[str] = "initial_learning_rate"
    floor_field: ClassVar[str] = "min_learning_rate"
    initial_learning_rate: float
    decay_steps: int
    decay_factor: float
    staircase: bool
    burnin_learning_rate: float
    burnin_steps: int
    min_learning_rate: float

    def rate(self, step: int) -> float:
        if step >= self.burnin_steps:
            exponent = (step - self.burnin_steps) / self.decay_steps
            # a rate beyond a double's range is infinite, not an error of Python's
            decay = _power(self.decay_factor, math.floor(exponent) if self.staircase else exponent)
            rate = self.initial_learning_rate * decay
        elif self.burnin_learning_rate == 0:
            rate = self.initial_learning_rate
        else:
            share = step / self.burnin_steps
            rate = _between(self.burnin_learning_rate, self.initial_learning_rate, share)
        return max(rate, self.min_learning_rate)

    def faults(self) -> Iterator[Fault]:
        if self.decay_steps == 0:
            yield "decay_steps", "is 0: EasyRec divides by it"
        if self.burnin_learning_rate != 0 and self.burnin_steps == 0:
            yield "burnin_steps", "is 0 although burnin_learning_rate is set: EasyRec divides by it"

    def rises(self, limit: float) -> Iterator[Fault]:
        if _above(self.burnin_learning_rate, limit):
            yield "burnin_learning_rate", f"is {self.burnin_learning_rate}"
        if _above(self.decay_factor, 1):
            yield "decay_factor", f"is {self.decay_factor}: the rate grows"


@dataclass(frozen=True)
class ManualStep(Schedule):
    rate_field: ClassVar[str] = "initial_learning_rate"
    initial_learning_rate: float
    schedule: Sequence[Mapping[str, Any]]
    """``step`` and ``learning_rate`` of each entry."""
    warmup: bool

    def rate(self, step: int) -> float:
        first = self.schedule[0]
        if step < first["step"]:
            share = step / first["step"] if self.warmup else 0.0
            return _between(self.initial_learning_rate, first["learning_rate"], share)
        return float([entry["learning_rate"] for entry in self.schedule if entry["step"] <= step][-1])

    def faults(self) -> Iterator[Fault]:
        if not self.schedule:
            yield "schedule", "is empty: EasyRec refuses that"
            return
        steps = [entry["step"] for entry in self.schedule]
        if steps[0] == 0:
            yield "schedule[0].step", "is 0: EasyRec wants the first step to be later"
        for number, (before, step) in enumerate(itertools.pairwise(steps), 1):
            if step <= before:
                yield f"schedule[{number}].step", f"is {step}, not later than {before} before it"

    def rises(self, limit: float) -> Iterator[Fault]:
        for number, entry in enumerate(self.schedule):
            if _above(entry["learning_rate"], limit):
                yield f"schedule[{number}].learning_rate", f"is {entry['learning_rate']}"


@dataclass(frozen=True)
class Cosine(Schedule):
    rate_field: ClassVar[str] = "learning_rate_base"
    learning_rate_base: float
    total_steps: int
    warmup_learning_rate: float
    warmup_steps: int
    hold_base_rate_steps: int

    def rate(self, step: int) -> float:
        held = self.warmup_steps + self.hold_base_rate_steps
        if step > self.total_steps:
            return 0.0
        if step < self.warmup_steps:
            share = step / self.warmup_steps
            return _between(self.warmup_learning_rate, self.learning_rate_base, share)
        if step <= held:
            return self.learning_rate_base
        share = (step - held) / (self.total_steps - held)
        return 0.5 * self.learning_rate_base * (1 + math.cos(math.pi * share))

    def faults(self) -> Iterator[Fault]:
        if self.total_steps < self.warmup_steps:
            yield "total_steps", f"is {self.total_steps}, less than warmup_steps {self.warmup_steps}"
        elif self.total_steps == self.warmup_steps and not self.hold_base_rate_steps:
            yield "total_steps", "equals warmup_steps: at that step the rate would be 0 / 0"
        if _above(self.warmup_learning_rate, self.learning_rate_base):
            yield (
                "warmup_learning_rate",
                f"is {self.warmup_learning_rate}, above learning_rate_base {self.learning_rate_base}: "
                "EasyRec refuses that",
            )


@dataclass(frozen=True)
class Poly(Schedule):
    rate_field: ClassVar[str] = "learning_rate_base"
    floor_field: ClassVar[str] = "end_learning_rate"
    learning_rate_base: float
    total_steps: int
    power: float
    end_learning_rate: float

    def rate(self, step: int) -> float:
        left = 1 - min(step, self.total_steps) / self.total_steps
        return (
            float((self.learning_rate_base - self.end_learning_rate) * left**self.power)
            + self.end_learning_rate
        )

    def faults(self) -> Iterator[Fault]:
        if self.total_steps == 0:
            yield "total_steps", "is 0: EasyRec divides by it"


@dataclass(frozen=True)
class Transformer(Schedule):
    rate_field: ClassVar[str] = "learning_rate_base"
    learning_rate_base: float
    hidden_size: int
    warmup_steps: int
    step_scaling_rate: float

    def rate(self, step: int) -> float:
        now = step * self.step_scaling_rate + 1
        factor = now**-0.5
        if warmup := self.warmup_steps * self.step_scaling_rate:
            factor = min(now * _power(warmup, -1.5), factor)
        return float(self.learning_rate_base * self.hidden_size**-0.5 * factor)

    @property
    def peak(self) -> float:
        """The highest rate: where warm-up and decay meet."""
        scale = self.step_scaling_rate
        # now = step · scale + 1 meets warmup · scale one scaled step before the end of the warm-up
        meeting = max(self.warmup_steps - 1 / scale, 0) if scale else 0
        return max(self.rate(math.floor(meeting)), self.rate(math.ceil(meeting)))

    def faults(self) -> Iterator[Fault]:
        if self.hidden_size == 0:
            yield "hidden_size", "is 0: EasyRec divides by it"


KINDS: Mapping[str, type[Schedule]] = {
    "constant_learning_rate": Constant,
    "exponential_decay_learning_rate": Exponential,
    "manual_step_learning_rate": ManualStep,
    "cosine_decay_learning_rate": Cosine,
    "poly_decay_learning_rate": Poly,
    "transformer_learning_rate": Transformer,
}
REQUIRED: Mapping[type[Schedule], Sequence[str]] = {
    Poly: ("learning_rate_base", "total_steps", "power"),
    Transformer: ("learning_rate_base", "hidden_size", "warmup_steps"),
}
"""Fields that have no default in EasyRec."""


def _between(first: float, last: float, share: float) -> float:
    return first + (last - first) * share


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _above(value: float, limit: float) -> bool:
    return as_float32(value) > as_float32(limit)


def _numbers(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, (list, tuple)):
            for number, entry in enumerate(value):
                yield from _numbers({f"{name}[{number}].{key}": inner for key, inner in entry.items()})
        elif not isinstance(value, bool):
            yield name, value


def _number_fault(name: str, value: Any) -> Fault | None:
    if isinstance(value, str):
        return name, f"is {value}, which is not known here"
    if not math.isfinite(value) or value < 0:
        return name, f"is {value}: a number from 0 on is needed"
    return None
