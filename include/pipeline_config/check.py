"""Dry run of a whole search space on a config: all problems at once, before anything is submitted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config.editing import Draft, single_edits
from include.pipeline_config.fg import Features, judge_features
from include.pipeline_config.fields import FLOATS, INTEGERS, FieldSpec
from include.pipeline_config.json_edits import WAY_OUT, convert_by_type, limits
from include.pipeline_config.keys import Key, parse_keys
from include.pipeline_config.view import Target

_VARIABLE = re.compile(r"\$\{\w+\}")
_NAME = "_name"
_TAIL = 6
"""Standard deviations of a normal distribution that are tried."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one key of a search space."""

    key: str
    message: str
    hint: str = ""
    fatal: bool = True
    """False for a notice: something that can't be judged here, but need not be wrong."""

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def check_edits(
    text: str,
    search_space: Mapping[str, Mapping[str, Any]],
    *,
    fg_config: str | None = None,
    allow_unknown_fields: Collection[str] | bool = False,
    as_json: bool = False,
) -> list[Problem]:
    """Try every key of ``search_space`` (key → ``{"_type", "_value"}``) on the config ``text``.

    Every option of each choice and both ends of each range are tried, each key on what the first values of
    the keys before it make of the config. Sub-keys of nested choices are keys like any other; keys
    ``${name}`` are variables and no edits. ``as_json`` also reports what ``-Dedit_config_json`` can't carry.
    Where EasyRec takes features from ``fg_json_path``, keys on them give a Problem that is not ``fatal``,
    unless ``fg_config`` (see ``with_fg_features``) shows the features.

    Raises ConfigEditError only when ``text`` itself can't be read. Reference R6, R29, section 4.
    """
    features = judge_features(text, fg_config)
    check = _Check(Draft(features.text, allow_unknown_fields), features, as_json)
    check.space(search_space)
    return list(dict.fromkeys(check.problems))


class _Check:
    def __init__(self, draft: Draft, features: Features, as_json: bool) -> None:
        self.draft = draft
        self.features = features
        self.as_json = as_json
        self.problems: list[Problem] = []

    def space(self, space: Mapping[str, Any]) -> None:
        for name, domain in space.items():
            if name == _NAME:
                continue
            for option in nested_options(domain):
                self.space(option)
            if not _VARIABLE.fullmatch(name) and not nested_options(domain):
                self.key(name, domain)

    def key(self, name: str, domain: Any) -> None:
        """Check one key; the first problem of its path hides those of its values."""
        try:
            keys = parse_keys(name)
            specs = [self.draft.view.walk(key) for key in keys]
            # each of several keys meets what those before it made, which depends on the value
            once = self._judged(keys[0], self.draft) if len(keys) == 1 else None
            values = list(representatives(domain))
        except (ConfigEditError, DomainError) as error:
            self._note(name, error)
            return
        misfits = [Problem(name, message, hint) for message, hint in _misfits(domain, specs)]
        self.problems += misfits
        if any(self.features.cannot_judge(key) for key in keys):
            self._note_hidden(name)
        fitting: list[list[tuple[Key, Any]]] = []
        for value in () if misfits else values:
            try:
                edits = single_edits({name: value})
                self._try(edits, once)
                fitting.append(edits)
            except ConfigEditError as error:
                self._note(name, error)
        if fitting:  # after all were tried: it may be what the selector asks for that changes
            self._apply(name, fitting[0])

    def _judged(self, key: Key, draft: Draft) -> _Judged:
        view = draft.view
        spec = view.walk(key)
        if self.features.cannot_judge(key):
            return _Judged(spec)
        target = view.select(key)[0]
        if self.as_json and (lacking := view.incomparable(key)):
            message = f"EasyRec stops at {lacking}, which lacks the field that is compared"
            raise ConfigEditError(message, where=key.text, hint=WAY_OUT)
        return _Judged(spec, target)

    def _try(self, edits: Sequence[tuple[Key, Any]], once: _Judged | None) -> None:
        draft = self.draft if once else self.draft.copy()
        for key, value in edits:
            of = once or self._judged(key, draft)
            if of.target is None:
                typed = convert_by_type(key, of.spec, value, draft.view)
            else:
                typed = draft.convert(of.target, value, key)
            if self.as_json:
                for reason in limits(key, of.spec, typed, draft.view):
                    message = f"edit_config_json can't carry this: {reason}"
                    raise ConfigEditError(message, where=key.text, hint=WAY_OUT)
            if once is None and of.target is not None:
                draft.apply(key, value)

    def _apply(self, name: str, edits: Sequence[tuple[Key, Any]]) -> None:
        try:
            for key, value in edits:
                if not self.features.cannot_judge(key):
                    self.draft.apply(key, value)
        except ConfigEditError as error:
            self._note(name, error)

    def _note(self, name: str, error: ConfigEditError | DomainError) -> None:
        if isinstance(error, DomainError):
            self.problems.append(Problem(name, str(error)))
            return
        prefix = "" if error.where in ("", name) else f"{error.where}: "
        self.problems.append(Problem(name, prefix + error.message, error.hint))

    def _note_hidden(self, name: str) -> None:
        self.problems.append(
            Problem(
                name,
                "EasyRec loads the features from fg_json_path, so what this selects can't be judged here",
                "names and types were checked; check the elements with the features that EasyRec makes of it",
                fatal=False,
            )
        )


