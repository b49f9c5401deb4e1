"""Whole messages and lists as values of edits: read from text, checked by the field table, printed."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config.fields import INTEGERS, FieldSpec
from include.pipeline_config.layout import Style
from include.pipeline_config.literals import is_string, read_integer
from include.pipeline_config.reader import Body, Document, Field, Scalar, Sequenced, parse
from include.pipeline_config.values import RawLiteral, scalar_from, write_scalar
from include.pipeline_config.view import Target, View

_LIST_LIKE = re.compile(r"[\s,\[\]\"']")


@dataclass(frozen=True)
class Entry:
    """One field as written: ``value`` is a scalar, a ``Message``, or a tuple of them for ``[a, b]``."""

    spec: FieldSpec
    value: Any


@dataclass(frozen=True)
class Message:
    """A message value; replaces what was there as a whole."""

    entries: tuple[Entry, ...] = ()


def value_for(target: Target, value: Any, view: View) -> Any:
    """``value`` as ``target`` holds it: a scalar, a Message, or a tuple for a whole repeated field.

    Raises ValueError that says what the target takes.
    """
    if target.spec.kind == "unknown":
        return _untyped(target, value, view)
    return typed_value(target.spec, value, view, whole=target.element is None)


def typed_value(spec: FieldSpec, value: Any, view: View, *, whole: bool) -> Any:
    """``value`` for a field of the table: for the whole field, or for one element of it."""
    if spec.repeated and whole:
        if spec.is_message:
            raise ValueError(f"it is a list of {spec.type}; select elements, e.g. {spec.name}[0]")
        return _scalars(value, spec, view)
    if spec.is_message:
        return message_from(value, spec.type, view)
    return scalar_from(value, spec, view.table)


def _untyped(target: Target, value: Any, view: View) -> Any:
    """A field that the table doesn't have: the value's own type, and what stands there, decide."""
    if isinstance(value, (list, tuple)):
        return tuple(_untyped(target, item, view) for item in value)
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("{") and text.endswith("}"):
            return message_from(value, target.spec.type, view)
        there = target.element[1] if target.element else None
        if there is None and (found := view.occurrences(target.place, target.spec)):
            there = found[-1].items[-1] if found[-1].items else None
        if isinstance(there, Body):
            return message_from(value, target.spec.type, view)
        document = _parsed(f"x: {text}") if isinstance(there, Scalar) and not is_string(there.text) else None
        if document is not None and len(document.root.fields) == 1:
            literal = document.root.fields[0].value
            if isinstance(literal, Scalar):
                return RawLiteral(literal.text)
    return scalar_from(value, target.spec, view.table)


def _parsed(text: str) -> Document | None:
    try:
        return parse(text)
    except ConfigEditError:
        return None


def _scalars(value: Any, spec: FieldSpec, view: View) -> tuple[Any, ...]:
    """The values of a repeated scalar field from a list, ``[…]`` as text or JSON, or one value."""
    if isinstance(value, (list, tuple)):
        return tuple(scalar_from(item, spec, view.table) for item in value)
    text = value.strip() if isinstance(value, str) else None
    if text is None or not _LIST_LIKE.search(text):
        return (_unquoted(value, spec, view),)
    document = _parsed(f"{spec.name}: {text}")
    if document is None or len(document.root.fields) != 1:
        raise ValueError(f'{value!r} can\'t be read as a list; write [a, b] or ["a", "b"]')
    own = View(document, view.table, view.allow_unknown)
    return tuple(_item(item, spec, own) for item in document.root.fields[0].items)


def _item(item: Scalar | Body, spec: FieldSpec, own: View) -> Any:
    if not isinstance(item, Scalar):
        raise ValueError(f"it takes {spec.describe()}, not messages")
    if is_string(item.text):
        quoted = own.scalar(item, FieldSpec(spec.owner, spec.name, "string"))
        return scalar_from(quoted, spec, own.table)
    return _unquoted(item.text, spec, own)


def _unquoted(value: Any, spec: FieldSpec, view: View) -> Any:
    """EasyRec reads a whole list as text format, where 010 is 8; elsewhere it is Python's, 10."""
    if isinstance(value, str) and spec.type in INTEGERS:
        with contextlib.suppress(ValueError):
            return read_integer(value.strip(), spec.type)
    return scalar_from(value, spec, view.table)


