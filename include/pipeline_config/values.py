"""Scalars by field type: from literals, from what users and tuners give, and back to literals."""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from include.pipeline_config.fields import FLOATS, INTEGERS, FieldSpec, FieldTable, listed, nearest
from include.pipeline_config.literals import (
    FLOAT32_MAX,
    INTEGER_RANGES,
    is_string,
    read_bool,
    read_float,
    read_integer,
    read_string,
    write_float,
    write_string,
)

_WHOLE = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"\$\{\w+\}")


class EnumName(str):
    """The name of an enum value, told apart from ordinary text because it is written without quotes."""

    __slots__ = ()


class RawLiteral(str):
    """A literal of a field whose type is not known, kept as written."""

    __slots__ = ()


def as_float32(value: Any) -> float:
    """What a 32-bit float field holds of ``value``."""
    if abs(value) >= FLOAT32_MAX:
        return math.copysign(math.inf, value)
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def as_number(text: str) -> float | None:
    """The number that stands in ``text``; None when it is none."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def read_scalar(literal: str, spec: FieldSpec, table: FieldTable) -> Any:
    """The value of a literal in a config. ValueError when the field can't hold it."""
    if spec.kind == "unknown" or _VARIABLE.fullmatch(literal):
        return read_string(literal) if is_string(literal) else RawLiteral(literal)
    if spec.kind == "enum":
        if _WORD.fullmatch(literal):
            return _enum(literal, spec, table)
        return _enum_by_number(read_integer(literal, "int32"), spec, table)
    if spec.type in INTEGERS:
        return read_integer(literal, spec.type)
    if spec.type in FLOATS:
        return read_float(literal)
    if spec.type == "bool":
        return read_bool(literal)
    if not is_string(literal):
        raise ValueError("text must stand in quotes")
    return read_string(literal)


def zero(spec: FieldSpec, table: FieldTable) -> Any:
    """What an absent singular scalar reads as."""
    if spec.kind == "unknown":
        return None
    if spec.kind == "enum":
        return EnumName(spec.default or next(iter(table.enums[spec.type])))
    if spec.type in INTEGERS:
        return int(spec.default or 0)
    if spec.type in FLOATS:
        return float(spec.default or 0)
    if spec.type == "bool":
        return spec.default == "true"
    return spec.default or ""


def scalar_from(value: Any, spec: FieldSpec, table: FieldTable, *, compared: bool = False) -> Any:
    """``value``, as a user or a tuner gives it, as ``spec`` holds it (reference R29).

    Numbers may come as text, integers as ``4.0``, booleans as true/True/false/False, enums by name or number.
    ValueError says what the field takes. ``compared`` lets numbers pass that can only be compared with it.
    """
    if value is None or isinstance(value, (dict, list, tuple, set)):
        raise ValueError(f"it takes one {spec.type}, not {_kind(value)}")
    if spec.kind == "unknown":
        return _untyped(value)
    if spec.kind == "enum":
        return _enum_from(value, spec, table)
    if spec.type in INTEGERS:
        return _integer(value, spec, compared)
    if spec.type in FLOATS:
        return _float(value, spec, compared)
    if spec.type == "bool":
        return _bool(value)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is not valid Unicode") from None
    return text


def _enum(name: str, spec: FieldSpec, table: FieldTable) -> EnumName:
    names = table.enums[spec.type]
    if name not in names:
        close = nearest(name, names)
        suggestion = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(f"{name!r} is no value of {spec.type}; {suggestion}it takes {listed(names, 30)}")
    return EnumName(name)


def _enum_from(value: Any, spec: FieldSpec, table: FieldTable) -> EnumName:
    text = str(value).strip()
    if isinstance(value, bool) or not (isinstance(value, str) or _WHOLE.fullmatch(text)):
        raise ValueError(f"{value!r} is not a name; {spec.type} takes {listed(table.enums[spec.type])}")
    return _enum_by_number(int(text), spec, table) if _WHOLE.fullmatch(text) else _enum(text, spec, table)


def _enum_by_number(number: int, spec: FieldSpec, table: FieldTable) -> EnumName:
    values = table.enums[spec.type]
    for name, its_number in values.items():
        if its_number == number:
            return EnumName(name)
    numbered = listed([f"{name} ({its_number})" for name, its_number in values.items()], 30)
    raise ValueError(f"no value of {spec.type} has the number {number}; it takes {numbered}")


def _integer(value: Any, spec: FieldSpec, compared: bool) -> int:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number; it takes {spec.type}")
    if isinstance(value, str):
        text = value.strip()
        if _WHOLE.fullmatch(text):
            number: Any = int(text) if len(text) < 30 else math.inf
        elif _NUMBER.fullmatch(text):
            number = float(text)
        else:
            raise ValueError(f"{value!r} is not a number; it takes {spec.type}")
    else:
        number = value
    try:
        whole = int(number)
    except (OverflowError, ValueError, TypeError):
        whole = None
    low, high = INTEGER_RANGES[spec.type]
    if whole is None or not (compared or low <= whole <= high):
        raise ValueError(f"{value} is outside of {spec.type} ({low} … {high})")
    if whole != number:
        raise ValueError(f"{value} is not a whole number; it takes {spec.type}")
    return whole


def _float(value: Any, spec: FieldSpec, compared: bool) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number; it takes {spec.type}")
    try:
        if isinstance(value, str):
            text = value.strip()
            number = float(text) if _NUMBER.fullmatch(text) else read_float(text)
        else:
            number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number; it takes {spec.type}") from None
    if compared:
        return number
    if math.isinf(number) and isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"{value} is too large for a {spec.type}")
    if math.isnan(number):
        raise ValueError("NaN is no parameter value")
    if spec.type == "float" and math.isfinite(number) and abs(number) >= FLOAT32_MAX:
        raise ValueError(f"{value} is too large for a 32-bit float")
    return number


def _bool(value: Any) -> bool:
    text = str(value).strip()  # numpy's booleans included
    if text in ("true", "True", "false", "False"):
        return text in ("true", "True")
    raise ValueError(f"{value!r} is not a boolean; it takes true or false")


def _untyped(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str)):
        return value
    number = float(value)  # numpy's numbers
    return int(number) if number.is_integer() and "int" in type(value).__name__ else number


def _kind(value: Any) -> str:
    return {"NoneType": "null", "dict": "an object"}.get(type(value).__name__, "a list")


def write_scalar(value: Any, quote: str = '"') -> str:
    """The literal of a typed value; numbers in their shortest round-trip form."""
    if isinstance(value, (EnumName, RawLiteral)):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return write_float(value)
    return write_string(value, quote)


def same(left: Any, right: Any) -> bool:
    """Equal with equal type: ``-0.0`` is not ``0.0``, and NaN is itself."""
    if isinstance(left, float) and isinstance(right, float):
        return repr(left) == repr(right)
    return type(left) is type(right) and bool(left == right)
