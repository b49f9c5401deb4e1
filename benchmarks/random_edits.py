"""Random edits with what they are meant to do, for ``editor_against_easyrec.py``.

A key is made as steps, so that what it selects (reference R29) is known without reading it.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from benchmarks.random_configs import FLOATS, RANGES, fill, is_map, some, written

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq}
_AWKWARD = [
    *(
        None,
        "",
        "x",
        "[",
        "{",
        [],
        {},
        {"a": 1},
        [[1]],
        2**70,
        -(2**70),
        "1_000",
        "0x10",
        "1e400",
        "010",
        "[010, 5]",
    ),
    *("nan", "-inf", 1e39, "1f", "[1, 2", "a b", "{nope: 1}", "yes", 1.5, "TRUE", -1, "5.", "+7"),
]
UNKNOWN = object()
"""What is meant by a value that may or may not fit."""


@dataclass(frozen=True)
class Condition:
    path: tuple[Step, ...]
    operator: str
    text: str
    wanted: Any


@dataclass(frozen=True)
class Step:
    name: str
    selector: int | slice | Condition | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.name + self.text


@dataclass(frozen=True)
class Edit:
    """One key and value; ``meant`` is the value as the message holds it."""

    steps: tuple[Step, ...]
    value: Any
    meant: Any
    dot: str = "."

    @property
    def key(self) -> str:
        return self.dot.join(map(str, self.steps))


# What an edit means


class NothingThere(Exception):
    """A selector that selects nothing."""


def apply(config: Any, edit: Edit) -> None:
    """Make the edit as meant. NothingThere when a step selects nothing."""
    owners = [config]
    for step in edit.steps[:-1]:
        owners = [child for owner in owners for child in _children(owner, step)]
        if not owners:
            raise NothingThere(edit.key)
    last = edit.steps[-1]
    chosen = [(owner, number) for owner in owners for number in _numbers(owner, last)]
    if not chosen:
        raise NothingThere(edit.key)
    for owner, number in chosen:
        _set(owner, last.name, number, edit.meant)


def _children(owner: Any, step: Step) -> list[Any]:
    value = getattr(owner, step.name)
    return [value if number is None else value[number] for number in _numbers(owner, step)]


def _numbers(owner: Any, step: Step) -> list[int | None]:
    if step.selector is None:
        return [None]
    elements = getattr(owner, step.name)
    numbers = range(len(elements))
    if isinstance(step.selector, slice):
        return list(numbers[step.selector])
    if isinstance(step.selector, int):
        if not -len(numbers) <= step.selector < len(numbers):
            raise NothingThere(str(step))
        return [numbers[step.selector]]
    return [number for number in numbers if _holds(elements[number], step.selector)]


def _holds(element: Any, condition: Condition) -> bool:
    found = [element]
    try:
        for step in condition.path:
            found = [child for owner in found for child in _children(owner, step)]
    except NothingThere:
        return False
    return bool(_COMPARE[condition.operator](found[-1], condition.wanted))


def _set(owner: Any, name: str, number: int | None, meant: Any) -> None:
    field = owner.DESCRIPTOR.fields_by_name[name]
    value = getattr(owner, name)
    if field.message_type:
        value = value if number is None else value[number]
        value.CopyFrom(meant)
        value.SetInParent()
    elif number is not None:
        value[number] = meant
    elif field.is_repeated:
        owner.SetInParent()
        owner.ClearField(name)
        getattr(owner, name).extend(meant)
    else:
        setattr(owner, name, meant)


# Making edits


def edits(config: Any, rng: random.Random) -> list[Edit]:
    count = rng.choice([1, 1, 1, 1, 1, 2, 3])
    made = (_edit(config, rng) for _ in range(count))
    spelt = (replace(edit, dot=rng.choice([*"......", "..", " . ", ". ."])) for edit in made if edit)
    return list({edit.key: edit for edit in spelt}.values())


def joined(parts: Sequence[Edit], rng: random.Random) -> dict[str, Any]:
    """The edits as a dictionary, now and then with keys joined by ``;`` where their values can be."""
    if len(parts) > 1 and rng.random() < 0.4:
        values = [str(part.value) for part in parts]
        text = "".join(part.key for part in parts) + "".join(values)
        if (
            not {";", "\\"} & set(text)
            and text.isprintable()
            and all(value == value.strip() for value in values)
        ):
            return {rng.choice([";", "; "]).join(part.key for part in parts): ";".join(values)}
    return {part.key: part.value for part in parts}


def _edit(config: Any, rng: random.Random) -> Edit | None:
    steps: list[Step] = []
    message = config
    while True:
        field = _field(message, rng, likely=("feature_configs", "feature_config", "model_config"))
        if field is None:
            return None
        if is_map(field):
            return None  # only whole: EasyRec can't select from a map
        container = getattr(message, field.name)
        if field.is_repeated and (field.message_type or rng.random() < 0.5):
            selector, text = _selector(container, field, rng)
            steps.append(Step(field.name, selector, text))
            value = rng.choice(container) if len(container) else None
            if not field.message_type:
                return Edit(tuple(steps), *_value(field, rng))
            value = _fresh(message, field) if value is None else value
        else:
            steps.append(Step(field.name))
            if not field.message_type:
                return Edit(tuple(steps), *(_list if field.is_repeated else _value)(field, rng))
            value = container
        if rng.random() < 0.12 or not value.DESCRIPTOR.fields or _is_struct(value):
            return Edit(tuple(steps), *_message_value(value, rng))
        message = value


def _fresh(message: Any, field: Any) -> Any:
    return getattr(type(message)(), field.name).add()


def _is_struct(message: Any) -> bool:
    return str(message.DESCRIPTOR.full_name).startswith("google.protobuf.")


def _field(message: Any, rng: random.Random, likely: Sequence[str] = ()) -> Any:
    there = [field for field, _ in message.ListFields()]
    preferred = [field for field in there if field.name in likely]
    for fields, chance in ((preferred, 0.5), (there, 0.75), (list(message.DESCRIPTOR.fields), 1)):
        if fields and rng.random() < chance:
            return rng.choice(fields)
    return None


def _selector(elements: Any, field: Any, rng: random.Random) -> tuple[Any, str]:
    count = len(elements)
    kind = rng.random()
    if kind < 0.3 or (kind >= 0.55 and (not count or not field.message_type)):
        number = (
            rng.randrange(-count, count) if count and rng.random() < 0.95 else rng.choice([count, -count - 1])
        )
        return number, rng.choice(["[{}]", "[{}]", "[{}]", "[ {} ]", "[{:+}]"]).format(number)
    if kind < 0.38:
        return slice(None), rng.choice(["[:]", "[:]", "[ : ]"])
    if kind < 0.55:
        ends = [rng.choice([None, rng.randint(-count - 1, count + 1), rng.randint(0, count)]) for _ in "ab"]
        return slice(*ends), "[{}:{}]".format(*("" if end is None else end for end in ends))
    condition = _condition(rng.choice(elements), rng)
    if condition is None:
        return 0, "[0]"
    path = ".".join(map(str, condition.path))
    return condition, f"[{path}{condition.operator}{condition.text}]"


def _condition(element: Any, rng: random.Random) -> Condition | None:
    path: list[Step] = []
    for _ in range(3):
        field = _field(element, rng)
        if field is None or is_map(field):
            return None
        value = getattr(element, field.name)
        step = Step(field.name)
        if field.is_repeated:
            number = rng.randrange(-len(value), len(value)) if len(value) else 0
            if not len(value) and field.message_type:
                return None
            step = Step(field.name, number, f"[{number}]")
            value = value[number] if len(value) else some(field, rng)
        path.append(step)
        if not field.message_type:
            symbol = rng.choice(["=", "=", "=", ">=", "<=", ">", "<"])
            text, wanted = _compared(field, value, rng)
            return Condition(tuple(path), symbol, text, wanted)
        element = value
    return None


def _compared(field: Any, value: Any, rng: random.Random) -> tuple[str, Any]:
    if rng.random() < 0.3:
        value = some(field, rng)
    if field.enum_type:
        return rng.choice([field.enum_type.values_by_number[value].name, str(value)]), value
    if field.type in RANGES:
        value += rng.choice([0, 0, 0, 1, -1, 2**33])
        return str(value), value
    if field.type in FLOATS:
        text = rng.choice([repr(value), f"{value:g}"])
        return text, float(text)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.choice([str(value), str(value).lower()]), value
    if any(char in value for char in "[]<>=;"):
        return "x", "x"  # how such text is to be read is the key parser's own affair
    return value, value


def _value(field: Any, rng: random.Random) -> tuple[Any, Any]:
    """A value for a scalar in one of the forms that people and tuners give it in, and what it means."""
    if rng.random() < 0.08:
        return rng.choice(_AWKWARD), UNKNOWN
    meant = some(field, rng)
    if field.enum_type:
        return rng.choice([field.enum_type.values_by_number[meant].name] * 3 + [meant, str(meant)]), meant
    if field.type in RANGES:
        forms = [meant, meant, str(meant)] + ([float(meant), f"{meant}.0"] if abs(meant) < 2**53 else [])
        return rng.choice(forms), meant
    if field.type in FLOATS:
        given = rng.choice([meant, meant, repr(meant), f"{meant:e}", f" {meant} "])
        return given, float(given)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.choice([meant, meant, str(meant), str(meant).lower()]), meant
    if rng.random() < 0.1:
        given = rng.choice([1, 0.5, 1e-5, 20240101, True, 1e16])
        return given, str(given)
    return meant, meant


def _list(field: Any, rng: random.Random) -> tuple[Any, Any]:
    if rng.random() < 0.05:
        return rng.choice(_AWKWARD), UNKNOWN
    pairs = [_value(field, rng) for _ in range(rng.choice([0, 1, 2, 3, 4]))]
    values = [value for value, _ in pairs]
    meant = UNKNOWN if any(of is UNKNOWN for _, of in pairs) else [of for _, of in pairs]
    if rng.random() < 0.3 and str(values).isascii() and "\\" not in str(values):
        return str(values), meant
    return values, meant


def _message_value(like: Any, rng: random.Random) -> tuple[Any, Any]:
    if rng.random() < 0.08:
        return rng.choice(_AWKWARD), UNKNOWN
    meant = fill(type(like)(), rng)
    text = written(meant, rng, strict=True) if rng.random() < 0.5 else _printed(meant)
    return rng.choice([f"{{{text}}}", text, f" {{ {text} }} "]), meant


def _printed(message: Any) -> str:
    return str(text_format.MessageToString(message, as_utf8=True))