def message_from(value: Any, message: str, view: View) -> Message:
    """A message value from text format with or without outer braces. ValueError when it isn't one."""
    if not isinstance(value, str):
        raise ValueError(f"it takes a message as text, e.g. {{field: 1}}, not {value!r}")
    text = value.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    try:
        document = parse(text)
        own = View(document, view.table, view.allow_unknown)
        return message_of(document.root, message, own)
    except ConfigEditError as error:
        place = f" ({error.where} of the value)" if error.where else ""
        hint = f"; {error.hint}" if error.hint else ""
        raise ValueError(f"{error.message}{place}{hint}") from error


def message_of(body: Body, message: str, own: View) -> Message:
    """A body of ``own``'s text as a value. ConfigEditError where protobuf's strict reader refuses it."""
    entries = []
    seen: dict[str, str] = {}
    for field in body.fields:
        spec = own.spec(message, field.name, "")
        if not spec.repeated and spec.kind != "unknown":
            group = f"oneof {spec.oneof}" if spec.oneof else spec.name
            if (other := seen.setdefault(group, spec.name)) != spec.name:
                raise own.error(field.start, f"{spec.name!r} and {other!r} exclude each other")
            if spec.name in seen.get("", "").split():
                raise own.error(field.start, f"{spec.name!r} is given twice")
            seen[""] = f"{seen.get('', '')} {spec.name}"
            if isinstance(field.value, Sequenced):
                raise own.error(field.value.start, f"{spec.name!r} takes one value, not a list")
        entries.append(Entry(spec, _entry_value(field, spec, own)))
    return Message(tuple(entries))


def _entry_value(field: Field, spec: FieldSpec, own: View) -> Any:
    def one(item: Scalar | Body) -> Any:
        if spec.kind == "unknown":
            return message_of(item, spec.type, own) if isinstance(item, Body) else RawLiteral(item.text)
        if spec.is_message:
            return message_of(own.body(item, spec), spec.type, own)
        value = own.scalar(item, spec)
        if not isinstance(item, Scalar) or is_string(item.text):
            return value
        return RawLiteral("".join(item.text.split()))  # numbers and names stay as they were written

    if isinstance(field.value, Sequenced):
        return tuple(one(item) for item in field.value.items)
    return one(field.value)


# Printing


def print_inline(name: str, value: Any, style: Style) -> str:
    """``name: value`` on one line."""
    lead = name + (style.before_opener if _holds_messages(value) else style.before_value)
    if isinstance(value, tuple) and _holds_messages(value) and ":" not in lead:
        lead = f"{name}: "
    return lead + inline_value(value, style)


def inline_value(value: Any, style: Style) -> str:
    if isinstance(value, Message):
        inner = " ".join(print_inline(e.spec.name, e.value, style) for e in value.entries)
        closer = ">" if style.opener == "<" else "}"
        return f"{style.opener}{f' {inner} ' if inner else ''}{closer}"
    if isinstance(value, tuple):
        return f"[{', '.join(inline_value(item, style) for item in value)}]"
    return write_scalar(value, style.quote)


def block_value(value: Any, indent: str, style: Style) -> str:
    """A value whose messages stand on lines of their own, below a line indented by ``indent``."""
    if not isinstance(value, Message) or not value.entries:
        return inline_value(value, style)
    closer = ">" if style.opener == "<" else "}"
    inner = indent + style.unit
    lines = "".join(
        f"{inner}{print_block(e.spec.name, e.value, inner, style)}{style.newline}" for e in value.entries
    )
    return f"{style.opener}{style.newline}{lines}{indent}{closer}"


def print_block(name: str, value: Any, indent: str, style: Style) -> str:
    """``name { … }`` over several lines, without the first line's indent and the last line break."""
    if isinstance(value, Message):
        return name + style.before_opener + block_value(value, indent, style)
    return print_inline(name, value, style)


def _holds_messages(value: Any) -> bool:
    return isinstance(value, Message) or (
        isinstance(value, tuple) and bool(value) and isinstance(value[0], Message)
    )
