"""Random messages and texts of configs, for ``editor_against_easyrec.py``."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor

_F = FieldDescriptor
RANGES = {
    _F.TYPE_INT32: (-(2**31), 2**31 - 1),
    _F.TYPE_INT64: (-(2**63), 2**63 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1),
    _F.TYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = (_F.TYPE_FLOAT, _F.TYPE_DOUBLE)
_TEXTS = [
    *("a", "user_id", "x y", "tf.nn.relu", "中文名", "odps://p/tables/t/dt=20240101", "1", "1e-5", "true"),
    *("", "null", "it's", 'say "x"', "a:b", "back\\slash", "{", "#no", "a,b", "[1]", "[x", "]", " lead"),
    *("trail ", "tab\there", "new\nline", "\u2028", "\x80", "\x02", "😀", "- a", "&x", "*x", "!x", "%x"),
    *("a;b", ">=3", "2024-01-01", "1_000", "012", "1:30", "0x10", ".5", "nan", "inf", "~", "{a:1}", "a=b"),
]


def is_map(field: Any) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def some(field: Any, rng: random.Random) -> Any:
    if field.enum_type:
        return rng.choice(field.enum_type.values).number
    if field.type in RANGES:
        low, high = RANGES[field.type]
        return rng.choice([0, 1, 4, 16, 1000, low, high, rng.randint(low, high), rng.randrange(5000)])
    if field.type in FLOATS:
        return rng.choice(
            [0.1, 1e-5, 1e-7, 3.0, 0.0, -0.5, 1e10, 1e16, 3e38, rng.random(), 10 ** rng.uniform(-8, 3)]
        )
    if field.type == _F.TYPE_BOOL:
        return rng.random() < 0.5
    return rng.choice(_TEXTS) if rng.random() < 0.4 else f"name_{rng.randrange(100)}"


def fill(message: Any, rng: random.Random, depth: int = 0) -> Any:
    """Some fields of the message, nested ones too; no oneof twice."""
    fields = list(message.DESCRIPTOR.fields)
    for field in rng.sample(fields, min(len(fields), rng.randint(0, 4))):
        value = getattr(message, field.name)
        if is_map(field):
            for _ in range(rng.randint(0, 2)):
                fill(value[rng.choice("abc")], rng, depth + 1)
        elif field.message_type and depth < 3:
            for _ in range(rng.randint(1, 2) if field.is_repeated else 1):
                child = value.add() if field.is_repeated else value
                child.SetInParent()
                fill(child, rng, depth + 1)
        elif not field.message_type and field.is_repeated:
            value.extend(some(field, rng) for _ in range(rng.randint(1, 3)))
        elif not field.message_type:
            setattr(message, field.name, some(field, rng))
    return message


def other_layout(config: Any) -> Any:
    """The same features in the other of their two places."""
    moved = type(config)()
    moved.CopyFrom(config)
    if config.feature_configs:
        moved.ClearField("feature_configs")
        moved.feature_config.features.extend(config.feature_configs)
    else:
        moved.ClearField("feature_config")
        moved.feature_configs.extend(config.feature_config.features)
    return moved


def written(message: Any, rng: random.Random, level: int = 0, *, strict: bool = False) -> str:
    """The message as text format in a random mixture of styles; nothing said twice when ``strict``."""
    newline = rng.choice(["\n", "\n", " ", "\r\n"])
    parts = list(_parts(message, rng, level, strict))
    end = ["", "", ",", ";", " # why\n", "  "]
    return newline.join("  " * level + part + rng.choice(end) for part in parts)


def _parts(message: Any, rng: random.Random, level: int, strict: bool) -> Iterator[str]:
    for field, value in message.ListFields():
        colon = rng.choice([":", ": ", " : ", ":\n  "])
        values = list(value) if field.is_repeated else [value]
        if is_map(field):
            entry = message_factory.GetMessageClass(field.message_type)
            values = [entry(key=key, value=value[key]) for key in value]
        if field.is_repeated and rng.random() < 0.4:
            literals = (_literal(item, field, rng, level, strict) for item in values)
            yield f"{field.name}{colon}[{', '.join(literals)}]"
            continue
        lead = field.name + (rng.choice([colon, " ", ""]) if field.message_type else colon)
        for item in values:
            if not strict and field.message_type and not field.is_repeated and rng.random() < 0.1:
                yield lead + "{}"  # merged with the next
            yield lead + _literal(item, field, rng, level, strict)


def _literal(item: Any, field: Any, rng: random.Random, level: int, strict: bool) -> str:
    if field.message_type:
        opener, closer = rng.choice(["{}", "{}", "<>"])
        newline = rng.choice(["\n", "\n", " "])
        return f"{opener}{newline}{written(item, rng, level + 1, strict=strict)}{newline}{closer}"
    if field.enum_type:
        return rng.choice([str(field.enum_type.values_by_number[item].name)] * 5 + [str(item)])
    if field.type == _F.TYPE_STRING:
        cut = rng.randint(0, len(item))
        halves = [item] if rng.random() < 0.8 else [item[:cut], item[cut:]]
        return rng.choice([" ", "\n", " # joined\n"]).join(_quoted(half, rng) for half in halves)
    return str(item).lower() if isinstance(item, bool) else repr(item)


def _quoted(text: str, rng: random.Random) -> str:
    escaped = "".join(f"\\{ord(c):03o}" if ord(c) < 32 else f"\\{c}" if c in "\\\"'" else c for c in text)
    return rng.choice(['"{}"', "'{}'"]).format(escaped)
