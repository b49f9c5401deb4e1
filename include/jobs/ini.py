"""``config_begin.ini`` and ``config_finetune.ini`` (reference R3, R24), read once and checked.

The files are the old system's, with two differences: values of ``-D`` keys are kept verbatim (the old code
turned ``0.10`` into ``0.1``), and access keys are refused: they belong into Airflow connections.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.errors import ConfigError, ProblemsError
from include.jobs._text import holds_secret, is_secret_name, nearest
from include.jobs.checks import check_command, check_parameters
from include.texts import file_text

_SECTIONS: dict[str, tuple[str, ...]] = {
    "oss_config": ("endpoint",),
    "odps_config": ("project_name", "odps_endpoint"),
    "easyrec_cmd_config": (),
    "evaluate_cmd_config": (),
    "export_cmd_config": (),
    "metric_config": (),
}
_COMMAND = "easyrec_cmd_config"
_FURTHER = {"evaluate_cmd_config": "evaluate", "export_cmd_config": "export"}
_METRICS = "metric_config"
_COMMAND_KEYS = ("-name", "-project")
TRAIN = "train"
_ONLY_TRAINING = (
    "train_tables", "boundary_table", "cluster", "eval_method", "fine_tune_checkpoint", "with_evaluator",
)  # fmt: skip
_NO_TABLES = ("eval_tables", "tables", "selected_cols")


@dataclass(frozen=True)
class JobConfig:
    """A user's job as the ini describes it. Holds no secrets.

    ``parameters``: the ``-D`` keys without ``-D``, in the file's order, values verbatim (reference R5).
    ``weights``: metric tag to weight (R9). ``warnings``: what is odd but can be run.
    """

    path: Path
    xflow_name: str
    xflow_project: str
    parameters: Mapping[str, str]
    weights: Mapping[str, float]
    odps_project: str = ""
    odps_endpoint: str = ""
    oss_endpoint: str = ""
    warnings: tuple[str, ...] = ()
    commands: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further commands of a finetuned model (``evaluate``, ``export``): what they set besides or instead."""

    def of(self, command: str) -> dict[str, str]:
        """All ``-D`` values of ``train`` or of a further command; KeyError for one that the ini lacks."""
        if command == TRAIN:
            return dict(self.parameters)
        own = self.commands[command]
        dropped = (*_ONLY_TRAINING, *(_NO_TABLES if command == "export" else ()))
        kept = {k: v for k, v in self.parameters.items() if k not in dropped}
        return {**kept, **own, "cmd": command}


@dataclass(frozen=True)
class IniSecrets:
    """What ``import-connections`` moves out of an ini. The repr shows no secret."""

    access_key_id: str = field(default="", repr=False)
    access_key_secret: str = field(default="", repr=False)
    security_token: str = field(default="", repr=False)
    oss_endpoint: str = ""
    odps_project: str = ""
    odps_endpoint: str = ""


@dataclass(frozen=True)
class _Entry:
    section: str
    key: str
    value: str = field(repr=False)
    line: int


def load(path: Path | str, *, for_search: bool = True) -> JobConfig:
    """Read and check an ini file; see ``parse``."""
    return parse(file_text(Path(path)), path, for_search=for_search)


def parse(text: str, path: Path | str, *, for_search: bool = True) -> JobConfig:
    """Check the text of an ini file; ``path`` is only used in messages.

    ``for_search``: metrics are needed, so an evaluation and ``[metric_config]`` must be there.
    Raises ProblemsError with all problems at once, each with its line.
    """
    path = Path(path)
    entries, problems = _scan(text)
    problems += _secret_problems(entries, path)
    warnings: list[str] = []
    command: dict[str, str] = {}
    parameters: dict[str, str] = {}
    lines: dict[str, int] = {}
    commands: dict[str, dict[str, str]] = {}
    weights: dict[str, float] = {}
    ours: dict[str, str] = {}
    for entry in entries:
        if is_secret_name(entry.key):
            continue
        at = f"line {entry.line}: "
        if entry.section == _METRICS:
            _add_weight(entry, weights, problems, warnings)
        elif entry.section in _FURTHER:
            further = commands.setdefault(_FURTHER[entry.section], {})
            if entry.key.startswith("-D") and len(entry.key) > 2:
                further[entry.key[2:]] = entry.value
            else:
                problems.append(f"{at}unknown key {entry.key!r} in [{entry.section}] (known: -D<parameter>)")
        elif entry.section != _COMMAND:
            if entry.key in _SECTIONS[entry.section]:
                ours[entry.key] = entry.value
            else:
                known = nearest(entry.key, _SECTIONS[entry.section])
                problems.append(f"{at}unknown key {entry.key!r} in [{entry.section}] ({known})")
        elif entry.key in _COMMAND_KEYS:
            command[entry.key] = entry.value
        elif entry.key.startswith("-D") and len(entry.key) > 2:
            parameters[entry.key[2:]] = entry.value
            lines[entry.key[2:]] = entry.line
        else:
            known = nearest(entry.key, [*_COMMAND_KEYS, "-D<parameter>"])
            problems.append(f"{at}unknown key {entry.key!r} in [{_COMMAND}] ({known})")
    for key in _COMMAND_KEYS:
        if not command.get(key):
            problems.append(f"[{_COMMAND}] {key} is missing or empty")
    if for_search and not any(entry.section == _METRICS for entry in entries):
        problems.append(f"[{_METRICS}] is missing or empty: write <tag>=<weight>, e.g. auc=1")
    elif weights and not any(weights.values()):
        problems.append(f"[{_METRICS}] every weight is 0: the objective would always be 0")
    found, odd = check_parameters(parameters, lines, for_search=for_search)
    problems += found
    warnings += odd
    for section, name in _FURTHER.items():
        if name in commands:
            problems += [f"[{section}] {p}" for p in check_command(name, commands[name], parameters)]
    if problems:
        raise ProblemsError("the ini can't be used", problems, where=str(path))
    return JobConfig(
        path=path,
        xflow_name=command["-name"],
        xflow_project=command["-project"],
        parameters=parameters,
        weights=weights,
        odps_project=ours.get("project_name", ""),
        odps_endpoint=ours.get("odps_endpoint", ""),
        oss_endpoint=ours.get("endpoint", ""),
        warnings=tuple(warnings),
        commands=commands,
    )


