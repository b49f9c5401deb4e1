"""Lossless reader of protobuf text format: a tree of positions over the untouched text.

Knows syntax only; field types are in ``fields``. Every node remembers where it stands, so an edit is a
replaced span and everything else stays as it was, byte for byte (reference section 3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from include.errors import ConfigEditError

MAX_DEPTH = 100
"""Nesting that protobuf itself accepts in its binary form."""

# No part can match the same characters in two ways, so the patterns stay linear on any input.
TRIVIA = r"\s*(?:#[^\n]*(?:\n\s*|\Z))*"
STRING = r"""(?:"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')"""
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NUMBER = r"(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)(?![A-Za-z0-9_.])"
# ${name} stands for a number or string that is filled in before EasyRec reads the file (reference +18).
_SCALAR = rf"(?:{STRING}|[-+]?{_NUMBER}|{_NAME}|[-+]\s*(?:{_NUMBER}|{_NAME})|\$\{{{_NAME}\}})"

_FIELD = re.compile(
    rf"{TRIVIA}(?:({_NAME})[ \t]*(:?)[ \t]*(?:([{{<])|({_SCALAR}))?|([}}>])|([,;])|(\Z)|(.))", re.DOTALL
)
_COLON = re.compile(rf"{TRIVIA}:")
_VALUE = re.compile(rf"{TRIVIA}(?:([{{<])|(\[)|({_SCALAR})|(\])|(,)|(\Z)|(.))", re.DOTALL)
_MORE_STRING = re.compile(rf"{TRIVIA}({STRING})")
_CLOSER = {"{": "}", "<": ">"}


class Scalar:
    """A literal, several adjacent strings included: ``text`` is what stands at ``start:end``."""

    __slots__ = ("end", "start", "text")

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start = start
        self.end = end
        self.text = text


class Body:
    """A message ``{…}`` or ``<…>`` with both its brackets; the whole file for the root."""

    __slots__ = ("end", "fields", "opener", "start")

    def __init__(self, start: int, end: int, opener: str, fields: list[Field] | None = None) -> None:
        self.start = start
        self.end = end
        self.opener = opener
        self.fields: list[Field] = [] if fields is None else fields

    @property
    def inner_start(self) -> int:
        return self.start + len(self.opener)

    @property
    def inner_end(self) -> int:
        return self.end - len(self.opener)


class Sequenced:
    """A list ``[a, b]`` with both its brackets."""

    __slots__ = ("end", "items", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.items: list[Scalar | Body] = []


class Field:
    """``name: value``. ``end`` is behind the value, ``full_end`` behind the ``,`` or ``;`` if one follows."""

    __slots__ = ("colon", "full_end", "name", "start", "value")

    def __init__(self, name: str, start: int, colon: bool, value: Scalar | Body | Sequenced) -> None:
        self.name = name
        self.start = start
        self.colon = colon
        self.value = value
        self.full_end = 0

    @property
    def end(self) -> int:
        return self.value.end

    @property
    def items(self) -> Sequence[Scalar | Body]:
        return self.value.items if isinstance(self.value, Sequenced) else (self.value,)


@dataclass(frozen=True)
class Document:
    """A text and its tree."""

    text: str
    root: Body

    def print(self) -> str:
        """The text put together from the tree: every field in its place, and what lies between them."""
        parts: list[str] = []
        pos = 0
        pending: list[Scalar | Body | Sequenced] = [self.root]
        while pending:
            node = pending.pop()
            if isinstance(node, Scalar):
                parts += [self.text[pos : node.start], node.text]
                pos = node.end
            elif isinstance(node, Sequenced):
                pending += reversed(node.items)
            else:
                pending += [field.value for field in reversed(node.fields)]
        return "".join([*parts, self.text[pos:]])


def position(text: str, offset: int) -> str:
    """``line 3, column 7`` of an offset, both counted from 1."""
    line_start = text.rfind("\n", 0, offset) + 1
    column = offset - line_start + (0 if line_start == 0 and text.startswith("\ufeff") else 1)
    return f"line {text.count(chr(10), 0, offset) + 1}, column {column}"


def parse(text: str) -> Document:
    """Read text format. Raises ConfigEditError with line and column."""
    start = 1 if text.startswith("\ufeff") else 0
    return Document(text, Body(0, len(text), "", _Parser(text, start, len(text), 0).run()))


def parse_fields(text: str, start: int, end: int, depth: int) -> list[Field]:
    """The fields that stand in ``text[start:end]``, ``depth`` messages deep, with their places in ``text``.

    Raises ConfigEditError; what it says holds for this part alone.
    """
    return _Parser(text, start, end, depth).run()


class _Parser:
    """Iterative, so that no input can exhaust Python's stack."""

    def __init__(self, text: str, start: int, end: int, depth: int) -> None:
        self.text = text
        self.start = start
        self.end = end
        self.depth = depth
        # The field and, inside a list, the list that each open message belongs to.
        self.open: list[tuple[Body, Field, Sequenced | None]] = []
        self.body = Body(start, end, "")

    def run(self) -> list[Field]:
        text, end = self.text, self.end
        match = _FIELD.match
        pos = self.start
        fields = self.body.fields
        separable = False
        while True:
            found = match(text, pos, end)
            assert found is not None  # its last alternatives match anything
            kind = found.lastindex
            pos = found.end()
            if kind == 4:
                literal = found[4]
                start = found.start(4)
                if not found[2]:
                    raise self._error(start, f"':' is missing between {found[1]!r} and its value")
                if literal[0] in "\"'":
                    pos = self._string_end(pos)
                    literal = text[start:pos]
                field = Field(found[1], found.start(1), True, Scalar(start, pos, literal))
                field.full_end = pos
                fields.append(field)
                separable = True
            elif kind == 3:
                self._enter(found[1], found.start(1), bool(found[2]), found.start(3), found[3], None)
                fields = self.body.fields
                separable = False
            elif kind == 5:
                pos = self._leave(found.start(5), found[5])
                fields = self.body.fields
                separable = bool(fields)
            elif kind == 2:
                pos = self._slow_field(found, pos)
                fields = self.body.fields
                separable = bool(fields)
            elif kind == 6:
                if not separable:
                    raise self._error(found.start(6), f"{found[6]!r} does not follow a field")
                fields[-1].full_end = pos
                separable = False
            elif kind == 7:
                if self.open:
                    opened = self.body
                    raise self._error(
                        opened.start,
                        f"'{opened.opener}' of {self.open[-1][1].name!r} is never closed",
                        f"add '{_CLOSER[opened.opener]}'",
                    )
                return fields
            else:
                raise self._unexpected(found.start(8))

    def _slow_field(self, found: re.Match[str], pos: int) -> int:
        """A field whose value is a list or stands behind a line break or a comment."""
        text, name, start = self.text, found[1], found.start(1)
        colon = bool(found[2])
        if not colon and (after := _COLON.match(text, pos, self.end)):
            colon, pos = True, after.end()
        value = _VALUE.match(text, pos, self.end)
        assert value is not None
        if value.lastindex == 1:
            self._enter(name, start, colon, value.start(1), value[1], None)
            return value.end()
        if value.lastindex == 2:
            field = Field(name, start, colon, Sequenced(value.start(2)))
            self.body.fields.append(field)
            return self._list_items(field, value.end(), first=True)
        if value.lastindex == 3:
            at = value.start(3)
            if not colon:
                raise self._error(at, f"':' is missing between {name!r} and its value")
            end = value.end()
            if text[at] in "\"'":
                end = self._string_end(end)
            field = Field(name, start, True, Scalar(at, end, text[at:end]))
            field.full_end = end
            self.body.fields.append(field)
            return end
        at = value.start(value.lastindex or 0)
        if at < self.end and text[at] in "\"'":
            raise self._unexpected(at)
        raise self._error(at, f"the value of {name!r} is missing", self._quote_hint(at))

    def _list_items(self, field: Field, pos: int, *, first: bool) -> int:
        """Items of a list from ``pos`` until its end, or until a message in it begins."""
        items = field.value
        assert isinstance(items, Sequenced)
        while True:
            if not first:
                found = _VALUE.match(self.text, pos, self.end)
                assert found is not None
                if found.lastindex == 4:
                    return self._end_list(field, items, found.end())
                if found.lastindex != 5:
                    at = found.start(found.lastindex or 0)
                    raise self._error(at, f"',' or ']' is missing in the list of {field.name!r}")
                pos = found.end()
            found = _VALUE.match(self.text, pos, self.end)
            assert found is not None
            kind, at = found.lastindex or 0, found.start(found.lastindex or 0)
            pos = found.end()
            if kind == 1:
                self._enter(field.name, field.start, field.colon, at, found[1], field)
                return pos
            if kind == 3:
                if not field.colon:
                    raise self._error(at, f"':' is missing between {field.name!r} and its value")
                if self.text[at] in "\"'":
                    pos = self._string_end(pos)
                items.items.append(Scalar(at, pos, self.text[at:pos]))
            elif kind == 4 and first:
                return self._end_list(field, items, pos)
            else:
                raise self._error(at, f"a value is missing in the list of {field.name!r}")
            first = False

    @staticmethod
    def _end_list(field: Field, items: Sequenced, pos: int) -> int:
        items.end = field.full_end = pos
        return pos

    def _enter(self, name: str, start: int, colon: bool, at: int, opener: str, in_list: Field | None) -> None:
        if self.depth + len(self.open) >= MAX_DEPTH:
            raise self._error(at, f"more than {MAX_DEPTH} levels of nesting")
        body = Body(at, at, opener)
        if in_list is None:
            field = Field(name, start, colon, body)
            self.body.fields.append(field)
            self.open.append((self.body, field, None))
        else:
            items = in_list.value
            assert isinstance(items, Sequenced)
            items.items.append(body)
            self.open.append((self.body, in_list, items))
        self.body = body

    def _leave(self, at: int, closer: str) -> int:
        if not self.open:
            raise self._error(at, f"'{closer}' closes nothing")
        body = self.body
        if closer != _CLOSER[body.opener]:
            raise self._error(
                at,
                f"'{closer}' does not close '{body.opener}' of {self.open[-1][1].name!r}",
                f"'{body.opener}' stands in {position(self.text, body.start)}",
            )
        body.end = at + 1
        self.body, field, items = self.open.pop()
        if items is None:
            field.full_end = body.end
            return body.end
        return self._list_items(field, body.end, first=False)

    def _string_end(self, pos: int) -> int:
        while found := _MORE_STRING.match(self.text, pos, self.end):
            pos = found.end()
        return pos

    def _unexpected(self, at: int) -> ConfigEditError:
        if self.text[at] in "\"'":
            return self._error(at, "a string is not closed on its line")
        return self._error(at, f"unexpected {self.text[at]!r}", self._quote_hint(at))

    def _quote_hint(self, at: int) -> str:
        if at < self.end and not self.text[at].isascii():
            return "text belongs in quotes, comments begin with #"
        return ""

    def _error(self, at: int, message: str, hint: str = "") -> ConfigEditError:
        return ConfigEditError(message, where=position(self.text, at), hint=hint)