@dataclass(frozen=True)
class _Judged:
    """What a key names: its field, and its first target where the elements can be seen."""

    spec: FieldSpec
    target: Target | None = None


class DomainError(ValueError):
    """A domain that can't be read."""


def nested_options(domain: Any) -> list[Mapping[str, Any]]:
    """The options of a nested choice."""
    if not isinstance(domain, Mapping) or domain.get("_type") != "choice":
        return []
    options = domain.get("_value")
    if not isinstance(options, (list, tuple)):
        return []
    return [option for option in options if isinstance(option, Mapping) and _NAME in option]


def representatives(domain: Any) -> Iterator[Any]:
    """Values that stand for all a domain can give: each option, both ends. Raises DomainError."""
    if not isinstance(domain, Mapping) or "_type" not in domain or "_value" not in domain:
        raise DomainError('a domain is written {"_type": …, "_value": […]}')
    kind, arguments = domain["_type"], domain["_value"]
    if kind == "choice":
        if not isinstance(arguments, (list, tuple)) or not arguments:
            raise DomainError("a choice needs a list of options")
        yield from arguments
        return
    try:
        numbers = [float(argument) for argument in arguments]
        yield from _ENDS[kind](*numbers)
    except KeyError:
        raise DomainError(f"unknown type {kind!r}; there are choice, {', '.join(_ENDS)}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise DomainError(f"{kind} can't take {arguments!r}") from error


def _randint(low: float, high: float | None = None) -> Iterator[int]:
    low, high = (0, low) if high is None else (low, high)
    if high <= low:
        raise ValueError("empty range")
    yield from (int(low), int(high) - 1)


def _ends(low: float, high: float) -> Iterator[float]:
    yield from (low, high)


def _stepped_ends(low: float, high: float, step: float) -> Iterator[float]:
    for bound in (low, high):
        yield min(max(round(bound / step) * step, low), high)


def _normal_ends(mean: float, deviation: float, step: float = 0.0) -> Iterator[float]:
    for value in (mean, mean - _TAIL * deviation, mean + _TAIL * deviation):
        yield round(value / step) * step if step else value


def _lognormal_ends(mean: float, deviation: float, step: float = 0.0) -> Iterator[float]:
    for value in _normal_ends(mean, deviation):
        yield round(math.exp(value) / step) * step if step else math.exp(value)


_ENDS: dict[str, Callable[..., Iterator[float]]] = {
    "randint": _randint,
    "uniform": _ends,
    "quniform": _stepped_ends,
    "loguniform": _ends,
    "qloguniform": _stepped_ends,
    "normal": _normal_ends,
    "qnormal": _normal_ends,
    "lognormal": _lognormal_ends,
    "qlognormal": _lognormal_ends,
}
_STEPS_FROM = {"qnormal": 2, "qlognormal": 2}
"""The first argument that must be whole for whole results; the mean and deviation needn't."""
_FRACTIONS = frozenset({"uniform", "loguniform", "normal", "lognormal"})


def _misfits(domain: Mapping[str, Any], specs: Sequence[FieldSpec]) -> Iterator[tuple[str, str]]:
    """Domains whose ends may fit the field while what lies between does not."""
    kind, arguments = domain["_type"], domain["_value"]
    if kind == "choice":
        return
    for spec in specs:
        if spec.type in INTEGERS and kind in _FRACTIONS:
            yield (
                f"{kind} gives fractions, but {spec.name} takes {spec.type}",
                "use randint, or a quantized type with a whole step (quniform, qloguniform, …)",
            )
        elif spec.type in INTEGERS and any(float(n) % 1 for n in arguments[_STEPS_FROM.get(kind, 0) :]):
            yield (
                f"{kind} with {list(arguments)} gives fractions, but {spec.name} takes {spec.type}",
                "make the bounds and the step whole numbers",
            )
        elif spec.type not in INTEGERS | FLOATS | {"string", "unknown"} or spec.is_message:
            yield f"{kind} gives numbers, but {spec.name} takes {spec.type}", "use a choice"
