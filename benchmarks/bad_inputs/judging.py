"""Runs cases and judges what came of each."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bad_inputs import commands, files, requests
from benchmarks.bad_inputs.lab import Case, Lab
from include.errors import EasyRecAutoMLError

SLOW = 5.0
"""Seconds of our own work that no answer may take, whatever else the machine does."""
LONGEST = 20_000
"""Characters of an error that somebody could still read."""


@dataclass
class Findings:
    refused: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0


def cases(lab: Lab, rng: random.Random) -> Iterator[Case]:
    """Without end; each takes the lab as it is shipped."""
    makers = [*files.CASES, *requests.CASES, *commands.CASES]
    while True:
        yield rng.choice(makers)(lab, rng)


def check(lab: Lab, case: Case, findings: Findings) -> None:
    """Run one case and judge what came of it."""
    started = time.process_time()
    label = f"{case.what}: {case.damage}"
    try:
        case.run()
        findings.accepted[case.what] += 1
    except EasyRecAutoMLError as error:
        findings.refused[case.what] += 1
        text = str(error)
        if not text.strip() or len(text) > LONGEST or "Traceback" in text:
            findings.violations.append(f"{label}: an error of {len(text)} characters: {text[:200]!r}")
        if lab.touched():
            findings.violations.append(f"{label}: refused, but {lab.touched()}")
    except Exception as error:  # noqa: BLE001 - finding these is the point
        findings.violations.append(f"{label}: {type(error).__name__}: {str(error)[:200]}")
    took = time.process_time() - started
    findings.slowest = max(findings.slowest, took)
    if took > SLOW:
        findings.violations.append(f"{label}: took {took:.1f} s")


def run(count: int, seed: int, folder: Path) -> Findings:
    """``count`` cases from a seed."""
    rng, findings = random.Random(seed), Findings()
    lab = Lab(folder)
    stream = cases(lab, rng)
    for _ in range(count):
        check(lab, next(stream), findings)
        lab.store.close()
        lab.fresh()
    return findings
