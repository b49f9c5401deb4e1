"""How a config is laid out: where a new field goes, how it is indented, what a removed one takes along."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from include.pipeline_config.reader import STRING, Body, Field, Scalar, Sequenced

Splice = tuple[int, int, str]
"""Replace ``text[start:end]``."""

_BLANK_OR_COMMENT = re.compile(r"[ \t]*(?:#[^\n]*?)?(?=\r?\n|\Z)")
_BLANKS = re.compile(r"[ \t]*")
_PLAIN = re.compile(r"[ \t]*:?[ \t]*")
_BEFORE_BODY = re.compile(r"[A-Za-z0-9_]([ \t]*:?[ \t]*)\Z")
_INDENTED = re.compile(r"^( {1,8}|\t)[^\s#]", re.MULTILINE)
_OUTSIDE = re.compile(rf"{STRING}|[\[{{<]|[\]}}>]|.", re.DOTALL)


@dataclass(frozen=True)
class Style:
    """How the text around an edit is written."""

    newline: str = "\n"
    unit: str = "  "
    opener: str = "{"
    before_opener: str = " "
    """Between a message's name and its opener, e.g. ``": "``."""
    before_value: str = ": "
    quote: str = '"'


@dataclass(frozen=True)
class Gap:
    """Room for the first field of an empty message; ``indent`` is None when it goes on the same line."""

    start: int
    end: int
    before: str
    indent: str | None
    after: str

    def filled(self, content: str) -> Splice:
        return self.start, self.end, f"{self.before}{content}{self.after}"


def spliced(text: str, splices: Sequence[Splice]) -> str:
    """``text`` with all splices made; those of the same place in the order given."""
    parts = []
    pos = 0
    for start, end, new in sorted(splices, key=lambda splice: splice[:2]):
        parts += [text[pos : max(start, pos)], new]
        pos = max(end, pos)
    return "".join([*parts, text[pos:]])


def split_outside(text: str, separator: str) -> list[str]:
    """Split where ``separator`` stands outside of quotes and brackets."""
    parts, depth = [""], 0
    for piece in _OUTSIDE.findall(text):
        depth += (piece in "[{<") - (piece in "]}>")
        if piece == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def quote_of(literal: str) -> str:
    return literal[0] if literal[:1] in ('"', "'") else '"'


# Looking around


def _line_start(text: str, pos: int) -> int:
    start = text.rfind("\n", 0, pos) + 1
    return start + 1 if text.startswith("\ufeff", start) else start


def _rest_of_line(text: str, pos: int) -> int | None:
    """Where the line ends if nothing but blanks and a comment follow, else None."""
    found = _BLANK_OR_COMMENT.match(text, pos)
    return found.end() if found else None


def indent_of_line(text: str, pos: int) -> str:
    found = _BLANKS.match(text, _line_start(text, pos))
    return found[0] if found else ""


def _starts_line(text: str, pos: int) -> bool:
    return not text[_line_start(text, pos) : pos].strip(" \t")


def stands_alone(text: str, field: Field) -> bool:
    """Whether the field has its line or lines for itself, a comment behind it aside."""
    return _starts_line(text, field.start) and _rest_of_line(text, field.full_end) is not None


def newline_at(text: str, pos: int) -> str:
    """The line break in use around ``pos``."""
    at = text.find("\n", pos)
    at = text.rfind("\n", 0, pos) if at < 0 else at
    return "\r\n" if at > 0 and text[at - 1] == "\r" else "\n"


def style_at(text: str, body: Body, like: Field | None = None) -> Style:
    """The style of ``body``, of its field ``like`` where that shows it."""
    siblings = [like, *reversed(body.fields)] if like else body.fields[::-1]
    before_opener = before_value = quote = None
    opener = body.opener or "{"
    if like is not None and isinstance(like.value, Body):
        opener = like.value.opener
    for field in siblings:
        value = field.value
        between = text[field.start + len(field.name) : value.start]
        if isinstance(value, Body):
            if before_opener is None and _PLAIN.fullmatch(between):
                before_opener = between
        elif before_value is None and _PLAIN.fullmatch(between):
            before_value = between
        if quote is None:
            quote = next(
                (i.text[0] for i in field.items if isinstance(i, Scalar) and i.text[0] in "\"'"), None
            )
    if before_opener is None and body.opener:
        found = _BEFORE_BODY.search(text, _line_start(text, body.start), body.start)
        before_opener = found[1] if found else None
    return Style(
        newline_at(text, body.fields[-1].start if body.fields else body.inner_start),
        _unit(text, body),
        opener,
        " " if before_opener is None else before_opener,
        before_value or ": ",
        quote or '"',
    )


