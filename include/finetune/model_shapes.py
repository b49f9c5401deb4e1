"""Differences of two ``model_config`` in their layers, by the rules of ``shape_fields``."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.finetune.changes import ShapeChange, added, dropped, remapped, reshaped
from include.finetune.shape_fields import (
    BY_NAME,
    BY_NAME_AND_NUMBER,
    IDENTITY,
    LEARNED_ACTIVATIONS,
    RULES,
    Role,
    Rule,
)
from include.pipeline_config.fields import FieldSpec, table
from include.pipeline_config.values import zero

Fields = Mapping[str, Any]

_NOT_HERE = frozenset(
    {
        ("EasyRecModel", "feature_groups"),
        ("EasyRecModel", "ev_params"),
        ("FeatureGroupConfig", "feature_names"),
    }
)
"""Judged with the features."""
_DEFAULTS: Mapping[tuple[str, str], Fields] = {
    ("SeqAttGroupConfig", "seq_dnn"): {"hidden_units": [128, 64, 32, 1]},
}
"""Messages that EasyRec fills in when they are absent."""


def compare(message: str, old: Fields, new: Fields, path: str) -> Iterator[ShapeChange]:
    """Differences of two values of ``message`` (the set fields) that concern variables."""
    done: set[str] = set()
    for name, spec in table().messages.get(message, {}).items():
        if name in done or (message, name) in _NOT_HERE:
            continue
        branches = table().branches(spec)
        if branches and spec.is_message:
            done.update(branches)
            yield from _one_of(branches, old, new, path, message)
        else:
            yield from _field(spec, old, new, f"{path}.{name}")


def decides_shapes(message: str) -> bool:
    """Whether a rule is about ``message`` or any message in it."""
    return message in _relevant()


@functools.cache
def _relevant() -> frozenset[str]:
    found = {message for message, _ in RULES}
    messages = table().messages
    while True:
        more = {
            name
            for name, fields in messages.items()
            if name not in found and any(spec.is_message and spec.type in found for spec in fields.values())
        }
        if not more:
            return frozenset(found)
        found |= more


def _one_of(
    branches: Sequence[str], old: Fields, new: Fields, path: str, message: str
) -> Iterator[ShapeChange]:
    before = next((name for name in branches if name in old), "")
    after = next((name for name in branches if name in new), "")
    if before == after:
        if before:
            yield from _field(table().messages[message][before], old, new, f"{path}.{before}")
        return
    specs = [table().messages[message][name] for name in (before, after) if name]
    if any((s.owner, s.name) in RULES or decides_shapes(s.type) for s in specs):
        yield reshaped(f"{path}.{after or before}", f"{before or 'nothing'} becomes {after or 'nothing'}")


def _field(spec: FieldSpec, old: Fields, new: Fields, path: str) -> Iterator[ShapeChange]:
    rule = RULES.get((spec.owner, spec.name))
    if spec.is_message and not decides_shapes(spec.type) and rule is None:
        return
    if rule is not None and (not spec.is_message or rule.role is Role.SHAPE or not decides_shapes(spec.type)):
        before, after = _value(spec, old), _value(spec, new)
        if before != after:
            yield from _judged(rule, path, before, after)
    elif spec.repeated and spec.is_message:
        yield from _elements(spec, old, new, path)
    elif spec.is_message:
        yield from _message(spec, rule, _value(spec, old), _value(spec, new), path)


def _value(spec: FieldSpec, fields: Fields) -> Any:
    if spec.name in fields:
        return fields[spec.name]
    if spec.repeated:
        return []
    return _DEFAULTS.get((spec.owner, spec.name)) if spec.is_message else zero(spec, table())


def _message(
    spec: FieldSpec, rule: Rule | None, old: Fields | None, new: Fields | None, path: str
) -> Iterator[ShapeChange]:
    if old is not None and new is not None:
        yield from compare(spec.type, old, new, path)
    elif (old is None) != (new is None):
        if rule is not None:
            yield from _judged(rule, path, old, new)
        else:
            yield reshaped(
                path, f"{'comes' if old is None else 'goes'}: what lies behind it reads another width"
            )


def _judged(rule: Rule, path: str, old: Any, new: Any) -> Iterator[ShapeChange]:
    change = f"{_shown(old)} becomes {_shown(new)}"
    if rule.role is Role.SHAPE:
        yield reshaped(path, f"{change}: {rule.reason}")
    elif rule.role is Role.SWITCH:
        yield added(path, f"{rule.reason} are new") if new else dropped(path, f"{rule.reason} go")
    elif any(word in str(new).lower() for word in LEARNED_ACTIVATIONS):
        yield added(path, f"{change}: {rule.reason} are new")


def _shown(value: Any) -> str:
    if value in (None, "", []):
        return "nothing"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


# Lists of messages


def _elements(spec: FieldSpec, old: Fields, new: Fields, path: str) -> Iterator[ShapeChange]:
    """``old``, ``new``: the messages that hold the list."""
    kind = (spec.owner, spec.name)
    before = _by_selector(spec.type, old.get(spec.name, []))
    after = _by_selector(spec.type, new.get(spec.name, []))
    gone = [key for key in before if key not in after]
    fresh = [key for key in after if key not in before]
    may_grow = kind in BY_NAME or kind in BY_NAME_AND_NUMBER
    if gone and fresh:
        yield reshaped(path, f"{_list(gone)} went and {_list(fresh)} came: under a new name it starts afresh")
    elif gone and may_grow:
        yield dropped(f"{path}[{gone[0]}]", f"{_list(gone)} went")
    elif fresh and may_grow:
        yield added(f"{path}[{fresh[0]}]", f"{_list(fresh)} is new")
    elif gone or fresh:
        what = f"{_list(gone)} went" if gone else f"{_list(fresh)} came"
        yield reshaped(path, f"{what}: what lies behind it reads another width")
    if may_grow or not (gone or fresh):
        order = {key: number for number, key in enumerate(before)}
        moved = [key for number, key in enumerate(after) if order.get(key, number) != number]
        yield from _moved(kind, path, moved, {**old, **new}) if moved else ()
    for key, fields in after.items():
        if key in before:
            yield from compare(spec.type, before[key], fields, f"{path}[{key}]")


def _moved(kind: tuple[str, str], path: str, moved: Sequence[str], owner: Fields) -> Iterator[ShapeChange]:
    if kind in BY_NAME:
        return
    if kind not in BY_NAME_AND_NUMBER:
        yield reshaped(path, f"{_list(moved)} moved, but variables are named and joined in this order")
    elif BY_NAME_AND_NUMBER[kind] is None or BY_NAME_AND_NUMBER[kind] in owner:
        yield remapped(path, f"{_list(moved)} moved, but some of its variables are numbered")


def _by_selector(message: str, elements: Sequence[Fields]) -> dict[str, Fields]:
    """Elements by what selects each: their identity where they have one, else their number."""
    name = IDENTITY.get(message, "")
    found: dict[str, Fields] = {}
    for number, fields in enumerate(elements):
        key = f"{name}={fields[name]}" if fields.get(name) else str(number)
        found[key if key not in found else str(number)] = fields
    return found


def _list(selectors: Sequence[str]) -> str:
    return ", ".join(selector.partition("=")[2] or selector for selector in selectors)
