"""``config.yml``, NNI's experiment file, read into a ``SearchConfig`` (reference R1).

Every key of NNI's is supported, accepted with a note that it has no meaning here, or refused with the
reason. As in NNI, case and underscores of keys don't matter (``trialConcurrency``, ``trial_concurrency``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from include.errors import ConfigError, EasyRecAutoMLError, ProblemsError
from include.search import _config_keys as keys
from include.search import assessors, space, trial_command, yaml_document
from include.search.assessors import MODES
from include.search.space import SearchSpace
from include.search.trial_command import BEGIN, TrialCommand
from include.search.wording import nearest
from include.texts import file_text

DEFAULT_TUNER = "TPE"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_DAYS = 3650
_MOST_CONCURRENCY = 10_000
"""Slots of a pool; what a database's integer can't hold would keep our plugin from loading."""


@dataclass(frozen=True)
class ClassConfig:
    """A tuner or an assessor: built in by ``name``, or ``class_name`` in ``code_directory``."""

    name: str | None = None
    class_args: Mapping[str, Any] = field(default_factory=dict)
    class_name: str | None = None
    code_directory: Path | None = None

    def __str__(self) -> str:
        return self.name or str(self.class_name)


@dataclass(frozen=True)
class SearchConfig:
    """Settings of one search. ``max_*``: None means no limit."""

    path: Path
    """The ``config.yml`` itself."""
    ini_path: Path
    search_space_path: Path | None
    """None: the space stands in ``config.yml`` (``inline_space``)."""
    inline_space: SearchSpace | None
    concurrency: int
    max_trials: int | None
    max_duration: timedelta | None
    max_trial_duration: timedelta | None
    optimize_mode: str
    """``maximize`` or ``minimize``, the same for tuner and assessor."""
    tuner: ClassConfig
    assessor: ClassConfig | None
    kind: str = BEGIN
    """``begin`` or ``finetune``."""
    start_date: date | None = None
    end_date: date | None = None
    """First and last day of a finetune search, both inclusive (reference R26)."""
    experiment_name: str | None = None
    notes: tuple[str, ...] = ()
    """What was accepted and has no meaning here, and what was assumed."""


def load(path: str | Path) -> SearchConfig:
    """Read a file; ConfigError when it can't be read, else as ``parse``."""
    path = Path(path)
    return parse(file_text(path), path)


def parse(text: str, path: str | Path) -> SearchConfig:
    """Read the text of a ``config.yml``; paths in it are relative to ``path``'s folder. Opens no file.

    Raises ConfigError when it isn't YAML, ProblemsError with every mistake, its line and key otherwise.
    """
    path = Path(path)
    document = yaml_document.loads(text, str(path))
    if not isinstance(document.value, dict):
        raise ConfigError(
            "config.yml must hold keys and values",
            where=str(path),
            hint="start with trialCommand, searchSpaceFile, trialConcurrency and tuner",
        )
    return _Reader(path, document).config()