def _unit(text: str, body: Body) -> str:
    """One level of indentation, as near to ``body`` as there is an example."""
    outer = indent_of_line(text, body.start) if body.opener else ""
    for field in body.fields:
        if body.opener and _starts_line(text, field.start):
            inner = indent_of_line(text, field.start)
            if inner.startswith(outer) and len(inner) > len(outer):
                return inner[len(outer) :]
    for field in reversed(body.fields):
        if isinstance(field.value, Body) and field.value.fields and _starts_line(text, field.start):
            own, first = indent_of_line(text, field.start), field.value.fields[0]
            inner = indent_of_line(text, first.start)
            if _starts_line(text, first.start) and inner.startswith(own) and len(inner) > len(own):
                return inner[len(own) :]
    elsewhere = _INDENTED.search(text)
    return elsewhere[1] if elsewhere else "  "


# Putting in


def takes_lines(text: str, body: Body, after: Field) -> bool:
    """Whether a field behind ``after`` goes on a line of its own."""
    if _rest_of_line(text, after.full_end) is None:
        return False
    if body.opener:
        return "\n" in text[after.full_end : body.inner_end]
    return "\n" in text or len(body.fields) == 1


def sibling_indent(text: str, body: Body) -> str:
    for field in reversed(body.fields):
        if _starts_line(text, field.start):
            return indent_of_line(text, field.start)
    return indent_of_line(text, body.fields[-1].start) if body.fields else ""


def insert_after(text: str, body: Body, after: Field, new: Sequence[str], style: Style) -> list[Splice]:
    """Put fields behind ``after``, with the separators that the body uses."""
    separated = [field.full_end > field.end for field in body.fields]
    separator = text[body.fields[0].full_end - 1] if separated[0] else ""
    splices: list[Splice] = []
    fields = list(new)
    if all(separated):
        fields = [field + separator for field in new]
    elif all(separated[:-1]) and after is body.fields[-1]:
        splices.append((after.end, after.end, separator))
        fields[:-1] = [field + separator for field in new[:-1]]
    if takes_lines(text, body, after):
        at = _rest_of_line(text, after.full_end)
        assert at is not None
        lead = style.newline + sibling_indent(text, body)
    else:
        at, lead = after.full_end, " "
    return [*splices, (at, at, "".join(lead + field for field in fields))]


def gap_in(text: str, body: Body, owner: Field | None, style: Style) -> Gap:
    """Where the first field of an empty body goes."""
    if owner is None:
        end = len(text)
        blank = not text.strip("\ufeff \t\r\n")
        before = "" if blank or text.endswith("\n") else style.newline
        return Gap(end, end, before, "", style.newline)
    start, end = body.inner_start, body.inner_end
    if "\n" in text[start:end]:
        line = _line_start(text, end)
        indent = indent_of_line(text, end) + style.unit
        return Gap(line, line, indent, indent, style.newline)
    if isinstance(owner.value, Body) and stands_alone(text, owner):
        outer = indent_of_line(text, owner.start)
        indent = outer + style.unit
        return Gap(start, end, style.newline + indent, indent, style.newline + outer)
    return Gap(start, end, " ", None, " ")


def list_like(text: str, old: Sequenced, literals: Sequence[str]) -> str:
    """A list written as ``old`` is: on one line, or an item per line."""
    lead, between, tail = "", ", ", ""
    if old.items:
        lead = text[old.start + 1 : old.items[0].start]
        tail = text[old.items[-1].end : old.end - 1]
        if len(old.items) > 1:
            between = text[old.items[0].end : old.items[1].start]
        elif "\n" in lead:
            between = "," + lead
        if "#" in lead + between + tail:
            lead, between, tail = "", ", ", ""
    return f"[{lead}{between.join(literals)}{tail}]"


# Taking out


def own_span(text: str, field: Field) -> tuple[int, int]:
    """What another field put in the place of this one replaces: a comment behind it goes with it."""
    if not stands_alone(text, field):
        return field.start, field.end
    end = _rest_of_line(text, field.full_end)
    return field.start, field.full_end if end is None else end


def removal(text: str, field: Field) -> Splice:
    """Take a field out: whole lines where it has them for itself."""
    start, end = field.start, field.full_end
    rest = _rest_of_line(text, end)
    if rest is not None and _starts_line(text, start):
        line = _line_start(text, start)
        if rest < len(text):
            return line, text.index("\n", rest) + 1, ""
        before = line - 1 if line and text[line - 1] == "\n" else line
        before -= before > 0 and line > before and text[before - 1] == "\r"
        return before, rest, ""
    blanks = _BLANKS.match(text, end)
    after = blanks.end() if blanks else end
    if text[after : after + 1] in ("", "\n", "\r"):
        while start and text[start - 1] in " \t":
            start -= 1
    return start, after, ""
