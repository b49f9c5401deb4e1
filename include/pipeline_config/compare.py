"""Reading values, and comparing two configs by what they mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from include.pipeline_config.fields import FieldSpec, table
from include.pipeline_config.keys import parse_keys
from include.pipeline_config.reader import Body, Scalar, parse
from include.pipeline_config.values import as_float32, same, write_scalar
from include.pipeline_config.view import Place, Target, View

_SELECTOR = re.compile(r"\[[^\]]*\]")


def values_at(text: str, path: str, *, allow_unknown_fields: Collection[str] | bool = False) -> list[Any]:
    """What ``path`` (reference R29) selects, in order: numbers, booleans, text, enum names.

    An absent scalar reads as its default. A whole repeated field reads as one list, a message as a dict of
    the fields that are set. Raises ConfigEditError when the path does not exist or selects nothing.
    """
    view = View(parse(text), table(), allow_unknown_fields)
    return [_read(view, target) for key in parse_keys(path) for target in view.select(key)]


def _read(view: View, target: Target) -> Any:
    place, spec = target.place, target.spec
    if target.element is not None:
        return _item(view, target.element[1], spec)
    found = view.occurrences(place, spec)
    if spec.repeated:
        return [_item(view, item, spec) for field in found for item in field.items]
    if spec.is_message:
        return _fields(view, view.child(place, spec))
    if spec.kind == "unknown" and found:
        items = [_item(view, item, spec) for item in found[-1].items]
        return items if len(items) != 1 else items[0]
    return view.current(place, spec)


def _item(view: View, item: Scalar | Body, spec: FieldSpec) -> Any:
    if spec.is_message or (spec.kind == "unknown" and isinstance(item, Body)):
        return _fields(view, Place(spec.type, (view.body(item, spec),)))
    return view.scalar(item, spec)


def _fields(view: View, place: Place) -> dict[str, Any]:
    specs = _present(view, place)
    return {spec.name: _read(view, Target(place, spec, spec.name)) for spec in specs}


def meaning(view: View) -> str:
    """All that is set, in a form that is equal for texts that say the same."""
    return _canonical(_fields(view, view.root))


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return repr(value)


def _present(view: View, place: Place) -> list[FieldSpec]:
    """The fields that are set, unknown ones included, in the order of the text."""
    names = dict.fromkeys(field.name for body in place.bodies for field in body.fields)
    known = view.table.messages.get(place.message, {})
    specs = [known.get(name) or FieldSpec(place.message, name, "unknown", "unknown") for name in names]
    return [spec for spec in specs if view.occurrences(place, spec)]


def difference(meant_text: str, saved_text: str, *, ignore: Collection[str] = ()) -> list[str]:
    """How the meaning of two configs differs, one readable line per field; empty when it doesn't.

    Order, comments, formatting and defaults that are written out don't matter. ``ignore`` holds paths that
    EasyRec sets itself, e.g. ``model_dir`` or ``feature_config.features.shared_names``: they and all below
    them are left out; selectors in them are passed over, so that a path stands for all elements.
    Raises ConfigEditError when one of the texts can't be read.
    """
    meant, saved = View(parse(meant_text), table(), True), View(parse(saved_text), table(), True)
    ignored = {_SELECTOR.sub("", path).replace(" ", "") for path in ignore}
    return list(_messages(meant, meant.root, saved, saved.root, ignored, ""))


def _messages(
    meant: View, left: Place, saved: View, right: Place, ignored: Collection[str], path: str
) -> Iterator[str]:
    specs = {spec.name: spec for spec in (*_present(meant, left), *_present(saved, right))}
    for name, spec in specs.items():
        plain = f"{path}.{name}" if path else name
        if plain in ignored:
            continue
        label = f"{left.label}.{name}" if left.label else name
        if spec.kind == "message" and not spec.repeated:
            ours, theirs = meant.child(left, spec), saved.child(right, spec)
            if bool(ours.bodies) != bool(theirs.bodies):
                # An empty message still says something: which branch of a oneof is taken, for example.
                yield _line(label, *(_shown_place(v, p) for v, p in ((meant, ours), (saved, theirs))))
            else:
                ours = Place(ours.message, ours.bodies, label)
                yield from _messages(meant, ours, saved, theirs, ignored, plain)
        elif spec.repeated or spec.kind == "unknown":
            yield from _lists(meant, left, saved, right, spec, ignored, plain, label)
        else:
            ours_value, theirs_value = _comparable(meant, left, spec), _comparable(saved, right, spec)
            if not same(ours_value, theirs_value):
                yield _line(label, write_scalar(ours_value), write_scalar(theirs_value))


def _lists(
    meant: View,
    left: Place,
    saved: View,
    right: Place,
    spec: FieldSpec,
    ignored: Collection[str],
    path: str,
    label: str,
) -> Iterator[str]:
    ours = [item for _, item in meant.elements(left, spec)]
    theirs = [item for _, item in saved.elements(right, spec)]
    if spec.type in meant.table.maps:  # the order of a map says nothing
        ours.sort(key=lambda item: str(_item(meant, item, spec)))
        theirs.sort(key=lambda item: str(_item(saved, item, spec)))
    scalars = all(isinstance(item, Scalar) for item in (*ours, *theirs))
    if scalars:
        mine = [_number(meant.scalar(item, spec), spec) for item in ours]
        other = [_number(saved.scalar(item, spec), spec) for item in theirs]
        if len(mine) != len(other) or not all(map(same, mine, other)):
            yield _line(label, _shown_list(mine), _shown_list(other))
        return
    if len(ours) != len(theirs):
        yield f"{label}: meant {len(ours)} elements, saved {len(theirs)}"
        return
    for number, (one, two) in enumerate(zip(ours, theirs, strict=True)):
        name = f"{label}[{number}]"
        if isinstance(one, Body) and isinstance(two, Body):
            pair = Place(spec.type, (one,), name), Place(spec.type, (two,))
            yield from _messages(meant, pair[0], saved, pair[1], ignored, path)
        else:
            yield f"{name}: one is a message, the other is not"


def _comparable(view: View, place: Place, spec: FieldSpec) -> Any:
    return _number(view.current(place, spec), spec)


def _number(value: Any, spec: FieldSpec) -> Any:
    return as_float32(value) if spec.type == "float" and isinstance(value, float) else value


def _shown_list(values: list[Any]) -> str:
    return f"[{', '.join(write_scalar(value) for value in values)}]"


def _shown_place(view: View, place: Place) -> str:
    return str(_fields(view, place)) if place.bodies else "nothing"


def _line(label: str, meant: str, saved: str) -> str:
    return f"{label}: meant {meant}, saved {saved}"
