"""Dates in a user's values: ``{bizdate}`` or ``<bizdate>`` (reference R24), and what is misspelt of them.

The rule: a *placeholder* is one word alone in braces or angle brackets, ``{word}`` or ``<word>``, where a word
is letters, digits, ``_`` and ``-`` and does not begin with a digit. JSON, YAML, text format and selectors never
hold a word alone in brackets (there is a quote, a colon or a bracket as well), so nothing of theirs is one.
``${name}`` is a variable and none of ours. Every placeholder must be one of ``NAMES``, spelt exactly so.

Also refused is what can only be meant as one: a name of ours with a bracket on one side only, with unlike or
full-width brackets, with blanks or signs (``{ bizdate }``, ``{bizdate-1}``), doubled (``{{bizdate}}``) or as a
variable (``${bizdate}``): a job that read ``dt=${bizdate}`` would wait for a partition that never comes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from include.errors import ConfigError, ProblemsError

NAMES = ("bizdate", "eval_ymd", "predate")
_MEANINGS = "bizdate (the day), eval_ymd (the next), predate (the one before)"

_OURS = r"(?:biz_?date|eval_?ymd|pre_?date)(?![A-Za-z0-9])"
_TOKEN = re.compile(
    rf"""
      \$\{{ (?P<variable>[^{{}}]*) \}}
    | (?P<doubled>\{{\{{ \s* [\w.+-]+ (?:\s+[\w.+-]+)* \s* \}}\}})
    | (?P<opener>[{{<｛＜《]) (?P<inner>[\w\s.+-]*) (?P<closer>[}}>｝＞》])
    | (?P<unclosed>[{{<｛＜《] \s* {_OURS})
    | (?<![\w"'{{<]) (?P<unopened>{_OURS} \s* [}}>｝＞》])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d][\w-]*")
_SUM = re.compile(r"[+-]\s*[0-9]")
_PAIRS = {"{": "}", "<": ">"}


_DATED = re.compile(r"[{<]\w+[}>]")


@dataclass(frozen=True)
class _Piece:
    """A stretch of a template: plain ``text``, one of ``NAMES``, or a ``problem`` with its hint."""

    text: str
    name: str = ""
    problem: str = ""
    hint: str = ""


def is_dated(template: str) -> bool:
    """Whether a checked template holds a placeholder."""
    return _DATED.search(template) is not None


def folder_before(template: str) -> str:
    """The folder that holds what is dated: the path before the part with the first placeholder."""
    return _DATED.split(template)[0].rpartition("/")[0]


def undated(values: Mapping[str, str]) -> list[str]:
    """What would make days train on each other's data or into each other's folders (reference R24)."""
    return [
        f"-D{key} must hold <bizdate>: every day has its own"
        for key in ("train_tables", "model_dir")
        if "bizdate" not in used(values.get(key, ""))
    ]


def fill(template: str, dates: Mapping[str, str]) -> str:
    """``template`` with ``dates[name]`` for each placeholder.

    Raises ConfigError for the one that is misspelt, ProblemsError for several.
    """
    pieces = list(_pieces(template))
    problems = [piece for piece in pieces if piece.problem]
    if len(problems) == 1:
        raise ConfigError(problems[0].problem, hint=problems[0].hint)
    if problems:
        raise ProblemsError("misspelt placeholders", [f"{p.problem} ({p.hint})" for p in problems])
    return "".join(dates[piece.name] if piece.name else piece.text for piece in pieces)


def fill_all(values: Mapping[str, str], dates: Mapping[str, str], *, where: str = "") -> dict[str, str]:
    """``fill`` of every value, e.g. the ``-D`` parameters of an ini, all problems at once."""
    problems = [
        f"-D{key}: {piece.problem} ({piece.hint})"
        for key, value in values.items()
        for piece in _pieces(value)
        if piece.problem
    ]
    if problems:
        raise ProblemsError("misspelt placeholders", problems, where=where)
    return {key: fill(value, dates) for key, value in values.items()}


def used(template: str) -> frozenset[str]:
    """Which of ``NAMES`` a value holds. Misspelt ones don't count."""
    return frozenset(piece.name for piece in _pieces(template) if piece.name)


def _pieces(template: str) -> Iterator[_Piece]:
    start = 0
    for found in _TOKEN.finditer(template):
        yield _Piece(template[start : found.start()])
        yield _judged(found)
        start = found.end()
    yield _Piece(template[start:])


def _judged(found: re.Match[str]) -> _Piece:
    text = found[0]
    if found["variable"] is not None:
        if _squeezed(found["variable"]) not in map(_squeezed, NAMES):
            return _Piece(text)
        return _misspelt(text, f"{text} is a variable, not a date", found["variable"])
    if found["doubled"]:
        return _misspelt(text, f"doubled braces in {text}", text)
    if found["opener"]:
        return _bracketed(text, found["opener"], found["inner"], found["closer"])
    if found["unclosed"]:
        if found["unclosed"].startswith("<") and found.string.startswith("]", found.end()):
            return _Piece(text)  # the end of a selector that compares: [input_names[0]<bizdate]
        return _misspelt(text, f"{text} is not closed, or holds more than the name", text)
    if text.endswith("}") and found.string.count("{") >= found.string.count("}"):
        return _Piece(text)  # the brace closes another one: {label: bizdate}
    return _misspelt(text, f"the opening bracket of {text} is missing", text)


def _bracketed(text: str, opener: str, inner: str, closer: str) -> _Piece:
    pair = _PAIRS.get(opener) == closer
    if pair and inner in NAMES:
        return _Piece(text, name=inner)
    ours = any(_squeezed(name) in _squeezed(inner) for name in NAMES)
    if ours and not pair:
        return _misspelt(text, f"the brackets of {text} don't belong together", inner)
    if ours or (pair and _WORD.fullmatch(inner.strip())):
        return _misspelt(text, f"unknown placeholder {text}", inner)
    return _Piece(text)


def _misspelt(text: str, problem: str, word: str) -> _Piece:
    opener = "<" if text[0] in "<＜《" or text[-1] in ">＞》" else "{"
    near = _nearest(word)
    hint = f"did you mean {opener}{near}{_PAIRS[opener]}?"
    if not near or _SUM.search(word):  # a day that is reckoned must not be answered with another one
        hint = f"there are {_MEANINGS}, each as {{name}} or <name>"
    return _Piece(text, problem=problem, hint=hint)


def _nearest(word: str) -> str:
    squeezed = _squeezed(word)
    known = {_squeezed(name): name for name in NAMES}
    close = difflib.get_close_matches(squeezed, known, len(known), 0.6)
    # eval_date is as near to predate as to eval_ymd by its letters: the first one decides.
    best = max(close, key=lambda name: name[:1] == squeezed[:1], default="")
    return known.get(best, "")


def _squeezed(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())
