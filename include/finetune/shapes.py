"""What a checkpoint fixes: changes of a config that its variables can't follow (reference R28, section 4).

EasyRec leaves a variable whose shape or name differs from the checkpoint's freshly initialised, with a log
line only. These checks are the only guard: a change is refused, or a warning where it only adds variables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import ConfigEditError
from include.finetune import model_shapes
from include.finetune.changes import Effect, ShapeChange, added, dropped, remapped, reshaped, unknown
from include.finetune.feature_shapes import Config, FeatureShape, Group, Uses, read
from include.finetune.shape_fields import POOLED_GROUPS, RULES
from include.pipeline_config import edit_text, with_fg_features
from include.pipeline_config.check import DomainError, nested_options, representatives
from include.pipeline_config.fields import FieldSpec, table
from include.pipeline_config.keys import parse_keys
from include.pipeline_config.reader import parse
from include.pipeline_config.view import View

__all__ = ["Effect", "ShapeChange", "ShapeKey", "shape_changes", "shape_keys"]

_ASPECTS: Mapping[str, tuple[str, ...]] = {
    "table": (
        "embedding_name", "feature_type", "sub_feature_type", "feature_name", "boundaries", "num_buckets",
        "min_val", "max_val", "kv_separator", "combo_join_sep", "input_names",
    ),
    "storage": ("ev_params", "max_partitions"),
    "rows": (
        "hash_bucket_size", "vocab_list", "vocab_file", "num_buckets", "boundaries", "raw_input_dim", "min_val",
        "max_val",
    ),
    "columns": ("embedding_dim",),
    "width": ("embedding_dim", "raw_input_dim", "sequence_length", "sequence_combiner"),
}  # fmt: skip
"""Which fields of a feature can change what, the likeliest first."""


@dataclass(frozen=True)
class ShapeKey:
    """A key of a search space or of edits that changes what variables there are.

    ``field``: where it ends, as ``Message.field``. ``is_fatal``: existing variables would start afresh.
    """

    key: str
    field: str
    reason: str
    is_fatal: bool

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


def shape_changes(
    trained_config_text: str, config_text: str, *, fg_config: str | None = None
) -> list[ShapeChange]:
    """How the variables of ``config_text`` differ from those of the config that trained a checkpoint.

    ``trained_config_text``: ``<model_dir>/pipeline.config`` of the checkpoint. Features, towers and groups
    are told apart by name, so one that only moved is no change; what changes no variable (rates, dropout,
    regularization, steps, …) is not in the list. Refuse to train when one ``is_fatal``, warn of the others.
    Where EasyRec loads features from ``fg_json_path``, they are only compared with ``fg_config`` (text format,
    not that JSON: see ``with_fg_features``). Of a job with ``-Dboundary_table``, which puts bounds into the
    config that EasyRec saves, give the text that was sent to it.

    Raises ConfigEditError when a text can't be read.
    """
    after = config_text if fg_config is None else with_fg_features(config_text, fg_config)
    return _compared(read(trained_config_text), read(after))


def shape_keys(
    keys: Mapping[str, Any] | Iterable[str],
    config_text: str,
    *,
    fg_config: str | None = None,
    allow_unknown_fields: Collection[str] | bool = False,
) -> list[ShapeKey]:
    """Which keys would change the variables of a model that ``config_text`` describes, in their order.

    ``keys``: a search space (key to ``{"_type", "_value"}``), edits (key to value), or keys alone. With values
    each is tried on the config: a value that changes nothing is fine, a message counts for what it holds.
    Without values, or where a value does not fit, the field at which the key ends decides.

    Raises ConfigEditError when the text or a key can't be read (``check_edits`` reports all of those).
    """
    text = config_text if fg_config is None else with_fg_features(config_text, fg_config)
    judge = _Judge(text, allow_unknown_fields)
    pairs = keys.items() if isinstance(keys, Mapping) else [(key, None) for key in keys]
    return [found for key, value in _flat(pairs) if (found := judge.judged(key, value)) is not None]


def _compared(old: Config, new: Config) -> list[ShapeChange]:
    found = [
        *_features(old, new),
        *_groups(old, new),
        *model_shapes.compare("EasyRecModel", old.model, new.model, "model_config"),
        *_optimizers(old, new),
    ]
    if old.hidden_features or new.hidden_features:
        found.append(unknown("fg_json_path", "its features are not seen here, so they were not compared"))
    return list(dict.fromkeys(found))


# Features


def _features(old: Config, new: Config) -> Iterator[ShapeChange]:
    before, after = old.uses(), new.uses()
    for name, feature in new.features.items():
        if name in after.all and name in before.all and name in old.features:
            yield from _feature(old.features[name], feature, before, after)
        elif name in after.all and not (name in before.all and old.hidden_features):
            yield added(feature.path, f"feature {name} is new: it starts untrained")
    for name, feature in old.features.items():
        if name in before.all and name not in after.all:
            yield dropped(feature.path, f"feature {name} is no longer read")


def _feature(old: FeatureShape, new: FeatureShape, before: Uses, after: Uses) -> Iterator[ShapeChange]:
    if before.has_table(old) != after.has_table(new):
        what = "an embedding table" if after.has_table(new) else "a number as it is"
        yield reshaped(_at("width", old, new), f"{new.name} becomes {what}: what reads it gets another width")
    elif after.has_table(new):
        yield from _table(old, new, deep=new.name in before.deep & after.deep)
    elif old.width != new.width:
        yield reshaped(
            _at("width", old, new), f"width {old.width} becomes {new.width}: what reads it changes"
        )
    if old.inputs != new.inputs and old.table == new.table:
        reason = f"reads {', '.join(new.inputs)} instead of {', '.join(old.inputs)}"
        yield remapped(f"{new.path}.input_names", reason, is_fatal=False)


def _table(old: FeatureShape, new: FeatureShape, *, deep: bool) -> Iterator[ShapeChange]:
    """Differences of two embedding tables; ``deep``: read so in both configs."""
    if old.table != new.table:
        yield reshaped(_at("table", old, new), f"its embedding table {old.table} becomes {new.table}")
    elif old.storage != new.storage and "by key" in old.storage + new.storage:
        yield reshaped(_at("storage", old, new), f"its table, kept {old.storage}, is kept {new.storage}")
    elif old.rows != new.rows:
        yield reshaped(_at("rows", old, new), f"rows of its embedding table: {old.rows} becomes {new.rows}")
    elif old.keyed_by != new.keyed_by:
        reason = f"its rows are found by {new.keyed_by}, not by {old.keyed_by}"
        yield remapped(_at("rows", old, new), f"{reason}: they stand for other values")
    elif old.meaning != new.meaning:
        reason = f"the rows of its embedding table stand for other {old.keyed_by}"
        # Bounds that are drawn anew from a day's data shift what a row covers, no more.
        yield remapped(_at("rows", old, new), reason, is_fatal=old.keyed_by != "boundaries")
    if deep and old.columns != new.columns:
        reason = f"columns of its embedding table: {old.columns} becomes {new.columns}"
        yield reshaped(_at("columns", old, new), f"{reason}, and what reads it changes")
    elif deep and old.width != new.width:
        yield reshaped(
            _at("width", old, new), f"width {old.width} becomes {new.width}: what reads it changes"
        )


def _at(aspect: str, old: FeatureShape, new: FeatureShape) -> str:
    """The path of the field that is to blame, or of the feature."""
    for name in _ASPECTS[aspect]:
        if old.fields.get(name) != new.fields.get(name):
            return f"{new.path}.{name}"
    return new.path


# Groups and optimizers


def _groups(old: Config, new: Config) -> Iterator[ShapeChange]:
    for name, group in new.groups.items():
        before = old.groups.get(name)
        if before is None:
            yield added(group.path, f"feature group {name} is new")
            continue
        yield from _members(before, group, old, new)
        yield from model_shapes.compare("FeatureGroupConfig", before.fields, group.fields, group.path)
    for name, group in old.groups.items():
        if name not in new.groups:
            yield dropped(group.path, f"feature group {name} went")


def _members(before: Group, after: Group, old: Config, new: Config) -> Iterator[ShapeChange]:
    if before.features == after.features:
        return
    path = f"{after.path}.feature_names"
    came = [name for name in after.features if name not in before.features]
    went = [name for name in before.features if name not in after.features]
    changes = [f"{', '.join(came)} came"] * bool(came) + [f"{', '.join(went)} went"] * bool(went)
    if _is_pooled(after, new):
        if came:
            yield added(path, f"{', '.join(came)} came: its table in this group is new")
        if went:
            yield dropped(path, f"{', '.join(went)} went")
        return
    if not changes:
        yield remapped(
            path, "its features are joined in another order: the kernels behind expect the old one"
        )
        return
    widths = _width(before, old), _width(after, new)
    if None in widths or widths[0] != widths[1]:
        shown = "" if None in widths else f" from {widths[0]} to {widths[1]}"
        yield reshaped(
            path, f"{' and '.join(changes)}: the input of what reads this group changes its width{shown}"
        )
    else:
        yield remapped(
            path, f"{' and '.join(changes)}: the kernels behind expect the old features in their place"
        )


def _is_pooled(group: Group, config: Config) -> bool:
    return (group.is_wide and "backbone" not in config.model) or (config.branch, group.name) in POOLED_GROUPS


def _width(group: Group, config: Config) -> int | None:
    widths = [config.features[n].width if n in config.features else None for n in group.features]
    return None if None in widths else sum(width for width in widths if width is not None)


def _optimizers(old: Config, new: Config) -> Iterator[ShapeChange]:
    spec = table().messages["Optimizer"]["adam_optimizer"]
    branches = table().branches(spec)

    def kinds(config: Config) -> list[str]:
        return [next((n for n in optimizer if n in branches), "") for optimizer in config.optimizers]

    if kinds(old) != kinds(new):
        before, after = (", ".join(kinds(config)) or "nothing" for config in (old, new))
        change = f"{before} becomes {after}"
        yield added("train_config.optimizer_config", f"{change}: what an optimizer remembers starts afresh")


# Keys


def _flat(pairs: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Keys with their domains or values; those of nested choices one by one, variables left out."""
    for key, value in pairs:
        for option in nested_options(value):
            yield from _flat((inner, domain) for inner, domain in option.items() if inner != "_name")
        if not nested_options(value) and not key.startswith("${"):
            yield key, value


