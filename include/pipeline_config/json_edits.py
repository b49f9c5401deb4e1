"""Edits as EasyRec takes them in ``-Dedit_config_json`` (way (a) of reference section 3), and its limits.

What EasyRec does there: the JSON stands between single quotes on a command line, is read by a YAML 1.1
loader, keys are split at every ``;`` and ``.``, values are turned into text and split at every ``;``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config.editing import Draft, single_edits
from include.pipeline_config.fg import judge_features
from include.pipeline_config.fields import FieldSpec
from include.pipeline_config.keys import OPERATORS, Condition, Key, Range, Step
from include.pipeline_config.layout import Style
from include.pipeline_config.messages import Message, inline_value, typed_value
from include.pipeline_config.values import EnumName, RawLiteral
from include.pipeline_config.view import View

WAY_OUT = "write a patched config instead (parameters_via: patched_config), which has no such limits"
YAML_KEY_LIMIT = 1024
"""Characters of a key, its quotes and escapes included, that YAML looks back over."""

_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def render_edit_config_json(
    text: str,
    edits: Mapping[str, Any],
    *,
    fg_config: str | None = None,
    allow_unknown_fields: Collection[str] | bool = False,
) -> str:
    """``edits`` as the JSON of ``-Dedit_config_json``, after a dry run on the config ``text``.

    Values are written by field type: ``4.0`` on an integer field is 4, and no float looks like text to
    YAML. Keys on features that EasyRec loads from ``fg_json_path`` are checked against ``fg_config`` (see
    ``with_fg_features``), by name and type only without it.

    Raises ConfigEditError as ``edit_text`` does, and for what EasyRec would not read as it is meant; its
    hint then names the patched config, which has none of these limits.
    """
    features = judge_features(text, fg_config)
    draft = Draft(features.text, allow_unknown_fields)
    rendered: dict[str, Any] = {}
    for key, value in single_edits(edits):
        spec = draft.view.walk(key)
        if features.cannot_judge(key):
            typed = convert_by_type(key, spec, value, draft.view)
        else:
            target = draft.view.select(key)[0]
            spec, typed = target.spec, draft.convert(target, value, key)
            if lacking := draft.view.incomparable(key):
                raise _refused(key, f"EasyRec stops at {lacking}, which lacks the field that is compared")
            draft.apply(key, value)
        for reason in limits(key, spec, typed, draft.view):
            raise _refused(key, reason)
        rendered.pop(key.text, None)  # a later edit of the same key comes later
        rendered[key.text] = typed
    items = [f"{_dump(key)}: {json_value(value)}" for key, value in rendered.items()]
    return "{" + ", ".join(items) + "}"


def convert_by_type(key: Key, spec: FieldSpec, value: Any, view: View) -> Any:
    """``value`` for the field ``key`` names, where its elements can't be seen."""
    try:
        if spec.kind == "unknown":
            return value
        return typed_value(spec, value, view, whole=key.steps[-1].selector is None)
    except ValueError as error:
        raise ConfigEditError(f"{value!r} does not fit {key.text}: {error}", where=key.text) from error


def limits(key: Key, spec: FieldSpec, value: Any, view: View) -> Iterator[str]:
    """Why this edit can't be sent as JSON; nothing when it can. ``value`` is typed."""
    rendered = json_value(value)
    if len(_dump(key.text)) > YAML_KEY_LIMIT:
        yield f"a key of {len(key.text)} characters is too long for EasyRec's YAML reader"
    if "'" in key.text or "'" in rendered:
        yield "a single quote ends the argument that carries the edits"
    if ";" in key.text or ";" in rendered:
        yield "EasyRec splits at every ';'"
    yield from _key_limits(key, view)
    last = key.steps[-1].selector
    if isinstance(last, Range):
        yield f"EasyRec can't set the slice {key.steps[-1].text} itself"
    whole_list = spec.repeated and last is None  # sent as text format, which knows the names
    if spec.kind == "enum" and not whole_list and (last or not _nested_in(spec.type, spec.owner)):
        yield f"EasyRec doesn't find names of the enum {spec.type} from here"
    if isinstance(value, str) and not isinstance(value, (EnumName, RawLiteral)) and value != value.strip():
        yield "EasyRec drops blanks around a text"
    if value == ():
        yield "not every protobuf reads an empty list"


