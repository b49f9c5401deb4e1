"""JSON as people write it (reference R6): comments, trailing commas, ``.5``; with the line of every key."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import json5

from include.errors import SearchSpaceError

Path = tuple["str | int", ...]

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<punctuation>[{}\[\]:,])
      | (?P<word>[^\s{}\[\]:,"'/]+)""",
    re.VERBOSE | re.DOTALL,
)
_JSON5_ERROR = re.compile(r"<string>:(\d+) (.*) at column (\d+)", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """``lines``: line of each key by its path; ``duplicates``: (path, first line, second line)."""

    value: Any
    lines: Mapping[Path, int]
    duplicates: tuple[tuple[Path, int, int], ...]


def loads(text: str, where: str) -> Document:
    """Read ``text``; SearchSpaceError with line and column when it can't be read."""
    text = text.removeprefix("\ufeff")
    try:
        value = _value(text, where)
    except RecursionError:
        raise SearchSpaceError("nested too deeply", where=where) from None
    lines, duplicates = _key_lines(text)
    return Document(value, lines, tuple(duplicates))


def _value(text: str, where: str) -> Any:
    try:
        return json.loads(text)  # the usual case, and a hundred times faster than json5
    except ValueError:
        pass
    try:
        return json5.loads(text)
    except ValueError as error:
        match = _JSON5_ERROR.fullmatch(str(error))
        place = f"line {match[1]}, column {match[3]}: {match[2][0].lower()}{match[2][1:]}" if match else error
        raise SearchSpaceError(
            f"not readable as JSON: {place}",
            where=where,
            hint="keys and texts stand in double quotes, items are separated by commas",
        ) from error


def _key_lines(text: str) -> tuple[dict[Path, int], list[tuple[Path, int, int]]]:
    """Walk over text that is known to be well-formed and note where each key stands."""
    newlines = [m.start() for m in re.finditer("\n", text)]
    lines: dict[Path, int] = {}
    duplicates: dict[Path, tuple[int, int]] = {}
    stack: list[str | int | None] = []
    pending: tuple[str, int] | None = None
    for token in _TOKEN.finditer(text):
        kind, word = token.lastgroup, token.group()
        if kind in ("string", "word"):
            pending = (word, token.start())
        elif word == ":" and pending is not None and stack:
            stack[-1] = _unquoted(pending[0])
            path: Path = tuple(part for part in stack if part is not None)
            line = bisect.bisect_left(newlines, pending[1]) + 1
            if path not in lines:
                lines[path] = line
            elif not any(path[:n] in duplicates for n in range(1, len(path))):
                duplicates[path] = (lines[path], line)
        elif word == "{":
            stack.append(None)
        elif word == "[":
            stack.append(0)
        elif word in "]}" and stack:
            stack.pop()
        elif word == "," and stack and isinstance(stack[-1], int):
            stack[-1] += 1
    return lines, [(path, first, second) for path, (first, second) in duplicates.items()]


def _unquoted(word: str) -> str:
    if word[0] not in "\"'":
        return word
    return str(json5.loads(word)) if "\\" in word else word[1:-1]
