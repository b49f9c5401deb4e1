"""``${name}`` variables: keys of the search space that fill ``-D`` values of the ini (reference +18)."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from include.errors import ConfigError
from include.search.space import SearchSpace
from include.search.wording import nearest

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_KEY = re.compile(r"\$\{(\w+)\}")
_NEEDED_BEFORE = {
    "model_dir": "reports and marks lie below it before there is a trial",
    "config": "every key of the search space is tried on it before there is a trial",
}


def name_of(key: str) -> str | None:
    """``name`` of a search-space key ``${name}``, None for a path into the pipeline config."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def used_in(text: str) -> list[str]:
    """Names of the variables in a text, each once."""
    return list(dict.fromkeys(_VARIABLE.findall(text)))


def fill(text: str, values: Mapping[str, Any], where: str) -> str:
    """``text`` with its variables replaced; ConfigError naming one that has no value."""
    return _VARIABLE.sub(lambda match: _text(_value(match[1], values, where)), text)


def fill_edits(edits: Mapping[str, Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same in keys and values of edits. A value that is one variable alone keeps its type."""
    return {fill(key, values, where): _filled(value, values, where) for key, value in edits.items()}


def possible(text: str, space: SearchSpace, where: str) -> list[str]:
    """Every text that the space's variables can make of ``text``.

    Raises ConfigError when one of them is not a choice: then there is no list of them.
    """
    for name in used_in(text):
        if space.get(key(name), {}).get("_type") != "choice":
            raise ConfigError(
                f"{key(name)} is not a choice, so what it makes of this value can't be looked up before the "
                "search",
                where=where,
                hint='write {"_type": "choice", "_value": […]}',
            )
    return ends(text, space, where)


def ends(text: str, space: SearchSpace, where: str) -> list[str]:
    """What stands for all that the variables can make of ``text``: every option, both ends of a range."""
    names, extremes = used_in(text), space.extremes()
    every = itertools.product(*(extremes.get(key(name), ()) for name in names))
    return list(dict.fromkeys(fill(text, dict(zip(names, each, strict=True)), where) for each in every))


def problems(parameters: Mapping[str, str], space: SearchSpace) -> list[str]:
    """What is wrong with the use of variables in the ini's ``-D`` values, both ways."""
    found: list[str] = []
    always, known = space.always(), [each for each in space if name_of(each)]
    for parameter, value in parameters.items():
        for name in used_in(value):
            if key(name) in always:
                if parameter in _NEEDED_BEFORE:
                    found.append(f"-D{parameter} can't hold {key(name)}: {_NEEDED_BEFORE[parameter]}")
            elif key(name) in space:
                found.append(
                    f"-D{parameter} holds {key(name)}, which only some branches of the search space set"
                )
            else:
                others = nearest(key(name), known) if known else "it has no variables"
                found.append(
                    f"-D{parameter} holds {key(name)}, which is not a key of the search space ({others})"
                )
    used = {key(name) for value in parameters.values() for name in used_in(value)}
    found += [
        f"{each} of the search space is in no -D value of the ini: it would change nothing"
        for each in known
        if each not in used and not space.is_label(each)
    ]
    return found


def key(name: str) -> str:
    """The search-space key of a variable."""
    return f"${{{name}}}"


def _filled(value: Any, values: Mapping[str, Any], where: str) -> Any:
    if isinstance(value, str):
        alone = _VARIABLE.fullmatch(value)
        return _value(alone[1], values, where) if alone else fill(value, values, where)
    if isinstance(value, list):
        return [_filled(each, values, where) for each in value]
    return value


def _value(name: str, values: Mapping[str, Any], where: str) -> Any:
    if name not in values:
        raise ConfigError(
            f"{key(name)} has no value",
            where=where,
            hint="make it a key of the search space, or write it out",
        )
    value = values[name]
    if isinstance(value, str) and used_in(value):
        raise ConfigError(
            f"the value {value!r} of {key(name)} holds a variable itself", where=where, hint="write it out"
        )
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