class _Reader:
    def __init__(self, path: Path, document: yaml_document.Document) -> None:
        self._path = path
        self._folder = path.parent
        self._lines = document.lines
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._mode_given: dict[str, str] = {}
        for key, first, second in document.duplicates:
            self._wrong(".".join(map(str, key)), f"stands there twice, in lines {first} and {second}", *key)
        self._values = self._known_keys(document.value)

    def config(self) -> SearchConfig:
        command = self._command()
        max_trials = self._whole("maxTrialNumber")
        tuner = self._class("tuner") or ClassConfig(DEFAULT_TUNER)
        if "tuner" not in self._values:
            self._notes.append(f"tuner isn't given: {DEFAULT_TUNER}")
        assessor = self._class("assessor")
        mode = self._mode()
        assessor = self._check_assessor(assessor, mode)
        self._training_service()
        space_path, inline = self._space()
        config = SearchConfig(
            path=self._path,
            ini_path=self._ini_path(command),
            search_space_path=space_path,
            inline_space=inline,
            concurrency=self._whole("trialConcurrency", most=_MOST_CONCURRENCY) or 1,
            max_trials=max_trials,
            max_duration=self._duration("maxExperimentDuration"),
            max_trial_duration=self._duration("maxTrialDuration"),
            optimize_mode=mode,
            tuner=tuner,
            assessor=assessor,
            kind=command.kind if command else BEGIN,
            start_date=command.start_date if command else None,
            end_date=command.end_date if command else None,
            experiment_name=self._text("experimentName"),
            notes=tuple(self._notes),
        )
        if self._problems:
            raise ProblemsError(
                f"config.yml has {len(self._problems)} mistake(s)", self._problems, where=str(self._path)
            )
        return config

    def _known_keys(self, raw: dict[Any, Any]) -> dict[str, Any]:
        """The supported keys' values by their canonical names; every other key is noted or refused."""
        known = {
            _folded(key): key for key in (*keys.SUPPORTED, *keys.NO_MEANING, *keys.REFUSED, *keys.VERSION_1)
        }
        known |= {_folded(key): key for key in ("useAnnotation", "experimentType")}
        values: dict[str, Any] = {}
        for written, value in raw.items():
            key = known.get(_folded(written))
            if key is None:
                names = [*keys.SUPPORTED, *keys.NO_MEANING]
                self._wrong(str(written), f"unknown key; {nearest(written, names)}")
            elif key in keys.VERSION_1:
                self._wrong(str(written), f"is NNI version 1; {keys.VERSION_1[key]}")
            elif key in keys.REFUSED:
                self._wrong(str(written), keys.REFUSED[key])
            elif key in keys.NO_MEANING:
                self._notes.append(f"{written} has no meaning here: {keys.NO_MEANING[key]}")
            elif key == "useAnnotation":
                if value:
                    self._wrong(str(written), "annotations aren't supported; give a searchSpaceFile")
            elif key == "experimentType":
                if value != "hpo":
                    self._wrong(str(written), f"only hpo is supported, not {value!r}")
            elif key in values:
                self._wrong(str(written), f"is {key}, which is given already")
            elif value is not None:
                values[key] = value
                self._lines = {**self._lines, (key,): self._lines.get((str(written),), 0)}
        return values

    def _command(self) -> TrialCommand | None:
        text = self._text("trialCommand")
        if text is None:
            if "trialCommand" not in self._values:
                self._wrong(
                    "trialCommand", "is missing; e.g. python3 ./run_begin.py --config=./config_begin.ini"
                )
            return None
        command, problems = trial_command.parse(text)
        for problem in problems:
            self._wrong("trialCommand", problem)
        return command

    def _ini_path(self, command: TrialCommand | None) -> Path:
        folder = self._folder / (self._text("trialCodeDirectory") or ".")
        return folder / command.config if command else folder

    def _space(self) -> tuple[Path | None, SearchSpace | None]:
        name, inline = self._text("searchSpaceFile"), self._values.get("searchSpace")
        if name is not None and inline is not None:
            self._wrong("searchSpace", "give searchSpaceFile or searchSpace, not both")
        if name is not None:
            return self._folder / name, None
        if inline is None:
            if "searchSpaceFile" not in self._values:
                self._wrong("searchSpaceFile", "is missing, e.g. search_space.json")
            return None, None
        try:
            return None, space.from_dict(inline, "searchSpace")
        except ProblemsError as error:
            for problem in error.problems:
                self._wrong("searchSpace", problem)
        except EasyRecAutoMLError as error:
            self._wrong("searchSpace", error.message)
        return None, None

    def _class(self, key: str) -> ClassConfig | None:
        """``tuner`` or ``assessor``; None when it isn't there (or wrong, which was noted)."""
        raw = self._values.get(key)
        if raw is None:
            return None
        if not isinstance(raw, dict):
            self._wrong(key, f"must hold name and classArgs, not {raw!r}")
            return None
        known = {_folded(name): name for name in (*keys.CLASS_KEYS, *keys.CLASS_VERSION_1)}
        values: dict[str, Any] = {}
        for written, value in raw.items():
            name = known.get(_folded(written))
            if name is None:
                self._wrong(
                    f"{key}.{written}", f"unknown key; {nearest(written, keys.CLASS_KEYS)}", key, written
                )
            elif name in keys.CLASS_VERSION_1:
                self._wrong(
                    f"{key}.{written}", f"is NNI version 1; {keys.CLASS_VERSION_1[name]}", key, written
                )
            elif value is not None:
                values[name] = value
        for name in ("name", "className", "codeDirectory"):
            if not isinstance(values.get(name, ""), str):
                self._wrong(f"{key}.{name}", f"must be a text, not {values.pop(name)!r}", key, name)
        args = values.get("classArgs", {})
        if not isinstance(args, dict) or not all(isinstance(name, str) for name in args):
            self._wrong(f"{key}.classArgs", f"must hold keys and values, not {args!r}", key, "classArgs")
            args = {}
        if args.get("optimize_mode") is not None:
            if args["optimize_mode"] in MODES:
                self._mode_given[key] = args["optimize_mode"]
            else:
                problem = f"must be maximize or minimize, not {args['optimize_mode']!r}"
                self._wrong(f"{key}.classArgs.optimize_mode", problem, key, "classArgs", "optimize_mode")
        return self._named_class(key, values, args)

    def _named_class(self, key: str, values: dict[str, Any], args: dict[str, Any]) -> ClassConfig | None:
        name, class_name = values.get("name"), values.get("className")
        directory = self._folder / values["codeDirectory"] if "codeDirectory" in values else None
        if name and class_name:
            self._wrong(key, "give name (built in) or className (your own), not both")
        if not name and not class_name:
            self._wrong(key, "needs a name, e.g. TPE or PAIAssessor, or a className with its codeDirectory")
            return None
        builtin = str(name or class_name)
        if key == "assessor" and assessors.is_pai(builtin):
            if class_name:
                self._notes.append(
                    f"assessor {class_name} is the built-in one; codeDirectory isn't looked into "
                    "(a changed copy needs another class name)"
                )
            return ClassConfig(assessors.PAI, args)
        if name and directory is not None:
            self._wrong(f"{key}.codeDirectory", "belongs to a className, not to a name", key, "codeDirectory")
        if class_name and "." not in class_name:
            self._wrong(f"{key}.className", f"{class_name!r} must be <file>.<class>", key, "className")
        if class_name:
            return ClassConfig(None, args, class_name, directory or self._folder)
        return ClassConfig(name, args)

    def _mode(self) -> str:
        given = self._mode_given
        if given.get("tuner") and given.get("assessor") and given["tuner"] != given["assessor"]:
            self._wrong(
                "assessor.classArgs.optimize_mode",
                f"is {given['assessor']}, the tuner's is {given['tuner']}: they must agree",
                "assessor",
                "classArgs",
                "optimize_mode",
            )
        if not given:
            self._notes.append("optimize_mode isn't given: maximize (NNI's TPE alone would minimize)")
        return given.get("tuner") or given.get("assessor") or "maximize"

    def _check_assessor(self, assessor: ClassConfig | None, mode: str) -> ClassConfig | None:
        """Arguments of the assessors that are known here; the others are checked when they are loaded."""
        if assessor is None or assessor.name is None:
            return assessor
        if assessor.name == "Curvefitting":
            if mode == "minimize":
                self._wrong("assessor", "Curvefitting can only maximize; use Medianstop")
            return assessor
        if "platform" in assessor.class_args:
            self._notes.append("assessor platform has no meaning here: jobs run on MaxCompute")
        filled = ClassConfig(assessor.name, {**assessor.class_args, "optimize_mode": mode})
        try:
            assessors.create(assessor.name, filled.class_args)
        except ProblemsError as error:
            for problem in error.problems:
                self._wrong("assessor.classArgs", problem, "assessor", "classArgs")
        except EasyRecAutoMLError as error:
            self._wrong("assessor", f"{error.message}; {error.hint}")
        return filled

    def _training_service(self) -> None:
        raw = self._values.get("trainingService", {"platform": "local"})
        services = raw if isinstance(raw, list) else [raw]
        for service in services:
            platform = service.get("platform") if isinstance(service, dict) else service
            if platform != "local" or len(services) > 1:
                self._wrong(
                    "trainingService",
                    f"only platform: local is supported, not {platform!r}: "
                    "the jobs run on MaxCompute, as the ini says",
                )
                continue
            folded = {_folded(key) for key in (*keys.SERVICE_NO_MEANING, "platform")}
            for key in service if isinstance(service, dict) else ():
                if _folded(key) not in folded:
                    problem = f"unknown key; {nearest(key, keys.SERVICE_NO_MEANING)}"
                    self._wrong(f"trainingService.{key}", problem, "trainingService", key)
                elif _folded(key) != "platform":
                    self._notes.append(f"trainingService.{key} has no meaning here: jobs run on MaxCompute")

    def _whole(self, key: str, most: int = 2**31 - 1) -> int | None:
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self._wrong(key, f"must be a whole number from 1 to {most}, not {_shown(value)}")
            return None
        return value

    def _text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        self._wrong(key, f"must be a text, not {value!r}")
        return None

    def _duration(self, key: str) -> timedelta | None:
        """``2h``, ``30m``, ``1d``, ``90s``, or a number of seconds."""
        value = self._values.get(key)
        if value is None:
            return None
        try:
            if isinstance(value, str):
                text = value.strip().lower()
                seconds = float(text[:-1]) * _UNITS[text[-1]] if text[-1:] in _UNITS else float(text)
            elif isinstance(value, bool):
                raise ValueError(value)
            else:
                seconds = float(value)
            if not 0 < seconds <= _MOST_DAYS * _UNITS["d"]:
                raise ValueError(value)
            return timedelta(seconds=math.ceil(seconds))
        except (TypeError, ValueError, OverflowError):
            self._wrong(
                key,
                f"must be a time like 2h, 30m, 1d or seconds (at most {_MOST_DAYS}d), not {_shown(value)}",
            )
            return None

    def _wrong(self, key: str, problem: str, *path: Any) -> None:
        line = self._lines.get(tuple(path) or (key,))
        place = f"line {line}, " if line else ""
        self._problems.append(f"{place}{key}: {problem}")


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python doesn't write out integers of thousands of digits
        return "this number"


def _folded(key: Any) -> str:
    return str(key).lower().replace("_", "")
