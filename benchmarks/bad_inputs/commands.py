"""Commands with options and files that make no sense."""

from __future__ import annotations

import contextlib
import io
import random

from benchmarks.bad_inputs.files import damaged_config
from benchmarks.bad_inputs.lab import Case, Lab
from include.cli import main as cli
from include.errors import EasyRecAutoMLError

COMMANDS = ("check", "experiments", "limits", "stop", "pause", "resume", "add", "clone", "retry", "extend", "days",
            "promote", "rollback", "adopt", "logview", "modify-pipeline-config")  # fmt: skip


def _command_case(lab: Lab, rng: random.Random) -> Case:
    words = ["--trials", "--trial", "--json", "--to", "--hours", "--change", "--pipeline-config", "--reason",
             "--store", str(lab.model), "20220617", "-1", "nan", "", "../..", "movielens-00000000", "{", "{}", "a\0b",
             "~no.such.person/x", "9" * 400, '{"a": NaN}']  # fmt: skip
    given = [rng.choice(COMMANDS), *(rng.choice(words) for _ in range(rng.randrange(4)))]

    def run() -> None:
        _cli([*given, "--store", f"sqlite:///{lab.model.parent / 'template.db'}"][: len(given) + 2])

    return Case(f"command {given[0]}", " ".join(given[1:])[:30], run)


def _editor_case(lab: Lab, rng: random.Random) -> Case:
    """The commands that read a local pipeline config."""
    damage, damaged = damaged_config(rng)
    rate = rng.choice(("1e-6", "1e-6", "1e-6", "1e-6,1e-5", "nan", "-1", "1e999", "", "x"))
    odd = rng.choice(("a\0b", "~no.such.person/x", "", str(lab.model), "/proc/1/mem"))
    source, target = str(lab.source), str(lab.target)
    if rng.random() < 0.2:
        damage, source, target = rng.choice(
            ((f"from {odd!r}", odd, target), (f"to {odd!r}", source, odd) if odd else ("", odd, target))
        )
    edit = ["modify-pipeline-config", f"--pipeline-config-path={source}", f"--save-path={target}"]
    look = ["check", str(lab.model), f"--pipeline-config={source}"]
    given = rng.choice(([*edit, f"--learning-rate={rate}"], look))

    def run() -> None:
        lab.source.write_bytes(damaged)
        _cli(given)

    return Case(f"editor {given[0]}", damage, run)


def _cli(given: list[str]) -> None:
    """Raises EasyRecAutoMLError with all that was said when the command does not succeed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = cli(given)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
    if code:
        raise EasyRecAutoMLError(said.getvalue())


CASES = (*[_command_case] * 2, *[_editor_case] * 2)
