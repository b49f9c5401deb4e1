"""A search space as NNI's tuners calculate with it, and their answers as exact values of ours.

Fixed domains are left out (NNI's TPE divides by their width), options are numbered (NNI compares them by
``==``, for which 1 and true are one) and integers can be ordered (NNI takes them as unordered categories:
an ask on 6.8 million of them takes 3 s and forgets that 17 is near 18).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from include.search.domains import NAME, Choice, Domain, Integers, Nested, Real

ORDERED = "ordered"
"""Integers as a real range, rounded: for tuners that model densities."""
GRID = "grid"
"""Narrow integers as they are, wide ones refined step by step like a range: for grids."""
PLAIN = "plain"
_WIDE = 64


def to_nni(domains: Mapping[str, Domain], integers: str) -> dict[str, Any]:
    """NNI's form of the domains that have more than one value."""
    return {key: _spec(domain, integers) for key, domain in domains.items() if domain.size() != 1}


def from_nni(domains: Mapping[str, Domain], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a tuner's answer stands for, fixed ones included."""
    found = {}
    for key, domain in domains.items():
        if domain.size() == 1:
            found[key] = domain.at(0)
        elif isinstance(domain, Choice):
            found[key] = domain.at(int(raw[key]))
        elif isinstance(domain, Nested):
            branch = domain.branches[int(raw[key][NAME])]
            found[key] = {NAME: branch.name, **from_nni(branch.domains, raw[key])}
        else:
            found[key] = domain.restore(raw[key])
    return found


def to_records(
    domains: Mapping[str, Domain], parameters: Mapping[str, Any], prefix: tuple[str | int, ...] = ()
) -> dict[tuple[str | int, ...], int | float]:
    """Parameters as TPE keeps them: path → number of the option, or the (logarithm of the) value.

    Keys whose value the space doesn't know (a person's own parameters) are left out.
    """
    records: dict[tuple[str | int, ...], int | float] = {}
    for key, domain in domains.items():
        if domain.size() == 1 or key not in parameters:
            continue
        path, value = (*prefix, key), parameters[key]
        if isinstance(domain, Nested):
            branch = domain.branch(value)
            if branch is not None:
                index = domain.branches.index(branch)
                records[path] = index
                records.update(to_records(branch.domains, value, (*path, index)))
        elif domain.contains(value):
            records[path] = _number(domain, value)
    return records


def to_indexed(domains: Mapping[str, Domain], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as Evolution keeps them: options with their number. They must lie in the space."""
    found: dict[str, Any] = {}
    for key, domain in domains.items():
        if domain.size() == 1:
            continue
        value = parameters[key]
        if isinstance(domain, Nested):
            branch = domain.branch(value)
            assert branch is not None
            index = domain.branches.index(branch)
            inner = {NAME: str(index), **to_indexed(branch.domains, value)}
            found[key] = {"_index": index, "_value": inner}
        elif isinstance(domain, Choice):
            found[key] = {"_index": domain.index(value), "_value": domain.index(value)}
        else:
            found[key] = value
    return found


def _spec(domain: Domain, integers: str) -> dict[str, Any]:
    if isinstance(domain, Choice):
        return {"_type": "choice", "_value": list(range(domain.size() or 0))}
    if isinstance(domain, Nested):
        options = [{NAME: str(n), **to_nni(b.domains, integers)} for n, b in enumerate(domain.branches)]
        return {"_type": "choice", "_value": options}
    if isinstance(domain, Integers):
        if integers == ORDERED:
            return {"_type": "uniform", "_value": [domain.lower - 0.5, domain.upper - 0.5]}
        if integers == GRID and domain.upper - domain.lower > _WIDE:
            return {"_type": "quniform", "_value": [domain.lower, domain.upper - 1, 1]}
    return domain.as_nni()


def _number(domain: Choice | Integers | Real, value: Any) -> int | float:
    if isinstance(domain, Choice):
        return domain.index(value)
    if isinstance(domain, Real) and domain.is_log:
        # a q-type of a small number may have been rounded to 0
        return math.log(max(value, (domain.q or 0) / 4, 1e-300))
    return float(value)
