"""``./demo --help`` and ``./test --help`` in a fresh clone: help, and nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo_options import parser

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the two commands begin with; an install would fail, for it lacks the lock files."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for command in ("demo", "test"):
        shutil.copy(ROOT / command, tmp_path)
    return tmp_path


def run(clone: Path, command: str, *arguments: str) -> str:
    """What it prints; it succeeds, says nothing else and leaves nothing behind."""
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"}
    before = sorted(clone.rglob("*"))
    done = subprocess.run(
        [clone / command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(clone.rglob("*")) == before
    return done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("--trials", "2", "--help")])
def test_the_demo_lists_its_options(clone: Path, arguments: tuple[str, ...]) -> None:
    shown = run(clone, "demo", *arguments)
    assert [name for action in parser()._actions for name in action.option_strings if name not in shown] == []


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("tests/unit", "--help")])
def test_the_test_command_says_what_it_takes(clone: Path, arguments: tuple[str, ...]) -> None:
    shown = run(clone, "test", *arguments)
    assert shown.startswith("Runs every check")
    assert "./test tests/unit" in shown
    assert "set -euo" not in shown
