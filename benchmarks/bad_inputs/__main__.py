"""Broken files and requests by the thousand: each ends in one clear error, and nothing is written or submitted.

``python -m benchmarks.bad_inputs --cases 2000 --seed 1``. Files of the shipped model are damaged, one damage each,
and given to what the DAGs do first; so is the config that EasyRec saved beside a checkpoint. Form fields, commands,
control requests and the page's requests get values of the wrong kind. Some damage leaves a valid file (a comment cut
off, say): then it has to be accepted as a whole. Exits with 1 on a violation.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from benchmarks.bad_inputs.judging import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)  # what the inputs make the code say is not the point
    with tempfile.TemporaryDirectory() as folder:
        findings = run(arguments.cases, arguments.seed, Path(folder))
    print(f"{'what':40} refused accepted")
    for what in sorted({*findings.refused, *findings.accepted}):
        print(f"{what:40} {findings.refused[what]:7} {findings.accepted[what]:8}")
    total = findings.refused.total()
    print(
        f"{total} broken inputs refused with one error each, {findings.accepted.total()} were valid after all;"
    )
    print(f"{len(findings.violations)} violations; slowest answer {findings.slowest:.2f} s")
    for violation in findings.violations:
        print(f"  {violation}")
    return int(bool(findings.violations))


if __name__ == "__main__":
    sys.exit(main())
