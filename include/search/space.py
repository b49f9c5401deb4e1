"""``search_space.json`` read into a ``SearchSpace``; every mistake is reported with its key (reference R6)."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.errors import ProblemsError, SearchSpaceError
from include.search import lenient_json
from include.search.domains import (
    ARGUMENTS,
    NAME,
    Branch,
    Choice,
    Domain,
    Integers,
    Nested,
    Real,
    combinations,
    contains_all,
)
from include.search.wording import canonical, nearest
from include.texts import file_text

COMBINED = "combine_params"
"""The one key of a space for the Batch tuner: a choice of complete parameter sets."""
_VARIABLE = re.compile(r"\$\{\w+\}")
_EXACT = 2**53
"""Beyond it floats, in which tuners calculate, skip integers."""


@dataclass(frozen=True, eq=False)
class SearchSpace(Mapping[str, Mapping[str, Any]]):
    """A checked search space.

    As a Mapping it is flat: every key that can be edited → ``{"_type", "_value"}``, which is what a dry run
    of all edits takes. A sub-key of a nested choice stands there like any other; where branches define it
    differently, it is a choice of all their options and ends. ``as_dict`` gives NNI's own, nested form.
    """

    domains: Mapping[str, Domain]

    def __getitem__(self, key: str) -> Mapping[str, Any]:
        return self._flat()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat())

    def __len__(self) -> int:
        return len(self._flat())

    @property
    def is_batch(self) -> bool:
        """Whether it lists complete parameter sets (NNI's Batch tuner)."""
        return COMBINED in self.domains

    def as_dict(self) -> dict[str, Any]:
        """The space in NNI's form."""
        return {key: domain.as_nni() for key, domain in self.domains.items()}

    as_nni = as_dict

    def size(self) -> int | None:
        """The number of different parameter sets; None when there is no end of them."""
        return combinations(self.domains)

    def contains(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a tuner of this space could have suggested ``parameters``."""
        if self.is_batch:
            return self.domains[COMBINED].contains(dict(parameters))
        return contains_all(self.domains, parameters)

    def extremes(self) -> dict[str, tuple[Any, ...]]:
        """Values that a dry run must try, by edited key: every option, both ends of every range."""
        return {key: tuple(entry.extremes()) for key, entry in self._flat_domains().items()}

    def always(self) -> frozenset[str]:
        """The edited keys that every parameter set has, whichever branches it takes."""
        if self.is_batch:
            return frozenset.intersection(*(frozenset(each) for each in self.domains[COMBINED].extremes()))
        return _always(self.domains)

    def is_label(self, key: str) -> bool:
        """Whether ``key`` chooses between branches: it need not mean anything beside their sub-keys."""
        return any(isinstance(domain, Nested) for domain in _all_of(key, self.domains))

    def edits(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What ``parameters`` change, as one flat mapping (reference R7).

        The sub-keys of a chosen branch become edits of their own (they are full config paths); the
        branch's ``_name`` is only a label, unless its key is a ``${variable}``: then it is the value.
        Keys that the space doesn't know (a person's own parameters) pass through.
        """
        return _edits(parameters)

    def _flat(self) -> dict[str, dict[str, Any]]:
        return {key: domain.as_nni() for key, domain in self._flat_domains().items()}

    def _flat_domains(self) -> dict[str, Domain]:
        found: dict[str, list[Domain]] = {}
        if self.is_batch:
            for parameters in self.domains[COMBINED].extremes():
                for key, value in parameters.items():
                    found.setdefault(key, []).append(Choice((value,)))
        else:
            _collect(self.domains, found)
        return {key: _merged(domains) for key, domains in found.items()}


def load(path: str | Path) -> SearchSpace:
    """Read a file; ConfigError when it can't be read, else as ``parse``."""
    return parse(file_text(Path(path)), path)


def parse(text: str, where: str | Path) -> SearchSpace:
    """Read the text of a ``search_space.json``.

    Raises SearchSpaceError when it isn't JSON (comments, trailing commas and the like are), ProblemsError
    that lists every other mistake with line and key.
    """
    document = lenient_json.loads(text, str(where))
    duplicates = [
        f"line {second}, {_shown(path)}: the key stands in line {first} already"
        for path, first, second in document.duplicates
    ]
    return _build(document.value, str(where), document.lines, duplicates)


def from_dict(value: Any, where: str | Path) -> SearchSpace:
    """A space that was read already, for example inline in ``config.yml``. Raises ProblemsError."""
    return _build(value, str(where), {}, [])


def _build(
    value: Any, where: str, lines: Mapping[lenient_json.Path, int], problems: list[str]
) -> SearchSpace:
    if not isinstance(value, dict):
        raise SearchSpaceError(
            f"a search space is an object of keys, not {_kind(value)}",
            where=where,
            hint='write {"<config path>": {"_type": "choice", "_value": [1, 2]}}',
        )
    if not value:
        raise SearchSpaceError("the search space is empty", where=where, hint="give at least one key")
    reader = _Reader(lines, problems)
    domains = reader.combined(value) if COMBINED in value else reader.domains(value, ())
    reader.check_overlap(domains, ())
    if problems:
        raise ProblemsError(f"the search space has {len(problems)} mistake(s)", problems, where=where)
    return SearchSpace(domains)


class _Reader:
    """Checks everything and goes on after a mistake, so that one run shows them all."""

    def __init__(self, lines: Mapping[lenient_json.Path, int], problems: list[str]) -> None:
        self._lines = lines
        self._problems = problems

    def combined(self, value: dict[str, Any]) -> dict[str, Domain]:
        path: lenient_json.Path = (COMBINED,)
        if len(value) > 1:
            self._note(path, "must be the only key: each of its options is a complete parameter set")
        spec = value[COMBINED]
        options = spec.get("_value") if isinstance(spec, dict) and spec.get("_type") == "choice" else None
        if (
            not isinstance(options, list)
            or not options
            or not all(isinstance(o, dict) and o for o in options)
        ):
            self._note(path, "must be a choice of objects, each with the parameters of one trial")
            return {}
        self._unknown_keys(path, spec)
        for index, option in enumerate(options):
            self._json_value((*path, "_value", index), option)
        return {COMBINED: Choice(tuple(options))}

    def domains(self, value: dict[str, Any], path: lenient_json.Path) -> dict[str, Domain]:
        found = {}
        for key, spec in value.items():
            if key == NAME:
                if not path:
                    self._note((key,), "belongs into the options of a nested choice")
                continue
            if not key.strip():
                self._note((*path, key), "the key is empty")
            domain = self._domain((*path, key), spec)
            if domain is not None:
                found[key] = domain
        return found

    def check_overlap(self, domains: Mapping[str, Domain], path: lenient_json.Path) -> set[str]:
        """A key that two nested choices, or one and the space around it, could both set is ambiguous."""
        keys = set(domains)
        for key, domain in domains.items():
            if not isinstance(domain, Nested):
                continue
            inner: set[str] = set()
            for index, branch in enumerate(domain.branches):
                inner |= self.check_overlap(branch.domains, (*path, key, "_value", index))
            for twice in sorted(keys & inner):
                self._note((*path, key), f"a sub-key {twice!r} is also set outside of this choice")
            keys |= inner
        return keys

    def _domain(self, path: lenient_json.Path, spec: Any) -> Domain | None:
        if not isinstance(spec, dict) or "_type" not in spec or "_value" not in spec:
            self._note(path, f'must be {{"_type": …, "_value": …}}, not {_kind(spec)}')
            return None
        self._unknown_keys(path, spec)
        kind, value = spec["_type"], spec["_value"]
        if not isinstance(kind, str) or kind not in ARGUMENTS:
            self._note(path, f"unknown _type {kind!r}; {nearest(kind, ARGUMENTS)}")
            return None
        if not isinstance(value, list):
            self._note(path, f"_value of {kind} must be a list, not {_kind(value)}")
            return None
        if kind == "choice":
            return self._choice(path, value)
        return self._numbers(path, kind, value)

    def _choice(self, path: lenient_json.Path, options: list[Any]) -> Domain | None:
        if not options:
            self._note(path, "the choice is empty")
            return None
        objects = [option for option in options if isinstance(option, dict)]
        if not objects:
            ok = [self._json_value((*path, "_value", i), option) for i, option in enumerate(options)]
            return Choice(tuple(copy.deepcopy(options))) if all(ok) else None
        branches: list[Branch] = []
        for index, option in enumerate(options):
            place = (*path, "_value", index)
            name = option.get(NAME) if isinstance(option, dict) else None
            if not isinstance(name, str) or not name:
                self._note(place, f"every option of a nested choice is an object with a text {NAME!r}")
                continue
            if name in [branch.name for branch in branches]:
                self._note(place, f"the {NAME} {name!r} stands there twice")
            branches.append(Branch(name, self.domains(option, place)))
        return Nested(tuple(branches))

    def _numbers(self, path: lenient_json.Path, kind: str, value: list[Any]) -> Domain | None:
        names = ARGUMENTS[kind]
        if len(value) != len(names):
            self._note(path, f"{kind} takes [{', '.join(names)}], {len(value)} value(s) given")
            return None
        for name, number in zip(names, value, strict=True):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                self._note(path, f"{name} of {kind} must be a number, not {_kind(number)}")
                return None
            if not _is_finite(number):
                self._note(path, f"{name} of {kind} is {number}")
                return None
        problem = _number_problem(kind, value)
        if problem:
            self._note(path, problem)
            return None
        if kind == "randint":
            return Integers(int(value[0]), int(value[1]))
        return Real(kind, *value)

    def _json_value(self, path: lenient_json.Path, value: Any) -> bool:
        """NaN and infinity are no JSON, so they can't be sent to a job."""
        if isinstance(value, float) and not math.isfinite(value):
            self._note(path, f"an option is {value}")
            return False
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return all(self._json_value(path, item) for item in inner)

    def _unknown_keys(self, path: lenient_json.Path, spec: dict[str, Any]) -> None:
        for key in spec.keys() - {"_type", "_value"}:
            self._note((*path, key), f"unknown key; {nearest(key, ['_type', '_value'])}")

    def _note(self, path: lenient_json.Path, problem: str) -> None:
        known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self._lines), None)
        line = f"line {self._lines[known]}, " if known else ""
        self._problems.append(f"{line}{_shown(path)}: {problem}")