def read_secrets(path: Path | str) -> IniSecrets:
    """Access keys and endpoints of an old ini, for ``import-connections``. Nothing is logged.

    Raises ConfigError when the file can't be read or two sections hold different keys.
    """
    path = Path(path)
    entries, _ = _scan(file_text(path))
    found: dict[str, str] = {}
    for entry in entries:
        if not is_secret_name(entry.key):
            continue
        kind = _secret_kind(entry.key)
        if found.setdefault(kind, entry.value) != entry.value:
            raise ConfigError(
                f"a second, different {entry.key}",
                where=f"{path}:{entry.line}",
                hint="remove one of them, or make the connections by hand",
            )
    plain = {(e.section, e.key): e.value for e in entries}
    return IniSecrets(
        **found,
        oss_endpoint=plain.get(("oss_config", "endpoint"), ""),
        odps_project=plain.get(("odps_config", "project_name"), ""),
        odps_endpoint=plain.get(("odps_config", "odps_endpoint"), ""),
    )


def without_secrets(text: str) -> str:
    """The same text without the lines that hold credentials, everything else byte for byte."""
    kept = []
    for line in text.splitlines(keepends=True):
        key, equals, _ = line.lstrip("\ufeff").partition("=")
        if not (equals and is_secret_name(key.strip())):
            kept.append(line)
    return "".join(kept)


def _scan(text: str) -> tuple[list[_Entry], list[str]]:
    """Key-value lines with their section, and what is wrong with the lines themselves."""
    entries: list[_Entry] = []
    problems: list[str] = []
    section: str | None = None
    section_lines: dict[str, int] = {}
    key_lines: dict[tuple[str, str], int] = {}
    # split("\n"), not splitlines(): a value may hold a form feed or U+2028
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.strip()
        at = f"line {number}: "
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            header = re.fullmatch(r"\[\s*([^\[\]]*?)\s*\]", line)
            section = header[1] if header else None
            if section not in _SECTIONS:
                shown = f"unknown section [{section}]" if header else "not a section header"
                problems.append(f"{at}{shown} ({nearest(section or '', _SECTIONS)})")
                section = ""
            elif section in section_lines:
                problems.append(f"{at}section [{section}] is already at line {section_lines[section]}")
            else:
                section_lines[section] = number
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip()
        # The line itself is never shown: it may hold a secret.
        if not equals or not key:
            problems.append(f"{at}expected <key>=<value>")
        elif section is None:
            problems.append(f"{at}{key!r} stands before the first section")
        elif not section and not is_secret_name(key):
            continue  # the unknown section has been reported
        elif (section, key) in key_lines:
            problems.append(f"{at}{key!r} is already set at line {key_lines[section, key]}")
        else:
            key_lines[section, key] = number
            entries.append(_Entry(section, key, _unquote(value.strip()), number))
    return entries, problems


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _secret_problems(entries: list[_Entry], path: Path) -> list[str]:
    problems = []
    for entry in entries:
        if is_secret_name(entry.key):
            where = f"{entry.key} must not be in this file"
        elif holds_secret(entry.value):
            where = f"the value of {entry.key} holds an access key or token"
        else:
            continue
        problems.append(
            f"line {entry.line}: {where}: keys live in Airflow connections; "
            f"move them with: python -m include.cli import-connections {path}"
        )
    return problems


def _secret_kind(key: str) -> str:
    name = key.lower()
    if "token" in name:
        return "security_token"
    return "access_key_secret" if "secret" in name else "access_key_id"


def _add_weight(entry: _Entry, weights: dict[str, float], problems: list[str], warnings: list[str]) -> None:
    try:
        weight = float(entry.value)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        problems.append(
            f"line {entry.line}: the weight of {entry.key} is not a finite number: {entry.value!r}"
        )
        return
    weights[entry.key] = weight
    if weight == 0:
        warnings.append(f"line {entry.line}: {entry.key} has weight 0: it is shown but does not count")
