"""The meaning of a parsed config: which values a message has, and what a key selects.

protobuf's rules (a file may say a thing twice): of a singular scalar the last one counts, singular
messages are merged, repeated fields are joined in order, a later branch of a oneof clears the others.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config.fields import FieldSpec, FieldTable, listed, nearest
from include.pipeline_config.keys import FORMS, Condition, Index, Key, Range, Step
from include.pipeline_config.literals import is_string
from include.pipeline_config.reader import Body, Document, Field, Scalar, Sequenced, position
from include.pipeline_config.values import RawLiteral, as_float32, as_number, read_scalar, scalar_from, zero

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_LAYOUTS = {
    ("EasyRecConfig", "feature_configs"): ("feature_config", "features"),
    ("FeatureConfigV2", "features"): ("feature_configs",),
}


@dataclass(frozen=True)
class Place:
    """One message of the config's meaning: all bodies that are merged into it; none when absent."""

    message: str
    bodies: tuple[Body, ...]
    label: str = ""
    parent: Place | None = None
    spec: FieldSpec | None = None

    def child_label(self, name: str) -> str:
        return f"{self.label}.{name}" if self.label else name


@dataclass(frozen=True)
class Target:
    """A value that a key selects: field ``spec`` of ``place``, or one element of it."""

    place: Place
    spec: FieldSpec
    label: str
    element: tuple[Field, Scalar | Body] | None = None


