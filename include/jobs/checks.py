"""What can be known to be wrong with a job's ``-D`` parameters before anything is submitted."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib import resources

from include import names
from include.errors import ConfigError
from include.jobs._text import nearest
from include.jobs.edits import parse_edits

_TABLE_KEYS = ("train_tables", "eval_tables", "tables", "boundary_table")
_OSS_KEYS = ("config", "model_dir", "fine_tune_checkpoint", "export_dir")
_DEFAULT_CMD = "train"
_DEFAULT_EVAL = "separate"
_EVAL_METHODS = ("separate", "master", "none")
_VARIABLE = re.compile(r"\$\{\w+\}")


@functools.cache
def declared_parameters() -> Mapping[str, Mapping[str, str]]:
    """Parameters that the open ``easy_rec_ext`` xflow declares (reference R5), by name."""
    text = resources.files("include.jobs").joinpath("easy_rec_ext_parameters.json").read_text("utf-8")
    declared: Mapping[str, Mapping[str, str]] = json.loads(text)["parameters"]
    return declared


def check_parameters(
    parameters: Mapping[str, str], lines: Mapping[str, int], *, for_search: bool
) -> tuple[list[str], list[str]]:
    """``(problems, warnings)`` of the ``-D`` values; ``lines`` tells where each stands in the file."""
    check = _Check(parameters, lines)
    check.presence(for_search)
    check.command(for_search)
    check.paths()
    check.buckets()
    check.tables()
    check.cluster()
    check.numbers_and_edits()
    check.unknown()
    return check.problems, check.warnings


def check_command(command: str, own: Mapping[str, str], training: Mapping[str, str]) -> list[str]:
    """Problems of a further command's ``-D`` values; ``training``: those that it shares (reference section 4)."""
    problems = []
    if own.get("cmd", command) != command:
        problems.append(f"-Dcmd is {own['cmd']!r}: this section is for {command}")
    for key in ("model_dir", "checkpoint_path", "config"):
        if key in own:
            problems.append(f"-D{key} is set by the day that was trained: remove it")
    if command == "export" and not own.get("export_dir"):
        problems.append("-Dexport_dir is missing or empty")
    if command == "evaluate" and not (own.get("eval_tables") or training.get("eval_tables")):
        problems.append("-Deval_tables is missing or empty")
    workers = _workers(own.get("cluster", ""))
    if workers != 1:
        problems.append(
            f"-Dcluster must have exactly one worker for {command}, e.g. "
            '{"worker":{"count":1,"cpu":1000,"memory":40000}}'
        )
    shared = {key: training[key] for key in ("buckets",) if key in training}
    check = _Check({**shared, **own}, {})
    check.paths()
    check.buckets()
    check.tables()
    return problems + check.problems


