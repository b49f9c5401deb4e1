"""Edits of a config's text: only the spans of the values meant change (reference section 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config import layout
from include.pipeline_config.compare import meaning
from include.pipeline_config.fields import FieldSpec, table
from include.pipeline_config.keys import Key, parse_keys
from include.pipeline_config.messages import (
    Entry,
    Message,
    block_value,
    inline_value,
    message_of,
    print_block,
    print_inline,
    value_for,
)
from include.pipeline_config.reader import Body, Field, Scalar, Sequenced, parse
from include.pipeline_config.reparse import respliced
from include.pipeline_config.values import same, write_scalar
from include.pipeline_config.view import Place, Target, View


def edit_text(
    text: str, edits: Mapping[str, Any], *, allow_unknown_fields: Collection[str] | bool = False
) -> str:
    """The config with ``edits`` made in their order, each on the result of the one before.

    Only the values meant change; every other byte stays. Editing twice gives the same text as once.
    ``allow_unknown_fields`` lets fields pass that a newer EasyRec has and our table doesn't: their names
    (``field`` or ``Message.field``), or True for any.

    Raises ConfigEditError, with nothing edited: the text or a key can't be read, a field does not exist, a
    value does not fit, a selector matches nothing. Reference R29.
    """
    draft = Draft(text, allow_unknown_fields)
    singles = single_edits(edits)
    for key, value in singles:
        draft.apply(key, value)
    edited = draft.text
    if draft.rebuilt and len(singles) > 1:
        # Edits that undo each other, e.g. two branches of a oneof, may end where they began.
        before = View(parse(text), table(), allow_unknown_fields)
        if _same_meaning(before, draft.view):
            return text
    return edited


def single_edits(edits: Mapping[str, Any]) -> list[tuple[Key, Any]]:
    """The edits in order, with keys that are joined by ``;`` taken apart."""
    found: list[tuple[Key, Any]] = []
    for text, value in edits.items():
        if not isinstance(text, str):
            raise ConfigEditError(f"{text!r} is not a key", hint="keys are text, e.g. train_config.num_steps")
        keys = parse_keys(text)
        values = [value] if len(keys) == 1 else _split_values(value, len(keys), text)
        found += zip(keys, values, strict=True)
    return found


def _split_values(value: Any, count: int, key: str) -> list[Any]:
    parts = str(value).split(";")
    if len(parts) != count and isinstance(value, str):
        parts = layout.split_outside(value, ";")
    if len(parts) != count:
        raise ConfigEditError(
            f"{count} keys are joined with ';' but {len(parts)} value{'s' * (len(parts) != 1)} given",
            where=key,
            hint="join as many values with ';', in the same order",
        )
    return [part.strip() for part in parts]


class Draft:
    """A config being edited. An error leaves it as it was before that edit."""

    def __init__(self, text: str, allow_unknown: Collection[str] | bool = False) -> None:
        self._allow_unknown = allow_unknown
        self.rebuilt = False
        """Whether more than literals was replaced."""
        self._literals: dict[tuple[int, int], str] = {}
        self.view = View(parse(text), table(), allow_unknown)

    def copy(self) -> Draft:
        """The same config, to be edited on its own."""
        return Draft(self.text, self._allow_unknown)

    @property
    def text(self) -> str:
        self._replace(self._literals_outside(()))
        return self.view.document.text

    def apply(self, key: Key, value: Any) -> None:
        """Make one edit on all that ``key`` selects."""
        targets = self.view.select(key)
        values = [self.convert(target, value, key) for target in targets]
        if self._in_place(targets, values):
            return
        pairs = zip(targets, values, strict=True)
        splices = [s for target, typed in pairs for s in _Surgeon(self.view, target).splices(typed)]
        if splices:
            self.rebuilt = True
            self._replace([*self._literals_outside(splices), *splices])

    def convert(self, target: Target, value: Any, key: Key) -> Any:
        """``value`` as ``target`` holds it. Raises ConfigEditError."""
        try:
            return value_for(target, value, self.view)
        except ValueError as error:
            raise ConfigEditError(
                f"{value!r} does not fit {target.label}: {error}", where=key.text
            ) from error

    def _in_place(self, targets: Sequence[Target], values: Sequence[Any]) -> bool:
        """Replace literals where that is all there is to do: the tree stays valid, offsets included."""
        literals: list[Scalar] = []
        for target, value in zip(targets, values, strict=True):
            item = target.element[1] if target.element else self._last(target)
            if not isinstance(item, Scalar) or isinstance(value, (Message, tuple)):
                return False
            literals.append(item)
        for target, literal, value in zip(targets, literals, values, strict=True):
            if not _unchanged(self.view, literal, target.spec, value):
                new = write_scalar(value, layout.quote_of(literal.text))
                self._literals[literal.start, literal.end] = new
                literal.text = new
        return True

    def _last(self, target: Target) -> Scalar | Body | Sequenced | None:
        found = self.view.occurrences(target.place, target.spec)
        return found[-1].value if found and not target.spec.repeated else None

    def _literals_outside(self, splices: Sequence[layout.Splice]) -> list[layout.Splice]:
        """The replaced literals that ``splices`` leave standing."""
        return [
            (start, end, new)
            for (start, end), new in self._literals.items()
            if not any(first <= start and end <= last for first, last, _ in splices)
        ]

    def _replace(self, splices: Sequence[layout.Splice]) -> None:
        if splices:
            self.view = View(respliced(self.view.document, splices), table(), self._allow_unknown)
            self._literals = {}


def _same_meaning(left: View, right: View) -> bool:
    try:
        return meaning(left) == meaning(right)
    except ConfigEditError:
        return False  # something else in the config does not fit the table


def _unchanged(view: View, literal: Scalar, spec: FieldSpec, value: Any) -> bool:
    try:
        return same(view.scalar(literal, spec), value)
    except ConfigEditError:
        return False  # what stands there does not fit its field: it is replaced


class _Surgeon:
    """The splices that give one target its value."""

    def __init__(self, view: View, target: Target) -> None:
        self.view = view
        self.text = view.document.text
        self.target = target
        self.place = target.place
        self.spec = target.spec

    def splices(self, value: Any) -> list[layout.Splice]:
        if self.target.element is not None:
            return self._replace(self.target.element[0], self.target.element[1], value)
        there = self.view.occurrences(self.place, self.spec)
        if self.spec.repeated or isinstance(value, tuple):
            return self._set_list(there, value if isinstance(value, tuple) else (value,))
        if not there:
            return self._insert(Entry(self.spec, value))
        last = there[-1]
        if isinstance(last.value, Sequenced):  # only of a field that the table doesn't have
            return [(last.value.start, last.value.end, self._value_text(last, last.value, value))]
        splices = self._replace(last, last.value, value)
        if isinstance(value, Message):  # replaced whole: nothing of an earlier part may stay
            splices += self._removals(there[:-1])
        return splices

    def _replace(self, field: Field, item: Scalar | Body, value: Any) -> list[layout.Splice]:
        if isinstance(item, Scalar) and not isinstance(value, (Message, tuple)):
            if _unchanged(self.view, item, self.spec, value):
                return []
            return [(item.start, item.end, write_scalar(value, layout.quote_of(item.text)))]
        if isinstance(item, Body):
            if not isinstance(value, Message):
                message = f"{self.spec.name!r} takes {self.spec.describe()}, but stands here as a message"
                raise self.view.error(item.start, message, "correct the config by hand")
            if self._says(item, value):
                return []
        return [(item.start, item.end, self._value_text(field, item, value))]

    def _says(self, body: Body, value: Any) -> bool:
        """Whether ``body`` is ``value`` already, whatever its formatting."""
        try:
            return bool(message_of(body, self.spec.type, self.view) == value)
        except ConfigEditError:
            return False

    def _value_text(self, field: Field, item: Scalar | Body | Sequenced, value: Any) -> str:
        """A new value in the form, one line or several, of the one it replaces."""
        style = layout.style_at(self.text, self._body_of(field), field)
        if "\n" in self.text[item.start : item.end]:
            return block_value(value, layout.indent_of_line(self.text, item.start), style)
        return inline_value(value, style)

    def _body_of(self, field: Field) -> Body:
        return next(body for body in self.place.bodies if any(f is field for f in body.fields))

    # Lists

    def _set_list(self, there: Sequence[Field], values: tuple[Any, ...]) -> list[layout.Splice]:
        items = [(field, item) for field in there for item in field.items]
        if values and len(items) == len(values) and all(isinstance(item, Scalar) for _, item in items):
            pairs = zip(items, values, strict=True)
            return [s for (field, item), value in pairs for s in self._replace(field, item, value)]
        if not values and (there or self.place.bodies):
            return self._removals(there)
        if not there:
            return self._insert(Entry(self.spec, values))
        bracketed = [field for field in there if isinstance(field.value, Sequenced)]
        if bracketed:
            first = bracketed[0]
            return [
                (first.value.start, first.value.end, self._list_text(first, values)),
                *self._removals([field for field in there if field is not first]),
            ]
        return self._set_lines(there, values)

    def _list_text(self, field: Field, values: tuple[Any, ...]) -> str:
        style = layout.style_at(self.text, self._body_of(field), field)
        old = field.value
        assert isinstance(old, Sequenced)
        literals = [inline_value(value, style) for value in values]
        return layout.list_like(self.text, old, literals)

    def _set_lines(self, there: Sequence[Field], values: tuple[Any, ...]) -> list[layout.Splice]:
        """One field per value, as it was written before."""
        splices: list[layout.Splice] = []
        for field, value in zip(there, values, strict=False):
            assert isinstance(field.value, (Scalar, Body))
            splices += self._replace(field, field.value, value)
        splices += self._removals(there[len(values) :])
        if more := values[len(there) :]:
            last = there[-1]
            body = self._body_of(last)
            style = layout.style_at(self.text, body, last)
            new = [print_inline(self.spec.name, value, style) for value in more]
            splices += layout.insert_after(self.text, body, last, new, style)
        return splices

    # Fields that come and go

    def _insert(self, entry: Entry) -> list[layout.Splice]:
        """Write an absent field, with the absent messages around it."""
        place = self.place
        while not place.bodies:
            assert place.parent is not None
            assert place.spec is not None
            # as in EasyRec, an empty list in an absent message makes the message
            entry = Entry(place.spec, Message(() if entry.value == () else (entry,)))
            place = place.parent
        rivals = self._rivals(place, entry.spec)
        body = place.bodies[-1]
        if rivals:
            host, old = rivals[-1]
            style = layout.style_at(self.text, host, old)
            alone = layout.stands_alone(self.text, old)
            indent = layout.indent_of_line(self.text, old.start) if alone else None
            new = self._printed(entry, indent, style)
            start, end = layout.own_span(self.text, old)
            return [(start, end, new), *(layout.removal(self.text, f) for _, f in rivals[:-1])]
        style = layout.style_at(self.text, body, None)
        after = body.fields[-1] if body.fields else None
        if after is None:
            gap = layout.gap_in(self.text, body, self._owner(place), style)
            return [gap.filled(self._printed(entry, gap.indent, style))]
        lines = layout.takes_lines(self.text, body, after)
        indent = layout.sibling_indent(self.text, body) if lines else None
        return layout.insert_after(self.text, body, after, [self._printed(entry, indent, style)], style)

    @staticmethod
    def _printed(entry: Entry, indent: str | None, style: layout.Style) -> str:
        """The field on lines of its own at ``indent``, on one line without."""
        if indent is None:
            return print_inline(entry.spec.name, entry.value, style)
        return print_block(entry.spec.name, entry.value, indent, style)

    def _rivals(self, place: Place, spec: FieldSpec) -> list[tuple[Body, Field]]:
        """Everything written for the oneof of ``spec``; parts that no longer count would come back."""
        branches = self.view.table.branches(spec)
        return [(body, field) for body in place.bodies for field in body.fields if field.name in branches]

    def _owner(self, place: Place) -> Field | None:
        """The field that an empty body belongs to."""
        if place.parent is None or place.spec is None:
            return None
        for field in self.view.occurrences(place.parent, place.spec):
            if any(item is place.bodies[-1] for item in field.items):
                return field
        return None

    def _removals(self, fields: Sequence[Field]) -> list[layout.Splice]:
        return [layout.removal(self.text, field) for field in fields]
