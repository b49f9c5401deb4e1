"""Literals of text format: reading them by field type, writing them."""

from __future__ import annotations

import math
import re

from include.pipeline_config.reader import STRING, TRIVIA

INTEGER_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
FLOAT32_MAX = 3.4028235677973366e38
"""Anything from here on is infinite as a 32-bit float."""
TRUE_WORDS = frozenset({"true", "True", "t", "1"})
FALSE_WORDS = frozenset({"false", "False", "f", "0"})

_PART = re.compile(rf"{TRIVIA}({STRING})")
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip
_INTEGER = re.compile(r"([-+]?)\s*(?:(0[xX][0-9a-fA-F]+)|(0[0-7]+)|([1-9][0-9]*|0))")
_INF = re.compile(r"([-+]?)\s*inf(?:inity)?f?", re.IGNORECASE)
_NAN = re.compile(r"[-+]?\s*nanf?", re.IGNORECASE)
_FLOAT = re.compile(r"([-+]?)\s*((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[fF]?")
_OCTAL_FLOAT = re.compile(r"[-+]?\s*0[0-9]+[fF]?")


def is_string(literal: str) -> bool:
    return literal[:1] in ('"', "'")


def read_string(literal: str) -> str:
    """The text of one or several adjacent quoted strings. ValueError when escapes make no UTF-8."""
    parts = []
    pos = 0
    while found := _PART.match(literal, pos):
        inner = found[1][1:-1]
        parts.append(_unescape(inner) if "\\" in inner else inner.encode())
        pos = found.end()
    return b"".join(parts).decode()


def _unescape(inner: str) -> bytes:
    out = []
    pos = 0
    for found in _ESCAPE.finditer(inner):
        out.append(inner[pos : found.start()].encode())
        octal, hexadecimal, short, long, other = found.groups()
        if octal is not None:
            out.append(bytes([int(octal, 8)]))
        elif hexadecimal is not None:
            out.append(bytes([int(hexadecimal, 16)]))
        elif short is not None or long is not None:
            out.append(chr(int(short or long, 16)).encode())
        elif other in ("x", "u", "U"):
            raise ValueError(f"\\{other} without its digits")
        else:
            # protobuf's Python reader keeps the backslash of an escape it does not know
            out.append(_SIMPLE.get(other, "\\" + other).encode())
        pos = found.end()
    out.append(inner[pos:].encode())
    return b"".join(out)


def read_integer(literal: str, kind: str) -> int:
    """An integer as text format writes it: decimal, hex or octal. ValueError otherwise."""
    found = _INTEGER.fullmatch(literal)
    if found is None:
        raise ValueError("not an integer")
    sign, hexadecimal, octal, decimal = found.groups()
    if hexadecimal:
        value = int(hexadecimal, 16)
    else:
        value = int(octal, 8) if octal else int(decimal)
    value = -value if sign == "-" else value
    low, high = INTEGER_RANGES[kind]
    if not low <= value <= high:
        raise ValueError(f"outside {low} … {high}")
    return value


def read_float(literal: str) -> float:
    """A number as text format writes it, ``1f``, ``.5`` and ``inf`` included. ValueError otherwise."""
    if found := _INF.fullmatch(literal):
        return -math.inf if found[1] == "-" else math.inf
    if _NAN.fullmatch(literal):
        return math.nan
    found = _FLOAT.fullmatch(literal)
    if found is None or _OCTAL_FLOAT.fullmatch(literal):
        raise ValueError("not a number")
    return float(found[1] + found[2])


def read_bool(literal: str) -> bool:
    if literal in TRUE_WORDS:
        return True
    if literal in FALSE_WORDS:
        return False
    raise ValueError("not true or false")


def write_string(value: str, quote: str = '"') -> str:
    """A quoted string. ValueError for text that is not Unicode (lone surrogates)."""
    value.encode()
    out = [quote]
    for char in value:
        if char in ("\\", quote):
            out.append("\\" + char)
        elif char in "\n\r\t":
            out.append({"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char])
        elif ord(char) < 32 or ord(char) == 127:
            out.append(f"\\{ord(char):03o}")
        else:
            out.append(char)
    return "".join([*out, quote])


def write_float(value: float) -> str:
    """The shortest form that reads back as the same number."""
    return repr(value)
