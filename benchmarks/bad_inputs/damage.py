"""What can be wrong with a file or a value: damages by name, and values of the wrong kind."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

Damage = Callable[[bytes, random.Random], bytes]


def _lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


def _at_a_line(change: Callable[[list[bytes], int, random.Random], None]) -> Damage:
    def damaged(text: bytes, rng: random.Random) -> bytes:
        lines = _lines(text)
        change(lines, rng.randrange(len(lines)), rng)
        return b"".join(lines)

    return damaged


def _truncate(text: bytes, rng: random.Random) -> bytes:
    return text[: rng.randrange(1, len(text))]


def _drop(lines: list[bytes], at: int, _: random.Random) -> None:
    del lines[at]


def _repeat(lines: list[bytes], at: int, _: random.Random) -> None:
    lines.insert(at, lines[at])


def _swap_letters(text: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(text) - 1)
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


def _put(what: bytes) -> Damage:
    def damaged(text: bytes, rng: random.Random) -> bytes:
        at = rng.randrange(len(text))
        return text[:at] + what + text[at:]

    return damaged


def _value(what: bytes) -> Damage:
    """In place of what follows a ``:`` or ``=``."""

    def change(lines: list[bytes], at: int, rng: random.Random) -> None:
        candidates = [n for n, line in enumerate(lines) if b":" in line or b"=" in line] or [at]
        number = rng.choice(candidates)
        line = lines[number].rstrip(b"\r\n")
        cut = min((line.find(sign) for sign in (b":", b"=") if sign in line), default=0)
        lines[number] = line[: cut + 1] + b" " + what + b"\n"

    return _at_a_line(change)


_FIELD = re.compile(rb'(\w+)\s*:\s*("[^"]*"|[\w.+-]+)|(\w+)\s*\{')
_ODD = (
    b"{ a: 1 }", b'"x"', b"1", b'["a", { b: 1 }]', b"[]", b"${x}", b"-1", b"1e999", b"x", b"9" * 400, b"true",
    b'"a[1-999999999999]"',
)  # fmt: skip


def _other_kind(text: bytes, rng: random.Random) -> bytes:
    """Of a field as pipeline configs have them: something odd in place of its value, or besides it."""
    fields = [*_FIELD.finditer(text)]
    if not fields:
        return text
    found = rng.choice(fields)
    value = rng.choice(_ODD)
    if found[1] and rng.random() < 0.7:
        return text[: found.start(2)] + value + text[found.end(2) :]
    return b"%s%s: %s %s" % (text[: found.start()], found[1] or found[3], value, text[found.start() :])


DAMAGES: dict[str, Damage] = {
    "truncated": _truncate,
    "a line dropped": _at_a_line(_drop),
    "a line twice": _at_a_line(_repeat),
    "letters swapped": _swap_letters,
    "a byte that is no UTF-8": _put(b"\xff"),
    "a zero byte": _put(b"\0"),
    "a byte order mark inside": _put("\ufeff".encode()),
    "a full-width letter": _put("\uff41".encode()),
    "a tab": _put(b"\t"),
    "a quote": _put(b'"'),
    "a brace": _put(b"{"),
    "a closing brace": _put(b"}"),
    "empty": lambda _text, _rng: b"",
    "only noise": lambda _text, rng: rng.randbytes(300),
    "all on one line": lambda text, _rng: text.replace(b"\n", b" "),
    "carriage returns only": lambda text, _rng: text.replace(b"\n", b"\r"),
    "a number beyond floats": _value(b"1e999"),
    "not a number": _value(b"nan"),
    "a negative number": _value(b"-1"),
    "a huge integer": _value(b"9" * 400),
    "a word for a value": _value(b"wrong"),
    "nothing for a value": _value(b""),
    "a list for a value": _value(b"[1, 2]"),
    "a mapping for a value": _value(b"{a: 1}"),
    "a zero byte in words": _value(b'"a\\0b"'),
    "nobody's home": _value(b"~no.such.person/x"),
    "a value of another kind": _other_kind,
    "a python object": _value(b"!!python/object/apply:os.system ['true']"),
    "a path upwards": _value(b"oss://sandbox-bucket/../../etc/passwd"),
    "a very long value": _value(b"x" * 100_000),
    "nested a thousand times": _value(b"[" * 1000),
    "a bomb of anchors": lambda _text, _rng: _bomb(),
    "an access key": _value(b"LTAI5tFakeFakeFakeFakeFa"),
}


def _bomb() -> bytes:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{name}: &{name} [" + ", ".join([f"*{before}"] * 9) + "]")
    return "\n".join(lines).encode()


VALUES: tuple[Any, ...] = (
    None, "", " ", "x", "-1", "0", "1e999", "nan", 0, -1, 10**30, 1.5, float("nan"), float("inf"), True, [], [1],
    {}, {"a": 1}, "../..", "oss://b/../x", "2022-13-45", "20220230", "\0", "x" * 10_000, "movielens-00000000",
    {"data_config.batch_size": "many"}, {"no.such.key": 1}, [{"data_config.batch_size": [1]}], "\ud800", -(10**30),
    10**400, [{"data_config.batch_size": 64}] * 10_000, {"a": {"b": [None]}}, {"${x}": 1}, "~no.such.person/x",
)  # fmt: skip
"""Of the wrong kind for nearly every field that a form, a command or a request has."""
