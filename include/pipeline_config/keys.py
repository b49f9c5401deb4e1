"""The path language of edits (reference R29): ``a.b[3].c``, ``a[x.y=z].b``, several joined with ``;``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from include.errors import ConfigEditError

FORMS = "[3], [:], [5:], [:13], [3:12] or [path=value] with =, >=, <=, > or <"
OPERATORS = (">=", "<=", ">", "<", "=")

_MAX_DEPTH = 20
_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*")
_INDEX = re.compile(r"\s*([-+]?[0-9]+)\s*")
_SLICE = re.compile(r"\s*([-+]?[0-9]+)?\s*:\s*([-+]?[0-9]+)?\s*")
_SPACE = re.compile(r"\s*")
_NEXT_NAME = re.compile(r"[\s.]*(?:[A-Za-z_;]|\Z)")
"""What follows a separator; EasyRec passes over empty names."""


@dataclass(frozen=True)
class Index:
    at: int


@dataclass(frozen=True)
class Range:
    start: int | None
    stop: int | None

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Condition:
    """Elements whose ``path`` compares to ``value``, which stays text until the field's type is known."""

    path: tuple[Step, ...]
    operator: str
    value: str


@dataclass(frozen=True)
class Step:
    """One field name with its selector; ``text`` is what the user wrote."""

    name: str
    selector: Index | Range | Condition | None
    text: str


@dataclass(frozen=True)
class Key:
    """One path. ``text`` is what the user wrote."""

    text: str
    steps: tuple[Step, ...]


def parse_keys(text: str) -> list[Key]:
    """The paths of a key, in order. Raises ConfigEditError that says where the key can't be read."""
    return _KeyParser(text).keys()


class _KeyParser:
    def __init__(self, text: str, ends: str = ";", depth: int = 0) -> None:
        self.text = text
        self.depth = depth
        self.ends = ends
        """What may follow a path: ``;`` behind a key, an operator inside a selector."""

    def keys(self) -> list[Key]:
        keys = []
        pos = 0
        while True:
            start = pos
            steps, pos = self._path(pos)
            if not steps:
                raise self._error(pos, "a field name is missing")
            keys.append(Key(self.text[start:pos].strip(), steps))
            if pos >= len(self.text):
                return keys
            if self.text[pos] != ";":
                raise self._error(pos, f"unexpected {self.text[pos]!r}")
            pos += 1

    def _path(self, pos: int) -> tuple[tuple[Step, ...], int]:
        """Steps from ``pos`` to whatever can't continue a path."""
        steps: list[Step] = []
        while True:
            found = _NAME.match(self.text, pos)
            if found is None:
                at = self._skip(pos)
                if self.text[at : at + 1] == ".":  # EasyRec passes over empty names
                    pos = at + 1
                    continue
                if steps and not self._ends(at):
                    raise self._error(at, f"a field name can't begin with {self.text[at]!r}")
                return tuple(steps), at
            start, pos = found.start(1), found.end()
            selector = None
            if self.text[pos : pos + 1] == "[":
                close = self._selector_end(pos)
                selector = self._selector(pos + 1, close)
                pos = self._skip(close + 1)
            steps.append(Step(found[1], selector, self.text[start:pos].strip()))
            if self.text[pos : pos + 1] != ".":
                return tuple(steps), pos
            pos += 1

    def _ends(self, at: int) -> bool:
        return at >= len(self.text) or self.text[at] in self.ends

    def _selector_end(self, opening: int) -> int:
        """The ``]`` of a selector. Brackets, dots and ``;`` may stand in its value."""
        depth = 0
        for at in range(opening, len(self.text)):
            depth += {"[": 1, "]": -1}.get(self.text[at], 0)
            if depth == 0:
                if self._continues(at + 1):
                    return at
                break
        # An unbalanced bracket in the value: fine when only one ] can be the end.
        ends = [
            at
            for at in range(opening + 1, len(self.text))
            if self.text[at] == "]" and self._continues(at + 1)
        ]
        if len(ends) != 1:
            raise self._error(
                opening,
                "this [ has no matching ]" if not ends else "it is not clear which ] ends this selector",
                hint="select the element by its number instead",
            )
        return ends[0]

    def _continues(self, pos: int) -> bool:
        at = self._skip(pos)
        if at >= len(self.text):
            return True
        if self.text[at] in ";." and self.text[at] in f".{self.ends}":
            return _NEXT_NAME.match(self.text, at + 1) is not None
        return self.text[at] in self.ends and self.text[at] != ";"

    def _selector(self, start: int, end: int) -> Index | Range | Condition:
        inner = self.text[start:end]
        if found := _INDEX.fullmatch(inner):
            return Index(int(found[1]))
        if found := _SLICE.fullmatch(inner):
            return Range(*(None if bound is None else int(bound) for bound in found.groups()))
        if self.depth >= _MAX_DEPTH:
            raise self._error(start, f"more than {_MAX_DEPTH} selectors in each other")
        parser = _KeyParser(inner, "=<>", self.depth + 1)
        try:
            path, pos = parser._path(0)
        except ConfigEditError:
            path, pos = (), 0
        for operator in OPERATORS:
            if path and inner.startswith(operator, pos):
                return Condition(path, operator, inner[pos + len(operator) :])
        raise self._error(start, f"the selector [{inner}] can't be read", hint=f"write {FORMS}")

    def _skip(self, pos: int) -> int:
        found = _SPACE.match(self.text, pos)
        return found.end() if found else pos

    def _error(self, at: int, message: str, hint: str = "") -> ConfigEditError:
        return ConfigEditError(
            f"{message} (character {at + 1} of the key)",
            where=self.text,
            hint=hint or "write field names joined by dots, e.g. feature_configs[0].embedding_dim",
        )