class View:
    """Reads a document by the field table."""

    def __init__(
        self, document: Document, fields: FieldTable, allow_unknown: Collection[str] | bool = False
    ) -> None:
        self.document = document
        self.table = fields
        self.allow_unknown = allow_unknown
        self.root = Place(fields.root, (document.root,))

    def spec(self, message: str, name: str, where: str, prefix: str = "") -> FieldSpec:
        """The field, or ConfigEditError with the nearest names."""
        fields = self.table.messages.get(message, {})
        if name in fields:
            return fields[name]
        if self._allowed(message, name):
            return FieldSpec(message, name, "unknown", "unknown")
        close = nearest(name, fields)
        elsewhere = [prefix + p for p in self.table.paths_to(message, name)[:2]]
        hint = f"did you mean {' or '.join(elsewhere or close)}?" if elsewhere or close else ""
        raise ConfigEditError(
            f"{message} has no field {name!r}",
            where=where,
            hint=hint or (f"it has {listed(sorted(fields))}" if fields else f"{message} has no fields"),
        )

    def _allowed(self, message: str, name: str) -> bool:
        if isinstance(self.allow_unknown, bool):
            return self.allow_unknown or message not in self.table.messages
        names = self.allow_unknown
        return name in names or f"{message}.{name}" in names or message not in self.table.messages

    def occurrences(self, place: Place, spec: FieldSpec) -> list[Field]:
        """The fields that make up ``spec``'s value, in order."""
        branches = self.table.branches(spec)
        name = spec.name
        found: list[Field] = []
        for body in place.bodies:
            for field in body.fields:
                if field.name == name:
                    found.append(field)
                elif field.name in branches:
                    found.clear()
        if spec.kind != "unknown" and not spec.repeated:
            for field in found:
                if isinstance(field.value, Sequenced):
                    raise self.error(field.value.start, f"{name!r} takes one value, not a list")
        return found

    def elements(self, place: Place, spec: FieldSpec) -> list[tuple[Field, Scalar | Body]]:
        """The elements of a repeated field, in order."""
        return [(f, item) for f in self.occurrences(place, spec) for item in f.items]

    def child(self, place: Place, spec: FieldSpec) -> Place:
        """The singular message ``spec`` of ``place``, absent or merged."""
        bodies = tuple(self.body(f.value, spec) for f in self.occurrences(place, spec))
        return Place(spec.type, bodies, place.child_label(spec.name), place, spec)

    def body(self, value: Scalar | Body | Sequenced, spec: FieldSpec) -> Body:
        if not isinstance(value, Body):
            raise self.error(value.start, f"{spec.name!r} is a message: '{{' is missing")
        return value

    def scalar(self, value: Scalar | Body | Sequenced, spec: FieldSpec) -> Any:
        """The typed value of a literal. ConfigEditError when it does not fit the field."""
        if not isinstance(value, Scalar):
            raise self.error(value.start, f"{spec.name!r} takes a {spec.type}, not a message")
        try:
            return read_scalar(value.text, spec, self.table)
        except ValueError as error:
            if spec.kind == "enum" and self.allow_unknown is True and not is_string(value.text):
                return RawLiteral(value.text)  # a name that a newer EasyRec has
            raise self.error(value.start, f"{value.text} does not fit {spec.name!r}: {error}") from error

    def current(self, place: Place, spec: FieldSpec) -> Any:
        """The value of a singular scalar field, its default when absent."""
        found = self.occurrences(place, spec)
        return self.scalar(found[-1].value, spec) if found else zero(spec, self.table)

    def error(self, offset: int, message: str, hint: str = "") -> ConfigEditError:
        return ConfigEditError(message, where=position(self.document.text, offset), hint=hint)

    # Selection

    def select(self, key: Key, root: Place | None = None) -> list[Target]:
        """All that ``key`` selects, never nothing. ConfigEditError says what is there instead."""
        places = [root or self.root]
        for step in key.steps[:-1]:
            places = [self._enter(target, key) for target in self._step(places, step, key)]
        return self._step(places, key.steps[-1], key)

    def walk(self, key: Key, message: str = "") -> FieldSpec:
        """The last field that ``key`` names, by the table alone: what can be judged without the elements.

        Raises ConfigEditError for names that don't exist and selectors where none belongs.
        """
        at = message or self.table.root
        path = ""
        for number, step in enumerate(key.steps):
            spec = self.spec(at, step.name, key.text, f"{path}." if path else "")
            path = f"{path}.{step.name}" if path else step.name
            if spec.kind != "unknown":
                if step.selector is not None and not spec.repeated:
                    raise _not_a_list(path, spec, key)
                if number < len(key.steps) - 1:
                    if not spec.is_message:
                        raise _no_fields(path, spec, key)
                    if spec.repeated and step.selector is None:
                        raise _which(path, spec, key)
                if isinstance(step.selector, Condition):
                    self.walk(Key(key.text, step.selector.path), spec.type)
            at = spec.type
        return spec

    def incomparable(self, key: Key) -> str:
        """The first element that lacks what a condition of ``key`` compares; "" when there is none."""
        places = [self.root]
        for step in key.steps:
            if isinstance(step.selector, Condition):
                for place in places:
                    spec = self.spec(place.message, step.name, key.text)
                    for number, (_, item) in enumerate(self.elements(place, spec)):
                        if self._compared(step.selector, item, spec, key) is None:
                            return f"{place.child_label(step.name)}[{number}]"
            if step is not key.steps[-1]:
                places = [self._enter(target, key) for target in self._step(places, step, key)]
        return ""

    def _enter(self, target: Target, key: Key) -> Place:
        spec = target.spec
        if target.element is not None:
            item = target.element[1]
            if isinstance(item, Body):
                return Place(spec.type, (item,), target.label, target.place, spec)
        elif spec.is_message:
            if spec.repeated:
                raise _which(target.label, spec, key)
            return self.child(target.place, spec)
        elif spec.kind == "unknown":
            found = [f.value for f in self.occurrences(target.place, spec)]
            return Place(
                spec.type, tuple(self.body(v, spec) for v in found), target.label, target.place, spec
            )
        raise _no_fields(target.label, spec, key)

    def _step(self, places: Sequence[Place], step: Step, key: Key) -> list[Target]:
        targets: list[Target] = []
        for place in places:
            spec = self.spec(place.message, step.name, key.text, f"{place.label}." if place.label else "")
            label = place.child_label(step.name)
            if step.selector is None:
                targets.append(Target(place, spec, label))
                continue
            if not spec.repeated and spec.kind != "unknown":
                raise _not_a_list(label, spec, key)
            elements = self.elements(place, spec)
            targets += [
                Target(place, spec, f"{label}[{number}]", elements[number])
                for number in self._numbers(elements, place, spec, step, key)
            ]
        if not targets:
            raise self._nothing(places, step, key)
        return targets

    def _numbers(
        self,
        elements: Sequence[tuple[Field, Scalar | Body]],
        place: Place,
        spec: FieldSpec,
        step: Step,
        key: Key,
    ) -> list[int]:
        selector = step.selector
        count = len(elements)
        if isinstance(selector, Index):
            if not -count <= selector.at < count:
                raise _NothingThereError(
                    f"{place.child_label(spec.name)} has no element [{selector.at}]",
                    where=key.text,
                    hint=_counted(count) + self._other_layout(spec),
                )
            return [selector.at % count]
        if isinstance(selector, Range):
            return list(range(count))[selector.slice]
        assert isinstance(selector, Condition)
        if not spec.is_message and spec.kind != "unknown":
            raise ConfigEditError(
                f"{place.child_label(spec.name)} holds {spec.type} values, which have no fields to compare",
                where=key.text,
                hint="select them by number: [3], [:] or [1:4]",
            )
        holding = []
        for number, (_, item) in enumerate(elements):
            compared = self._compared(selector, item, spec, key)
            if compared is None:
                continue
            if self._holds(selector, *compared, key):
                holding.append(number)
        return holding

    def _holds(self, condition: Condition, value: Any, spec: FieldSpec, key: Key) -> bool:
        if spec.kind == "unknown":
            wanted: Any = condition.value
            if isinstance(value, RawLiteral) and None not in (pair := (as_number(value), as_number(wanted))):
                value, wanted = pair
        else:
            try:
                if isinstance(value, RawLiteral):
                    raise ValueError(f"what {value} stands for is not known here")
                wanted = scalar_from(condition.value, spec, self.table, compared=True)
            except ValueError as error:
                raise ConfigEditError(f"{spec.name} can't be compared: {error}", where=key.text) from error
            if spec.kind == "enum":  # as EasyRec does it
                value, wanted = (self.table.enums[spec.type][name] for name in (value, wanted))
        return _COMPARE[condition.operator](value, wanted)

    def _compared(
        self, condition: Condition, item: Scalar | Body, spec: FieldSpec, key: Key
    ) -> tuple[Any, FieldSpec] | None:
        """The value that the condition looks at in one element; None when it isn't there."""
        body = self.body(item, spec)
        if found := self._plain(condition.path, body, spec.type):
            literal, of = found
            return self._as_compared(self.scalar(literal, of), of), of
        try:
            target = self.select(Key(key.text, condition.path), Place(spec.type, (body,)))[-1]
        except _NothingThereError:
            return None
        of = target.spec
        if of.is_message:
            raise ConfigEditError(f"{target.label} is a message: compare one of its fields", where=key.text)
        if target.element is not None:
            value = self.scalar(target.element[1], of)
        elif of.repeated:
            raise ConfigEditError(
                f"{target.label} is a list: compare one of its values",
                where=key.text,
                hint=f"write {of.name}[0]",
            )
        elif of.kind == "unknown" and not self.occurrences(target.place, of):
            return None
        else:
            value = self.current(target.place, of)
        return self._as_compared(value, of), of

    def _plain(self, path: Sequence[Step], body: Body, message: str) -> tuple[Scalar, FieldSpec] | None:
        """What nearly all conditions look at, found fast: one literal that stands in the element itself."""
        step, *deeper = path
        spec = self.table.messages.get(message, {}).get(step.name)
        if deeper or spec is None or spec.is_message or spec.oneof:
            return None
        values = [field.value for field in body.fields if field.name == step.name]
        if spec.repeated and isinstance(step.selector, Index) and len(values) == 1:
            items = values[0].items if isinstance(values[0], Sequenced) else values
            at = step.selector.at
            value = items[at] if -len(items) <= at < len(items) else None
        else:
            value = values[0] if len(values) == 1 and not spec.repeated and step.selector is None else None
        return (value, spec) if isinstance(value, Scalar) else None

    @staticmethod
    def _as_compared(value: Any, spec: FieldSpec) -> Any:
        """A float field holds 32 bits: EasyRec compares that, e.g. 0.10000000149 for 0.1, with the key's number."""
        return as_float32(value) if spec.type == "float" and isinstance(value, float) else value

    def _nothing(self, places: Sequence[Place], step: Step, key: Key) -> ConfigEditError:
        """The error for a selector that no element passes: what there is instead."""
        message = f"nothing matches {step.text}"
        if not places:
            return _NothingThereError(message, where=key.text)
        spec = self.spec(places[0].message, step.name, key.text)
        elements = [element for place in places for element in self.elements(place, spec)]
        hint = _counted(len(elements))
        if isinstance(step.selector, Condition) and elements:
            compared = (self._compared(step.selector, item, spec, key) for _, item in elements)
            there = list(dict.fromkeys(str(found[0]) for found in compared if found))
            close = nearest(step.selector.value.strip(), there)
            path = ".".join(s.text for s in step.selector.path)
            hint = f"{path} is {listed([*close, *(t for t in there if t not in close)])}"
            if not there:
                hint = f"{_counted(len(elements))}, none of them with {path}"
        return _NothingThereError(message, where=key.text, hint=hint + self._other_layout(spec))

    def _other_layout(self, spec: FieldSpec) -> str:
        """Features lie in one of two places; EasyRec's edits look only where the key says."""
        other = _LAYOUTS.get((spec.owner, spec.name))
        if other is None:
            return ""
        fg = self.table.messages[self.table.root]["fg_json_path"]
        path = str(self.current(self.root, fg))
        if path and not path.startswith("!"):
            return "; EasyRec takes this config's features from fg_json_path"
        place = self.root
        for name in other[:-1]:
            place = self.child(place, self.table.messages[place.message][name])
        count = len(self.elements(place, self.table.messages[place.message][other[-1]]))
        return f"; this config has {count} in {'.'.join(other)}" if count else ""


class _NothingThereError(ConfigEditError):
    """A selector that selects no element."""


def _counted(count: int) -> str:
    return f"it has {count} element{'s' * (count != 1)}"


def _which(label: str, spec: FieldSpec, key: Key) -> ConfigEditError:
    return ConfigEditError(
        f"{label} is a list: say which of its elements",
        where=key.text,
        hint=f"add a selector to {spec.name}: {FORMS}",
    )


def _no_fields(label: str, spec: FieldSpec, key: Key) -> ConfigEditError:
    return ConfigEditError(f"{label} is a {spec.type}: it has no fields", where=key.text)


def _not_a_list(label: str, spec: FieldSpec, key: Key) -> ConfigEditError:
    return ConfigEditError(
        f"{label} is a single {spec.type}, not a list",
        where=key.text,
        hint=f"leave out the selector behind {spec.name}",
    )