def _key_limits(key: Key, view: View) -> Iterator[str]:
    message = view.table.root
    if re.search(r"\.\s+\.", key.text):
        yield "EasyRec takes the blank between two dots for a name"
    for step in key.steps:
        spec = view.spec(message, step.name, key.text)
        message = spec.type
        if re.search(r"\s\[", step.text):
            yield f"EasyRec takes the blank before [ in {step.text} for a part of the name"
        if isinstance(step.selector, Range) and re.search(r"[\[:]\s+[:\]]", step.text):
            yield f"EasyRec can't read the blank in {step.text}"
        if step.selector is not None and spec.type in view.table.maps:
            yield f"EasyRec can't select from the map {step.name}"
        if isinstance(step.selector, Condition):
            yield from _condition_limits(key, step, step.selector, spec, view)


def _condition_limits(
    key: Key, step: Step, condition: Condition, spec: FieldSpec, view: View
) -> Iterator[str]:
    inner = step.text[step.text.index("[") + 1 : -1]
    if "." in inner:
        yield f"EasyRec splits keys at every dot, also inside [{inner}]"
        return
    if ":" in inner:
        yield f"EasyRec takes [{inner}] for a slice"
    found = next((op for op in OPERATORS if op in inner), "")
    if found != condition.operator or inner[inner.rfind(found) + len(found) :] != condition.value:
        yield f"EasyRec looks for {', '.join(OPERATORS)} in this order and takes [{inner}] apart elsewhere"
    if any(isinstance(s.selector, Range) for s in condition.path[-1:]):
        yield f"EasyRec can't compare the slice in [{inner}]"
    of = view.walk(Key(key.text, condition.path), spec.type)
    exact = condition.value == condition.value.strip()
    whole = re.fullmatch(r"\s*[-+]?[0-9]+\s*", condition.value)
    if of.kind == "enum" and not whole and (of.repeated or not _nested_in(of.type, of.owner) or not exact):
        yield f"EasyRec doesn't find {condition.value!r} in the enum {of.type} from here"
    elif of.type == "bool" and not exact:
        yield f"EasyRec doesn't read {condition.value!r} as a boolean"
    elif "int" in of.type and not whole:
        yield f"EasyRec doesn't read {condition.value!r} as an integer"


def _nested_in(enum: str, owner: str) -> bool:
    """EasyRec looks a value's name up as an attribute of the message that has the field."""
    return enum.rpartition(".")[0] == owner


def _refused(key: Key, reason: str) -> ConfigEditError:
    return ConfigEditError(f"edit_config_json can't carry this: {reason}", where=key.text, hint=WAY_OUT)


def json_value(value: Any) -> str:
    """A typed value as JSON that EasyRec's YAML reader reads as the same type."""
    if isinstance(value, Message):
        return _dump(inline_value(value, Style()))
    if isinstance(value, (tuple, list)):
        if any(map(_needs_text_format, value)):
            return _dump(inline_value(tuple(value), Style()))
        return f"[{', '.join(json_value(item) for item in value)}]"
    if isinstance(value, str):
        return _dump(str(value))
    if isinstance(value, bool) or not isinstance(value, float):
        return json.dumps(value)
    if _special(value):
        return f'"{value!r}"'
    number, exponent, power = repr(value).partition("e")
    return f"{number if '.' in number else number + '.0'}{exponent}{power}"


def _needs_text_format(item: Any) -> bool:
    """Whether EasyRec's text of a list, which is Python's, is not text format: quoted names, ``\\x80``."""
    if isinstance(item, str):
        return isinstance(item, (EnumName, RawLiteral)) or not item.isprintable()
    return isinstance(item, Message) or _special(item)


def _special(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _dump(text: str) -> str:
    """A JSON string that YAML reads alike: it knows no surrogate pairs and refuses a raw DEL."""
    dumped = json.dumps(text).replace("\x7f", "\\u007f")
    return _SURROGATES.sub(lambda m: m[1] + json.loads(f'"\\u{m[2]}\\u{m[3]}"'), dumped)
