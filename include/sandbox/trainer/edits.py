"""``edit_config_json`` as EasyRec itself reads and applies it, weaknesses included (reference sections 3, 4).

This works on the protobuf message and shares no code with ``include.pipeline_config``, so that the sandbox is
an independent check of our text editor. What crashes EasyRec is a ConfigEditError here.
"""

from __future__ import annotations

import operator
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf import text_format

from include.errors import ConfigEditError

# In the order in which EasyRec looks for them.
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_TRUE = ("True", "true")
_FALSE = ("False", "false")


@dataclass(frozen=True)
class _Place:
    """Where a value lives: a field of a message (``name``) or an element of a repeated field (``index``)."""

    owner: Any
    value: Any
    name: str | None = None
    index: int = -1
    writable: bool = True

    def assign(self, value: Any) -> None:
        if self.name is None:
            self.owner[self.index] = value
        else:
            setattr(self.owner, self.name, value)


def through_command_line(text: str) -> str:
    """What is left of the JSON after ``--edit_config_json='…'`` went through a shell: ``'`` breaks it."""
    try:
        words = shlex.split(f"--edit_config_json='{text}'")
    except ValueError as error:
        raise ConfigEditError(
            f"the job's command line can't be parsed: {error}",
            where="edit_config_json",
            hint="a single quote can't be carried in -Dedit_config_json",
        ) from error
    return words[0].partition("=")[2]


def load(text: str) -> dict[str, Any]:
    """The edits as YAML 1.1 reads them: ``1e-05`` is a string, keys over 1,024 characters are refused."""
    try:
        edits = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigEditError(f"YAML can't read it: {error}", where="edit_config_json") from error
    if not isinstance(edits, dict):
        raise ConfigEditError(f"expected a mapping, found {edits!r:.80}", where="edit_config_json")
    return edits


def apply(config: Any, edits: Mapping[str, Any]) -> None:
    """Edit the message in place. ConfigEditError where EasyRec would crash; no match is no error, as there."""
    for key, value in edits.items():
        # zip() and the splits lose what doesn't pair up: that is what EasyRec does.
        for path, text in zip(_parts(key), _parts(value), strict=False):
            try:
                for place in _places(config, path):
                    _set(place, text)
            except (AttributeError, TypeError, ValueError, IndexError, AssertionError, KeyError) as error:
                detail = str(error) or "value not allowed"
                raise ConfigEditError(f"{type(error).__name__}: {detail}", where=f"{path}={text}") from error


def _parts(joined: object) -> list[str]:
    return [part.strip() for part in str(joined).split(";")]


def _places(root: Any, path: str) -> list[_Place]:
    places: list[_Place] = []
    parents = [root]
    for token in (part.strip() for part in path.split(".") if part):
        places = [place for parent in parents for place in _step(parent, token)]
        parents = [place.value for place in places]
    return places


def _step(parent: Any, token: str) -> list[_Place]:
    if "[" not in token:
        return [_Place(parent, getattr(parent, token), name=token)]
    name, _, rest = token.partition("[")
    selector = rest[:-1]
    elements = getattr(parent, name)
    if ":" in selector:
        first, _, last = selector.partition(":")
        start = int(first) if first else 0
        chosen = elements[start : int(last) if last else len(elements)]
        # A slice only works on the way to something deeper; as the last step it crashes.
        return [_Place(elements, element, index=i, writable=False) for i, element in enumerate(chosen, start)]
    try:
        index = int(selector)
    except ValueError:
        return _matching(elements, selector)
    return [_Place(elements, elements[index], index=index)]


def _matching(elements: Any, selector: str) -> list[_Place]:
    for symbol in _OPERATORS:
        at = selector.rfind(symbol)
        if at >= 0:
            compare, key, wanted = _OPERATORS[symbol], selector[:at], selector[at + len(symbol) :]
            break
    else:
        raise ValueError(f"invalid selector [{selector}]")
    found = []
    for index, element in enumerate(elements):
        place = _places(element, key)[-1]
        if compare(place.value, _convert(place, wanted)):
            found.append(_Place(elements, element, index=index))
    return found


def _convert(place: _Place, text: str) -> Any:
    current = place.value
    if isinstance(current, str):
        return text
    if isinstance(current, bool):
        assert text in _TRUE + _FALSE, f"{text!r} is not a boolean"
        return text in _TRUE
    try:
        return type(current)(text)
    except ValueError:
        assert isinstance(current, int), f"{text!r} is not a number"
        # Only enums declared inside the message are attributes of it.
        return getattr(place.owner, text)


def _set(place: _Place, text: str) -> None:
    current = place.value
    if not place.writable:
        raise TypeError("a slice as the last step can't be assigned")
    if isinstance(current, (str, bool, int, float)):
        place.assign(_convert(place, text))
        return
    if hasattr(current, "DESCRIPTOR"):
        if text.startswith("{") and text.endswith("}"):
            text = text[1:-1]
        current.Clear()
        current.SetInParent()
        _parse(text, current)
        return
    field = place.owner.DESCRIPTOR.fields_by_name[place.name]
    if field.message_type is not None:
        raise TypeError(f"{place.name} is a repeated message and has no Clear()")
    place.owner.ClearField(place.name)
    _parse(f"{place.name}:{text}", place.owner)


def _parse(text: str, message: Any) -> None:
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise ValueError(f"ParseError: {error}") from error
