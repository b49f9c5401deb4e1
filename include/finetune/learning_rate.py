"""The learning rate that begin hands over to finetune (reference R22, R23; design section 6).

A job that starts from a checkpoint counts its steps from 0 again, so its schedule starts over: the rate at
which begin ended is written into the config as the rate to start with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from include.errors import ConfigError, ProblemsError
from include.finetune.schedules import KINDS, REQUIRED, Fault, Schedule, Transformer
from include.pipeline_config import edit_text, values_at
from include.pipeline_config.fields import table
from include.pipeline_config.keys import Key, parse_keys
from include.pipeline_config.values import as_float32, zero

_OPTIMIZERS = "train_config.optimizer_config"
_DEPTH_OF_RATE = 6
"""``train_config.optimizer_config.<optimizer>.learning_rate.<schedule>.<field>``."""


@dataclass(frozen=True)
class Change:
    """A field that a hand-over gave another value."""

    path: str
    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.path}: {self.before} -> {self.after}"


@dataclass(frozen=True)
class HandOver:
    """The patched config, what was changed in it, and what a person should know."""

    text: str
    warnings: tuple[str, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Configured:
    """The schedule of one ``optimizer_config``. ``path`` ends at the schedule's message."""

    path: str
    schedule: Schedule
    given: Mapping[str, Any]
    """The fields that are written in the config."""

    def faults(self) -> Iterator[str]:
        missing = [name for name in REQUIRED.get(type(self.schedule), ()) if name not in self.given]
        for name in missing:
            yield f"{self.path}.{name} is not set, and has no default"
        for name, problem in () if missing else self.schedule.all_faults():
            yield f"{self.path}.{name} {problem}"

    def with_rate(self, rate: float) -> _Configured:
        name = self.schedule.rate_field
        return replace(
            self, schedule=replace(self.schedule, **{name: rate}), given={**self.given, name: rate}
        )


def rate_at(config_text: str, step: int) -> list[float]:
    """The learning rate after ``step`` steps (from 0), one for each ``optimizer_config`` in order.

    Of a model trained for N steps, ``rate_at(config, N)`` is the rate at which it ended.

    Raises ConfigError: no optimizer, no schedule, values with which EasyRec can't compute a rate (all of
    them at once), or a text that can't be read.
    """
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ConfigError(f"{step!r} is not a number of steps", hint="a whole number from 0 on")
    found = _read(config_text)
    problems = [problem for each in found for problem in each.faults()]
    rates = [] if problems else [each.schedule.rate(step) for each in found]
    problems += [
        f"{each.path} gives {rate} at step {step}"
        for each, rate in zip(found, rates, strict=False)
        if not math.isfinite(rate)
    ]
    _raise("the learning rate can't be computed", problems)
    return rates


def first_rates(config_text: str) -> dict[str, float]:
    """The fields that ``hand_over`` sets, by path, and what is set there. Raises ConfigError as ``rate_at``."""
    found = ((each, each.schedule.rate_field) for each in _read(config_text))
    return {f"{each.path}.{name}": getattr(each.schedule, name) for each, name in found}


def hand_over(config_text: str, rate: float | Sequence[float]) -> HandOver:
    """The config with ``rate`` as the rate to start with; all else stays as it is, byte for byte.

    ``rate``: one for all optimizers, or one for each ``optimizer_config`` in order. In each, what is set is
    ``learning_rate`` of a constant rate, else ``initial_learning_rate``, not below the schedule's
    ``min_learning_rate`` if it has one, else ``learning_rate_base``, not below ``end_learning_rate``.

    Raises ConfigError with all problems at once: a rate that is not above 0 and finite, a schedule that
    EasyRec could not use, or one that rises above the rate handed over at some step: the fields are named.
    """
    found = _read(config_text)
    rates = _rates(rate, len(found))
    warnings: list[str] = []
    problems: list[str] = []
    changes: list[Change] = []
    edits: dict[str, float] = {}
    for each, wanted in zip(found, rates, strict=True):
        schedule, path = each.schedule, f"{each.path}.{each.schedule.rate_field}"
        value, warning = _clamped(schedule, wanted, path)
        warnings += warning
        patched = each.with_rate(value)
        faults = list(_too_small(path, value)) + list(patched.faults())
        problems += faults or list(_rises(patched, value))
        if not faults and isinstance(patched.schedule, Transformer):
            warnings.append(
                f"{path}: this schedule scales what it is given: the rate peaks at {patched.schedule.peak:.6g}, "
                f"not at {value}"
            )
        before = getattr(schedule, schedule.rate_field)
        edits[path] = value
        if before != value or schedule.rate_field not in each.given:
            changes.append(Change(path, before, value))
    _raise("the learning rate can't be handed over", problems)
    return HandOver(edit_text(config_text, edits), tuple(warnings), tuple(changes))


