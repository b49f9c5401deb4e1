"""The tree of a text after splices: only what they touch is read anew, the rest moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from include.errors import ConfigEditError
from include.pipeline_config.layout import Splice, spliced
from include.pipeline_config.reader import Body, Document, Field, Scalar, Sequenced, parse, parse_fields


def respliced(document: Document, splices: Iterable[Splice]) -> Document:
    """What ``parse(spliced(document.text, splices))`` gives, sooner. ``document`` stays as it is.

    A search space of hundreds of keys makes as many small changes to a config of thousands of lines.
    Raises ConfigEditError as ``parse`` does.
    """
    pieces = _apart(splices)
    text = spliced(document.text, pieces)
    try:
        fields = _Patch(text).fields(document.root.fields, pieces, 0, 0)
    except (ConfigEditError, _NotAloneError):
        return parse(text)  # what is wrong there may be right in the whole; if not, it says where
    return Document(text, Body(0, len(text), document.root.opener, fields))


def _apart(splices: Iterable[Splice]) -> list[Splice]:
    """In order and without overlaps; what ``spliced`` makes of them stays the same."""
    apart: list[Splice] = []
    pos = 0
    for start, end, new in sorted(splices, key=lambda splice: splice[:2]):
        apart.append((max(start, pos), max(end, pos), new))
        pos = apart[-1][1]
    return apart


def _growth(splices: Sequence[Splice]) -> int:
    return sum(len(new) - (end - start) for start, end, new in splices)


class _NotAloneError(Exception):
    """A part of the text can't be read by itself."""


class _Patch:
    """Trees of the old text made to trees of ``text``. ``moved``: how far their beginning has moved."""

    def __init__(self, text: str) -> None:
        self.text = text

    def fields(self, old: Sequence[Field], splices: Sequence[Splice], moved: int, depth: int) -> list[Field]:
        """The fields of one message. Raises _NotAloneError when a splice lies between them."""
        patched: list[Field] = []
        at = 0
        for field in old:
            first = at
            while at < len(splices) and splices[at][1] <= field.full_end:
                if splices[at][0] < field.start:
                    raise _NotAloneError
                at += 1
            if at < len(splices) and splices[at][0] < field.full_end:
                raise _NotAloneError
            if at == first:
                patched.append(_moved(field, moved))
            else:
                patched += self._field(field, splices[first:at], moved, depth)
                moved += _growth(splices[first:at])
        if at < len(splices):
            raise _NotAloneError
        return patched

    def _field(self, field: Field, splices: Sequence[Splice], moved: int, depth: int) -> list[Field]:
        grown = moved + _growth(splices)
        body = field.value
        if not (
            isinstance(body, Body) and body.inner_start <= splices[0][0] and splices[-1][1] <= body.inner_end
        ):
            return self._read(field.start + moved, field.full_end + grown, depth)
        try:
            inner = self.fields(body.fields, splices, moved, depth + 1)
        except _NotAloneError:
            inner = self._read(body.inner_start + moved, body.inner_end + grown, depth + 1)
        patched = Field(
            field.name,
            field.start + moved,
            field.colon,
            Body(body.start + moved, body.end + grown, body.opener, inner),
        )
        patched.full_end = field.full_end + grown
        return [patched]

    def _read(self, start: int, end: int, depth: int) -> list[Field]:
        """The fields of a part of the text, unless what follows may belong to its last token or comment."""
        text = self.text
        following = text[end : end + 1]
        if following not in ("", "\n"):
            line = text[max(start, text.rfind("\n", start, end) + 1) : end]
            word = following.isalnum() or following in "_."
            if "#" in line or (word and line and (line[-1].isalnum() or line[-1] in "_.")):
                raise _NotAloneError
        return parse_fields(text, start, end, depth)


def _moved(field: Field, by: int) -> Field:
    if not by:
        return field
    value = field.value
    if isinstance(value, Sequenced):
        items = Sequenced(value.start + by)
        items.end = value.end + by
        items.items = [_moved_item(item, by) for item in value.items]
        moved = Field(field.name, field.start + by, field.colon, items)
    else:
        moved = Field(field.name, field.start + by, field.colon, _moved_item(value, by))
    moved.full_end = field.full_end + by
    return moved


def _moved_item(item: Scalar | Body, by: int) -> Scalar | Body:
    if isinstance(item, Scalar):
        return Scalar(item.start + by, item.end + by, item.text)
    return Body(item.start + by, item.end + by, item.opener, [_moved(field, by) for field in item.fields])