class _Judge:
    """Judges keys on one config."""

    def __init__(self, text: str, allow_unknown: Collection[str] | bool) -> None:
        self._text = text
        self._allow_unknown = allow_unknown
        self._view = View(parse(text), table(), allow_unknown)
        self._config = read(text)

    def judged(self, key: str, value: Any) -> ShapeKey | None:
        specs = [self._view.walk(each) for each in parse_keys(key)]
        deciding = next((spec for spec in specs if _decides(spec)), None)
        if deciding is None:
            return None
        if value is None or self._config.hidden_features:
            return self._by_field(key, deciding)
        try:
            change = self._tried(key, value)
        except (DomainError, ConfigEditError):  # check_edits says what is wrong with the value
            return self._by_field(key, deciding)
        if change is None:
            return None
        return ShapeKey(key, _name(deciding), str(change), change.is_fatal)

    def _tried(self, key: str, value: Any) -> ShapeChange | None:
        """The worst that a value of this key changes. DomainError or ConfigEditError when one doesn't fit."""
        is_domain = isinstance(value, Mapping) and "_type" in value
        worst = None
        for each in list(representatives(value)) if is_domain else [value]:
            text = edit_text(self._text, {key: each}, allow_unknown_fields=self._allow_unknown)
            for change in _compared(self._config, read(text)):
                if change.is_fatal:
                    return change
                worst = worst or change
        return worst

    def _by_field(self, key: str, spec: FieldSpec) -> ShapeKey:
        rule = RULES.get((spec.owner, spec.name))
        if rule is not None:
            fatal = rule.role.is_fatal
            return ShapeKey(key, _name(spec), f"it decides {rule.reason}", fatal)
        return ShapeKey(key, _name(spec), f"{spec.type} holds fields that decide shapes", is_fatal=True)


def _decides(spec: FieldSpec) -> bool:
    return (spec.owner, spec.name) in RULES or (spec.is_message and model_shapes.decides_shapes(spec.type))


def _name(spec: FieldSpec) -> str:
    return f"{spec.owner}.{spec.name}"