def _number_problem(kind: str, value: list[Any]) -> str:
    first, second = value[0], value[1]
    if kind == "randint":
        if first != int(first) or second != int(second):
            return "lower and upper of randint must be whole numbers"
        if first >= second:
            return f"randint [lower, upper) is empty: {first} is not below {second}"
        return "" if max(abs(first), abs(second)) <= _EXACT else "randint goes beyond ±2^53"
    q = value[2] if len(value) == 3 else None
    if q is not None and q <= 0:
        return f"q must be greater than 0, not {q}"
    if kind.endswith("normal"):
        if second <= 0:
            return f"sigma must be greater than 0, not {second}"
        return "the values overflow" if "log" in kind and first + 10 * second > 700 else ""
    if first > second:
        return f"low {first} is greater than high {second}"
    if "log" in kind and first <= 0:
        return f"low of {kind} must be greater than 0, not {first}"
    if not math.isfinite(float(second) - float(first)):
        return "the range overflows"
    if q is not None and math.floor(second / q + 1e-9) < math.ceil(first / q - 1e-9):
        return f"no multiple of q = {q} lies between {first} and {second}"
    return ""


def _edits(parameters: Mapping[str, Any]) -> dict[str, Any]:
    edits: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping) and NAME in value:
            if _VARIABLE.fullmatch(key):
                edits[key] = value[NAME]
            edits.update(_edits({k: v for k, v in value.items() if k != NAME}))
        else:
            edits[key] = copy.deepcopy(value)
    return edits


