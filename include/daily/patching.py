"""A day's pipeline config: the edits, the learning rate, and a look at the shapes (R22, R23, R28)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.daily.config_files import ConfigFiles
from include.errors import ConfigError, ProblemsError
from include.finetune.learning_rate import hand_over, overwritten_by_hand_over, rate_edit_lost
from include.finetune.shapes import ShapeChange, shape_changes
from include.pipeline_config import edit_text, fg_json_path


@dataclass(frozen=True)
class Patched:
    """``edits``: every value that the target holds now because of this patch, by path."""

    text: str
    edits: Mapping[str, Any]
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


def patch_config(
    files: ConfigFiles,
    *,
    source: str,
    target: str | None,
    edits: Mapping[str, Any] | str | None,
    learning_rate: float | Sequence[float] | str | None,
    overrides: Mapping[str, Any] | str | None = None,
    trained_config: str | None = None,
    force_shapes: bool = False,
    allow_unknown_fields: Sequence[str] = (),
) -> Patched:
    """Read ``source``, put edits, then the learning rate, then overrides into it, check it, write ``target``.

    Nothing is written when anything is wrong, nor without a ``target``: then the patch is only tried.
    ``edits``, ``learning_rate`` and ``overrides`` may be JSON texts, as templates render them. Raises
    ConfigError.
    """
    wanted, last = _mapping(edits), _mapping(overrides)
    rates = _rates(learning_rate)
    text = edit_text(files.read(source), wanted, allow_unknown_fields=allow_unknown_fields)
    changes = [f"{key} = {value}" for key, value in wanted.items()]
    warnings: list[str] = []
    if rates is not None:
        handed = hand_over(text, rates)
        text = handed.text
        changes += [str(change) for change in handed.changes]
        warnings += handed.warnings
        lost = overwritten_by_hand_over(wanted)
        warnings += [
            rate_edit_lost(key, wanted[key], f"{_in_words(rates)}, which is handed over,") for key in lost
        ]
        kept = {key: value for key, value in wanted.items() if key not in lost}
        # An override of a rate may name it in other words; what holds in the end is the override's.
        rates_hold = not overwritten_by_hand_over(last)
        wanted = {**kept, **({change.path: change.after for change in handed.changes} if rates_hold else {})}
    if last:
        text = edit_text(text, last, allow_unknown_fields=allow_unknown_fields)
        changes += [f"{key} = {value} (wins over the above)" for key, value in last.items()]
        wanted = {**wanted, **last}
    if trained_config:
        warnings += _shapes(shape_changes(files.read(trained_config), text), force_shapes)
        if fg_json_path(text):
            warnings.append("features of fg_json_path were not compared with the checkpoint's")
    if target is not None:
        files.write(target, text)
    return Patched(text, wanted, tuple(changes), tuple(warnings))


def _in_words(rates: float | Sequence[float]) -> str:
    return ", ".join(map(str, rates)) if isinstance(rates, Sequence) else str(rates)


def _shapes(changes: Sequence[ShapeChange], force: bool) -> list[str]:
    refused = [str(change) for change in changes if change.is_fatal]
    new = [str(change) for change in changes if not change.is_fatal]
    if refused and not force:
        raise ProblemsError(
            "the checkpoint's variables have other shapes; EasyRec would silently start these afresh",
            refused,
            hint="take the values back, start a new chain, or set force_shapes",
        )
    return [*refused, *new]


def _mapping(edits: Mapping[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(edits, str):
        try:
            edits = json.loads(edits or "{}")
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"edits are not JSON: {error}") from error
    if not isinstance(edits, Mapping | None):
        raise ConfigError("edits are not a mapping of config paths to values")
    return dict(edits or {})


def _rates(value: float | Sequence[float] | str | None) -> float | list[float] | None:
    """A number for every optimizer, or one for each; None (also of an empty list) leaves them."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() not in ("", "None") else None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"learning_rate {value!r} is not a number") from error
    if value is None or (isinstance(value, Sequence) and not value):
        return None
    rates: list[Any] = list(value) if isinstance(value, Sequence) else [value]
    if not all(isinstance(rate, int | float) and not isinstance(rate, bool) for rate in rates):
        raise ConfigError(f"learning_rate {value!r} is not a number, nor one per optimizer")
    return [float(rate) for rate in rates] if isinstance(value, Sequence) else float(rates[0])
