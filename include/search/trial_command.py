"""``trialCommand`` of the old system: where the ini lies and which days a finetune search runs (R1, R26)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import date, datetime

from include.search.wording import nearest

_OPTIONS = {
    "--config": "the ini file",
    "--exp_dir": "local results lie in the experiment store",
    "--start_time": "",
    "--end_time": "",
}
FINETUNE = "finetune"
BEGIN = "begin"


@dataclass(frozen=True)
class TrialCommand:
    """``config`` as written; dates are both inclusive and None in a begin search."""

    config: str
    kind: str
    start_date: date | None = None
    end_date: date | None = None


def parse(text: str) -> tuple[TrialCommand | None, list[str]]:
    """The command's meaning (None when there is no ini to be found) and what is wrong with it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return None, [f"not readable as a command: {str(error).lower()}"]
    script = next((word.rsplit("/", 1)[-1] for word in words if word.endswith(".py")), "")
    options, problems = _options(words)
    start = _day("--start_time", options, problems)
    end = _day("--end_time", options, problems)
    dated = "--start_time" in options or "--end_time" in options
    kind = FINETUNE if "finetune" in script or dated else BEGIN
    if kind == FINETUNE and not ("--start_time" in options and "--end_time" in options):
        problems.append("a finetune search needs both --start_time and --end_time, like 2022-05-30")
    if start and end and start > end:
        problems.append(f"--start_time {start} is after --end_time {end}")
    if not options.get("--config"):
        problems.append("--config=<ini file> is missing, e.g. --config=./config_begin.ini")
        return None, problems
    return TrialCommand(options["--config"], kind, start, end), problems


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """``--key=value`` and ``--key value``."""
    options: dict[str, str] = {}
    problems: list[str] = []
    for position, word in enumerate(words):
        if not word.startswith("--") or word == "--":
            continue
        key, equals, value = word.partition("=")
        if not equals and position + 1 < len(words) and not words[position + 1].startswith("--"):
            value = words[position + 1]
        if key not in _OPTIONS:
            problems.append(f"unknown option {key}; {nearest(key, _OPTIONS)}")
        elif key in options:
            problems.append(f"{key} stands there twice")
        elif not value:
            problems.append(f"{key} has no value")
        options.setdefault(key, value)
    return options, problems


def _day(key: str, options: dict[str, str], problems: list[str]) -> date | None:
    text = options.get(key)
    if not text:
        return None
    for form in ("%Y-%m-%d", "%Y%m%d"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a business date has no zone
        except ValueError:
            continue
    problems.append(f"{key} {text!r} is not a date like 2022-05-30")
    return None