def _always(domains: Mapping[str, Domain]) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for key, domain in domains.items():
        if not isinstance(domain, Nested):
            found |= {key}
            continue
        found |= {key} if _VARIABLE.fullmatch(key) else frozenset()
        found |= frozenset.intersection(*(_always(branch.domains) for branch in domain.branches))
    return found


def _all_of(key: str, domains: Mapping[str, Domain]) -> Iterator[Domain]:
    """The domains that a key has, in all branches."""
    for name, domain in domains.items():
        if name == key:
            yield domain
        if isinstance(domain, Nested):
            for branch in domain.branches:
                yield from _all_of(key, branch.domains)


def _collect(domains: Mapping[str, Domain], found: dict[str, list[Domain]]) -> None:
    for key, domain in domains.items():
        if not isinstance(domain, Nested):
            found.setdefault(key, []).append(domain)
            continue
        if _VARIABLE.fullmatch(key):
            found.setdefault(key, []).append(Choice(domain.extremes()))
        for branch in domain.branches:
            _collect(branch.domains, found)


def _merged(domains: list[Domain]) -> Domain:
    if all(domain == domains[0] for domain in domains):
        return domains[0]
    values = [value for domain in domains for value in domain.extremes()]
    return Choice(tuple({canonical(value): value for value in values}.values()))


def _is_finite(number: int | float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int too large for a float
        return False


def _shown(path: lenient_json.Path) -> str:
    """The path as a person reads it: keys only, the words of the format left out."""
    keys = [str(part) for part in path if not (part == "_value" or isinstance(part, int))]
    option = next((f", option {part + 1}" for part in reversed(path) if isinstance(part, int)), "")
    return f"key {' > '.join(keys)}{option}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
