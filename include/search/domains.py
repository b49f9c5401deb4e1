"""What one key of a search space may be: choice, nested choice, integers, real numbers (reference R6).

Every domain answers the same questions: ``as_nni``, ``size`` (None: no end of values), ``at`` (the value of
an index below size), ``contains``, ``extremes``, ``restore`` (a tuner's raw value as exactly one of ours).
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from include.search.wording import canonical

NAME = "_name"
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "choice": ("options",),
    "randint": ("lower", "upper"),
    "uniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "loguniform": ("low", "high"),
    "qloguniform": ("low", "high", "q"),
    "normal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "lognormal": ("mu", "sigma"),
    "qlognormal": ("mu", "sigma", "q"),
}
"""NNI's search types and what stands in their ``_value``."""


@dataclass(frozen=True)
class Choice:
    """One of ``options``: JSON values, lists included."""

    options: tuple[Any, ...]

    def as_nni(self) -> dict[str, Any]:
        return {"_type": "choice", "_value": copy.deepcopy(list(self.options))}

    def size(self) -> int | None:
        return len(self._distinct)

    def at(self, index: int) -> Any:
        return copy.deepcopy(list(self._distinct.values())[index])

    def index(self, value: Any) -> int:
        """The inverse of ``at``; ValueError for a value that isn't among the options."""
        return list(self._distinct).index(canonical(value))

    def contains(self, value: Any) -> bool:
        return canonical(value) in self._distinct

    def extremes(self) -> tuple[Any, ...]:
        """Every option: a dry run has to try each."""
        return tuple(copy.deepcopy(option) for option in self.options)

    def restore(self, value: Any) -> Any:
        """``value`` as the option it is equal to."""
        return copy.deepcopy(self._distinct.get(canonical(value), value))

    @functools.cached_property
    def _distinct(self) -> dict[str, Any]:
        return {canonical(option): option for option in self.options}


@dataclass(frozen=True)
class Integers:
    """Whole numbers in [lower, upper)."""

    lower: int
    upper: int

    def as_nni(self) -> dict[str, Any]:
        return {"_type": "randint", "_value": [self.lower, self.upper]}

    def size(self) -> int | None:
        return self.upper - self.lower

    def at(self, index: int) -> Any:
        return self.lower + index

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.lower <= value < self.upper

    def extremes(self) -> tuple[Any, ...]:
        return (self.lower, self.upper - 1) if self.upper - self.lower > 1 else (self.lower,)

    def restore(self, value: Any) -> Any:
        return min(max(round(float(value)), self.lower), self.upper - 1)


@dataclass(frozen=True)
class Real:
    """Numbers of one of NNI's eight real types.

    ``first`` and ``second`` are low and high, or mu and sigma; ``q`` is the step of the q-types. For
    ``*lognormal`` mu and sigma belong to the logarithm, for ``*loguniform`` the bounds to the value.
    """

    kind: str
    first: float
    second: float
    q: float | None = None

    @property
    def is_bounded(self) -> bool:
        return self.kind.endswith("uniform")

    @property
    def is_log(self) -> bool:
        return "log" in self.kind

    def as_nni(self) -> dict[str, Any]:
        return {
            "_type": self.kind,
            "_value": [self.first, self.second, *([] if self.q is None else [self.q])],
        }

    def size(self) -> int | None:
        if not self.is_bounded:
            return None
        if self.first == self.second:
            return 1
        if self.q is None:
            return None
        return round(self.second / self.q) - round(self.first / self.q) + 1

    def at(self, index: int) -> Any:
        """Only for a domain that has a size."""
        return self.restore(self.first if self.q is None else (round(self.first / self.q) + index) * self.q)

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        if self.is_bounded and not self.first <= value <= self.second:
            return False
        if self.is_log and value < 0:
            return False
        return self.q is None or math.isclose(self.restore(value), value, rel_tol=1e-9, abs_tol=1e-12)

    def extremes(self) -> tuple[Any, ...]:
        """Both ends; three standard deviations where there is no end."""
        if self.is_bounded:
            ends = [float(self.first), float(self.second)]
        else:
            ends = [self.first - 3 * self.second, self.first + 3 * self.second]
            ends = [math.exp(end) for end in ends] if self.is_log else ends
        restored = [self.restore(end) for end in ends]
        return tuple(restored if restored[0] != restored[1] else restored[:1])

    def restore(self, value: Any) -> Any:
        """``value`` on the grid of q (as the decimal number a person would write), within the bounds."""
        number = float(value)
        if self.q is not None:
            number = float(Decimal(repr(self.q)) * round(number / self.q))
        if self.is_bounded:
            number = min(max(number, float(self.first)), float(self.second))
        return number


@dataclass(frozen=True)
class Branch:
    """One alternative of a nested choice."""

    name: str
    domains: Mapping[str, Domain]


@dataclass(frozen=True)
class Nested:
    """A choice between sub-spaces. A value is ``{"_name": …, sub-key: value, …}``, as NNI makes it."""

    branches: tuple[Branch, ...]

    def as_nni(self) -> dict[str, Any]:
        options = [
            {NAME: branch.name, **{key: domain.as_nni() for key, domain in branch.domains.items()}}
            for branch in self.branches
        ]
        return {"_type": "choice", "_value": options}

    def size(self) -> int | None:
        sizes = [combinations(branch.domains) for branch in self.branches]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def at(self, index: int) -> Any:
        """Only for a domain that has a size."""
        for branch in self.branches:
            size = combinations(branch.domains) or 0
            if index < size:
                return {NAME: branch.name, **combination(branch.domains, index)}
            index -= size
        raise IndexError(index)

    def contains(self, value: Any) -> bool:
        branch = self.branch(value)
        return branch is not None and contains_all(
            branch.domains, {key: v for key, v in value.items() if key != NAME}
        )

    def extremes(self) -> tuple[Any, ...]:
        """Every branch's name; the sub-keys have extremes of their own."""
        return tuple(branch.name for branch in self.branches)

    def restore(self, value: Any) -> Any:
        branch = self.branch(value)
        if branch is None:
            return copy.deepcopy(value)
        return {
            NAME: branch.name,
            **{k: d.restore(value[k]) for k, d in branch.domains.items() if k in value},
        }

    def branch(self, value: Any) -> Branch | None:
        """The branch that ``value`` was taken from."""
        name = value.get(NAME) if isinstance(value, Mapping) else None
        return next((branch for branch in self.branches if branch.name == name), None)


Domain = Choice | Integers | Real | Nested


def combinations(domains: Mapping[str, Domain]) -> int | None:
    """How many different sets of values there are; None when they can't be counted."""
    product = 1
    for domain in domains.values():
        size = domain.size()
        if size is None:
            return None
        product *= size
    return product


def combination(domains: Mapping[str, Domain], index: int) -> dict[str, Any]:
    """The set of values with that number, of a finite space; each index below ``combinations`` another."""
    found = {}
    for key, domain in domains.items():
        index, part = divmod(index, domain.size() or 1)
        found[key] = domain.at(part)
    return found


def contains_all(domains: Mapping[str, Domain], parameters: Mapping[str, Any]) -> bool:
    """Whether ``parameters`` has exactly the keys of ``domains``, each with an allowed value."""
    return parameters.keys() == domains.keys() and all(
        domain.contains(parameters[key]) for key, domain in domains.items()
    )