def overwritten_by_hand_over(edits: Mapping[str, Any]) -> list[str]:
    """The edits that a hand-over does away with: they set the very field that ``hand_over`` sets.

    Every optimizer gets a rate handed over, so it doesn't matter which of them an edit selects.
    Raises ConfigEditError for a path that can't be read.
    """
    return [key for key in edits if any(_is_rate(path) for path in parse_keys(key))]


def rate_edit_lost(key: str, value: Any, winner: str) -> str:
    """A warning: an edit that has no effect. ``winner``: what the rate is instead."""
    return (
        f"the edit {key} = {value} has no effect: {winner} wins "
        f"(to set the rate yourself: finetune.learning_rate in model.yml, a number or unchanged)"
    )


def _is_rate(path: Key) -> bool:
    names = [step.name for step in path.steps]
    if names[:2] != _OPTIMIZERS.split(".") or len(names) != _DEPTH_OF_RATE or names[3] != "learning_rate":
        return False
    kind = KINDS.get(names[4])
    return kind is not None and kind.rate_field == names[5]


def _clamped(schedule: Schedule, rate: float, path: str) -> tuple[float, list[str]]:
    name = schedule.floor_field
    floor = getattr(schedule, name) if name else 0.0
    if isinstance(floor, str) or not rate < floor:
        return rate, []
    return floor, [f"{path}: {rate} is below {name} {floor}, so {floor} is set"]


def _too_small(path: str, value: float) -> Iterator[str]:
    if as_float32(value) <= 0:
        yield f"{path}: a rate of {value} teaches nothing: give one above 0"


def _rises(each: _Configured, limit: float) -> Iterator[str]:
    faults: Iterator[Fault] = each.schedule.rises(limit)
    for name, problem in faults:
        yield f"{each.path}.{name} {problem}: the rate would rise above {limit}, which is handed over"


def _rates(rate: float | Sequence[float], count: int) -> list[float]:
    several = isinstance(rate, Sequence) and not isinstance(rate, (str, bytes))
    given: list[Any] = list(rate) if several else [rate] * count  # type: ignore[arg-type]
    if len(given) != count:
        raise ConfigError(
            f"{len(given)} learning rates for {count} optimizers",
            where=_OPTIMIZERS,
            hint="give one for all, or one for each optimizer_config",
        )
    rates = [_number(value) for value in given]
    bad = [repr(value) for value, number in zip(given, rates, strict=True) if number is None]
    if bad:
        raise ConfigError(f"{', '.join(dict.fromkeys(bad))} is no learning rate", hint="write e.g. 1e-6")
    return [number for number in rates if number is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, str, bytes)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(as_float32(number)) and number >= 0 else None


# Reading


def _read(text: str) -> list[_Configured]:
    found: list[_Configured] = []
    problems: list[str] = []
    for number, optimizer in enumerate(values_at(text, _OPTIMIZERS)[0]):
        try:
            found.append(_configured(f"{_OPTIMIZERS}[{number}]", optimizer))
        except ConfigError as error:
            problems.append(str(error))
    if not found and not problems:
        problems = [f"{_OPTIMIZERS} is empty: no optimizer is set"]
    _raise("the learning rates can't be read", problems)
    return found


def _configured(path: str, optimizer: Mapping[str, Any]) -> _Configured:
    kind = _branch("Optimizer", "optimizer", optimizer, path)
    rate: Mapping[str, Any] = optimizer[kind].get("learning_rate", {})
    branch = _branch("LearningRate", "learning_rate", rate, f"{path}.{kind}.learning_rate")
    given = rate[branch]
    schedule = KINDS[branch](**_with_defaults(table().messages["LearningRate"][branch].type, given))
    return _Configured(f"{path}.{kind}.learning_rate.{branch}", schedule, given)


def _branch(message: str, oneof: str, values: Mapping[str, Any], path: str) -> str:
    """The field of a oneof that is set."""
    known = [name for name, spec in table().messages[message].items() if spec.oneof == oneof]
    found = next((name for name in values if name in known), "")
    if not found:
        there = f" (there is {', '.join(values)})" if values else ""
        what = "optimizer" if message == "Optimizer" else "learning-rate schedule"
        raise ConfigError(f"no {what} is set{there}", where=path, hint=f"known are {', '.join(known)}")
    return found


def _with_defaults(message: str, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, spec in table().messages[message].items():
        if spec.repeated:
            values[name] = [_with_defaults(spec.type, entry) for entry in given.get(name, [])]
        else:
            values[name] = given.get(name, zero(spec, table()))
    return values


def _raise(message: str, problems: Sequence[str]) -> None:
    if problems:
        raise ProblemsError(message, problems)