def _workers(cluster: str) -> int | None:
    try:
        count = json.loads(cluster)["worker"]["count"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return count if isinstance(count, int) else None


class _Check:
    def __init__(self, parameters: Mapping[str, str], lines: Mapping[str, int]) -> None:
        self.values = parameters
        self.lines = lines
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def _at(self, key: str) -> str:
        return f"line {self.lines[key]}: -D{key}" if key in self.lines else f"-D{key}"

    def presence(self, for_search: bool) -> None:
        required = [k for k, v in declared_parameters().items() if v["use"] == "required"]
        for key in [*required, "config", "model_dir"]:
            if not self.values.get(key):
                self.problems.append(f"{self._at(key)} is missing or empty")
        needed = ("train_tables", "eval_tables") if for_search else ("train_tables",)
        if not self.values.get("tables"):
            for key in needed:
                if not self.values.get(key):
                    self.problems.append(f"{self._at(key)} is missing or empty (or set -Dtables)")

    def command(self, for_search: bool) -> None:
        command = self.values.get("cmd", _DEFAULT_CMD)
        if command != _DEFAULT_CMD:
            self.problems.append(f"{self._at('cmd')} is {command!r}: only train makes a model here")
        method = self.values.get("eval_method", _DEFAULT_EVAL)
        if method not in _EVAL_METHODS:
            self.problems.append(
                f"{self._at('eval_method')} is {method!r} ({nearest(method, _EVAL_METHODS)})"
            )
        elif method == "none" and for_search:
            self.problems.append(
                f"{self._at('eval_method')} is none: nothing would be evaluated, "
                "so the search had no metric; use separate or master"
            )

    def paths(self) -> None:
        config = self.values.get("config", "")
        if config and not re.fullmatch(r"oss://[^,\s]+\.config", config):
            self.problems.append(
                f"{self._at('config')} must be one oss://….config file, not {config!r} "
                "(.json, http and lists can't be edited)"
            )
        for key in _OSS_KEYS:
            value = self.values.get(key, "")
            if value and not (key == "config" and ("," in value or not value.startswith("oss://"))):
                try:
                    bucket_key = names.split_oss_url(value)[1]
                except ConfigError as error:
                    self.problems.append(f"{self._at(key)}: {error}")
                    continue
                if key == "config" and not bucket_key:
                    self.problems.append(f"{self._at(key)} names a bucket, not a file")
        for key in (key for key in self.values if key not in _OSS_KEYS):
            try:
                names.refuse_upwards(self.values[key])
            except ConfigError as error:
                self.problems.append(f"{self._at(key)}: {error}")

    def buckets(self) -> None:
        covered = {
            match[1]
            for part in self.values.get("buckets", "").split(",")
            if (match := re.match(r"\s*oss://([^/.?\s]+)", part))
        }
        if self.values.get("buckets") and not covered:
            self.problems.append(f"{self._at('buckets')} names no bucket (write oss://<bucket>/)")
            return
        for key in _OSS_KEYS:
            match = re.match(r"oss://([^/.?\s]+)", self.values.get(key, ""))
            if match and covered and match[1] not in covered:
                self.problems.append(
                    f"{self._at('buckets')} does not cover bucket {match[1]} of -D{key}: "
                    f"the job could not reach it (add oss://{match[1]}/)"
                )

    def tables(self) -> None:
        for key in _TABLE_KEYS:
            for url in filter(None, self.values.get(key, "").split(",")):
                try:
                    names.split_table_url(url.strip())
                except ConfigError as error:
                    self.problems.append(f"{self._at(key)}: {error}")

    def cluster(self) -> None:
        separate = self.values.get("eval_method", _DEFAULT_EVAL) == "separate"
        text = self.values.get("cluster", "")
        if not text:
            if separate:
                self.warnings.append("-Dcluster is not set: eval_method=separate needs at least two workers")
            return
        if _VARIABLE.search(text):
            return  # known only when a trial fills it in
        try:
            cluster = json.loads(text)
        except json.JSONDecodeError as error:
            self.problems.append(f"{self._at('cluster')} is not JSON: {error.msg} at character {error.pos}")
            return
        except (ValueError, RecursionError):
            self.problems.append(f"{self._at('cluster')} is not JSON that can be read")
            return
        if not isinstance(cluster, dict) or not all(isinstance(v, dict) for v in cluster.values()):
            self.problems.append(
                f"{self._at('cluster')} must map roles to resources, e.g. "
                '{"ps":{"count":1,"cpu":1000},"worker":{"count":3,"cpu":1000}}'
            )
            return
        workers = cluster.get("worker", {}).get("count", 0)
        if isinstance(workers, bool) or not isinstance(workers, int):
            self.problems.append(f"{self._at('cluster')}: worker.count must be a whole number")
        elif separate and workers < 2:
            self.problems.append(
                f"{self._at('cluster')} has {workers} worker(s): eval_method=separate takes one for "
                "evaluation and needs at least two"
            )

    def numbers_and_edits(self) -> None:
        hours = self.values.get("maxTrainingTimeInHour", "")
        if hours and not re.fullmatch(r"\d+", hours):
            self.problems.append(f"{self._at('maxTrainingTimeInHour')} must be whole hours, not {hours!r}")
        try:
            parse_edits(self.values.get("edit_config_json", ""))
        except ConfigError as error:
            self.problems.append(f"{self._at('edit_config_json')}: {error}")

    def unknown(self) -> None:
        for key in self.values:
            if key not in declared_parameters():
                known = nearest(key, declared_parameters())
                hint = f" ({known})" if known.startswith("did") else ""
                self.warnings.append(
                    f"{self._at(key)} is not among the xflow's declared parameters{hint}; it is sent as it is"
                )
