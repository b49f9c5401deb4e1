"""``-Dedit_config_json``: read as EasyRec reads it, merged as the old system merged it (reference R7)."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import yaml

from include import names
from include.errors import ConfigError

CHECKPOINT_KEY = "train_config.fine_tune_checkpoint"
"""In a finetune the chain decides it, whatever the ini says."""
_MAX_KEY = 1000
"""EasyRec's YAML reader fails on longer keys (reference section 4)."""
_WAY_OUT = "write a patched config instead: parameters_via: patched_config"


def parse_edits(text: str) -> dict[str, Any]:
    """Edits by path, in order; JSON or the YAML that EasyRec would accept. ConfigError otherwise."""
    if not text.strip():
        return {}
    try:
        edits = json.loads(text)
    except (ValueError, RecursionError):
        edits = _from_yaml(text)
    if not isinstance(edits, dict) or not all(isinstance(key, str) for key in edits):
        raise ConfigError('not a mapping of config paths to values, e.g. {"model_config.l2": 0.1}')
    return {key: _plain(value) for key, value in edits.items()}


def merge_edits(base_json_text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The ini's own edits, then the trial's parameters over them (reference R7).

    A parameter replaces an edit of the same path, and parameters come last, so that they also win over
    edits that touch the same field by another selector.
    """
    base = {key: value for key, value in parse_edits(base_json_text).items() if key not in parameters}
    return {**base, **parameters}


def check_carriable(edit_config_json: str) -> None:
    """Refuse edits that EasyRec would read differently or not at all (reference section 4), and OSS paths
    that lead elsewhere.

    Raises ConfigError that names the edit and the way out.
    """
    for key, value in parse_edits(edit_config_json).items():
        where = f"edit_config_json {key[:80]!r}"
        if len(key) > _MAX_KEY:
            raise ConfigError(
                f"the path has {len(key)} characters, EasyRec reads at most {_MAX_KEY}",
                where=where,
                hint=_WAY_OUT,
            )
        if isinstance(value, str) and value.count(";") != key.count(";"):
            raise ConfigError("EasyRec cuts a value at ';'", where=where, hint=_WAY_OUT)
        names.refuse_upwards(json.dumps(value, ensure_ascii=False), where=where)


def _from_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"neither JSON nor YAML: {error.problem}{place}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"neither JSON nor YAML: {type(error).__name__}") from None


def _plain(value: Any) -> Any:
    # YAML makes dates of 2022-06-17; the config wants the text.
    return value.isoformat() if isinstance(value, datetime.date) else value
