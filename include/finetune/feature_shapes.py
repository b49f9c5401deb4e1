"""What a config's features make of variables: their embedding tables, and how wide they are as inputs.

Follows EasyRec's ``FeatureColumnParser`` and ``InputLayer``: which of a feature's fields counts depends on its
type and on the other fields.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config import values_at
from include.pipeline_config.fields import table
from include.pipeline_config.values import RawLiteral, zero

Fields = Mapping[str, Any]

_RANGE = re.compile(r"([a-zA-Z_]+)\[([0-9]+)-([0-9]+)\]")
_PATHS = (
    "model_config;train_config.optimizer_config;feature_configs;feature_config.features;"
    "data_config.auto_expand_input_fields;fg_json_path"
)
_GROWS = "as many as there are keys"
_MOST_EXPANDED, _DIGITS = 10_000, 9
"""Fields of one ``field[1-3]``, and digits of each number."""


@dataclass(frozen=True)
class FeatureShape:
    """One feature as the model reads it.

    ``table``: what names its embedding table as a variable, "" when it can have none. ``storage``: how the
    table is kept. ``rows``: their number, or what decides it. ``columns``: where it is read deep, 0 for a
    number that is read as it is. ``keyed_by``: how a value finds its row. ``meaning``: what the rows stand
    for, as far as the config says. ``width``: of the feature as an input; None when that can't be known.
    """

    name: str
    path: str
    table: str
    storage: str
    rows: int | str
    columns: int
    keyed_by: str
    meaning: tuple[Any, ...]
    inputs: tuple[str, ...]
    width: int | None
    fields: Fields


@dataclass(frozen=True)
class Group:
    """A feature group: features in the order in which they are joined."""

    name: str
    path: str
    is_wide: bool
    features: tuple[str, ...]
    fields: Fields


@dataclass(frozen=True)
class Uses:
    """Names of the features that are read through wide tables, and of those that are read deep."""

    wide: frozenset[str]
    deep: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.wide | self.deep

    def has_table(self, feature: FeatureShape) -> bool:
        read_by_rows = feature.name in self.wide or (feature.name in self.deep and feature.columns > 0)
        return bool(feature.table) and read_by_rows


@dataclass(frozen=True)
class Config:
    """A pipeline config as far as shapes go. ``model``: the set fields of ``model_config``."""

    model: Fields
    features: Mapping[str, FeatureShape]
    groups: Mapping[str, Group]
    optimizers: Sequence[Fields]
    hidden_features: bool
    """Whether EasyRec adds features from ``fg_json_path`` that can't be seen here."""

    def uses(self) -> Uses:
        """Which features are read, and how."""
        wide = {name for group in self.groups.values() if group.is_wide for name in group.features}
        deep = {name for group in self.groups.values() if not group.is_wide for name in group.features}
        attention = [*self.model.get("seq_att_groups", [])]
        attention += [s for g in self.groups.values() for s in g.fields.get("sequence_features", [])]
        for each in attention:
            for mapping in each.get("seq_att_map", []):
                deep.update(name for names in mapping.values() for name in names)
        return Uses(frozenset(wide), frozenset(deep))

    @property
    def branch(self) -> str:
        """Which field of ``model_config`` holds the model, e.g. ``dbmtl``."""
        branches = table().branches(table().messages["EasyRecModel"]["deepfm"])
        return next((name for name in self.model if name in branches), "")


def read(text: str) -> Config:
    """Raises ConfigEditError when the text can't be read, or a ``${variable}`` stands where a size is needed."""
    model, optimizers, features, features_v2, auto_expand, fg_path = values_at(
        text, _PATHS, allow_unknown_fields=True
    )
    path, configs = ("feature_configs", features) if features else ("feature_config.features", features_v2)
    return Config(
        model=model,
        features={feature.name: feature for feature in _features(path, configs, model, auto_expand)},
        groups={group.name: group for group in _groups(model)},
        optimizers=optimizers,
        hidden_features=bool(fg_path) and not fg_path.startswith("!"),  # EasyRec marks what it has loaded
    )


def expanded(name: str) -> list[str]:
    """``field[1-3]`` as field1, field2, field3, which is how EasyRec reads it; any other name alone.

    Raises ConfigEditError for a range that nobody means.
    """
    found = _RANGE.match(name)
    if found is None:
        return [name]
    stem, first, last = found.groups()
    if max(len(first), len(last)) > _DIGITS or len(range(int(first), int(last))) >= _MOST_EXPANDED:
        raise ConfigEditError(f"more than {_MOST_EXPANDED} fields: {name!r}")
    return [f"{stem}{number}" for number in range(int(first), int(last) + 1)]


# Groups


def _groups(model: Fields) -> Iterator[Group]:
    for number, fields in enumerate(model.get("feature_groups", [])):
        name = fields.get("group_name", "")
        path = f"model_config.feature_groups[{f'group_name={name}' if name else number}]"
        members = [each for given in fields.get("feature_names", []) for each in expanded(given)]
        yield Group(name, path, fields.get("wide_deep", "DEEP") != "DEEP", tuple(members), fields)


# Features


def _features(
    path: str, configs: Sequence[Fields], model: Fields, auto_expand: bool
) -> Iterator[FeatureShape]:
    firsts = Counter(_first_input(fields) for fields in configs)
    every = []
    for number, fields in enumerate(configs):
        name, first = fields.get("feature_name"), _first_input(fields)
        by_input = f"input_names[0]={first}" if first and firsts[first] == 1 else str(number)
        every.append((f"{path}[{f'feature_name={name}' if name else by_input}]", fields))
    every += [(at, copy) for at, fields in every for copy in _copies(fields, auto_expand)]
    sharers = Counter(fields["embedding_name"] for _, fields in every if "embedding_name" in fields)
    for at, fields in every:
        feature = _Feature(fields, grows="ev_params" in model or "ev_params" in fields)
        yield feature.shape(at, fields["embedding_name"] if sharers[fields.get("embedding_name")] > 1 else "")


def _copies(fields: Fields, auto_expand: bool) -> Iterator[Fields]:
    """The further features that EasyRec makes of ``shared_names``."""
    for given in fields.get("shared_names", []):
        for name in expanded(given) if auto_expand else [given]:
            yield {**fields, "input_names": [name]}


def _first_input(fields: Fields) -> str:
    return next(iter(fields.get("input_names", [])), "")


class _Feature:
    """One feature config; absent fields read as their defaults."""

    def __init__(self, fields: Fields, *, grows: bool) -> None:
        self.fields = fields
        self.grows = grows
        inputs = self.value("input_names")
        self.name = str(fields.get("feature_name") or (inputs[0] if inputs else ""))
        kind = str(self.value("feature_type"))
        self.is_sequence = kind == "SequenceFeature"
        self.kind = str(self.value("sub_feature_type")) if self.is_sequence else kind

    def shape(self, path: str, shared_table: str) -> FeatureShape:
        """``shared_table``: the name under which several features have one table."""
        column, rows, keyed_by, meaning = self.column()
        parts = self.value("max_partitions")
        return FeatureShape(
            name=self.name,
            path=path,
            table=shared_table if column and shared_table else column,
            storage=f"by key, in {parts} parts" if self.grows else "whole",
            rows=rows,
            columns=self.number("embedding_dim"),
            keyed_by=keyed_by,
            meaning=tuple(meaning),
            inputs=tuple(self.value("input_names")),
            width=self.width(),
            fields=self.fields,
        )

    def value(self, field: str) -> Any:
        spec = table().messages["FeatureConfig"][field]
        return self.fields.get(field, [] if spec.repeated else zero(spec, table()))

    def number(self, field: str) -> Any:
        """As ``value``, of a size. Raises ConfigEditError when it is not known here."""
        return self._known(field, self.value(field))

    def _known(self, field: str, value: Any) -> Any:
        if isinstance(value, RawLiteral):
            raise ConfigEditError(
                f"{field} of feature {self.name} is {value}: shapes can't be compared without its value"
            )
        return value

    def column(self) -> tuple[str, int | str, str, Sequence[Any]]:
        """Name of the column, rows of its table, how they are found and what they stand for."""
        if self.kind in ("ExprFeature", "PassThroughFeature"):
            return "", 0, "", ()
        if self.kind == "RawFeature":
            return self._numbers()
        rows, keyed_by, meaning = self._ids()
        if self.kind == "ComboFeature" and not self.value("combo_join_sep"):
            parts = [self.name, *(f"{self.name}_{n}" for n in range(1, len(self.value("input_names"))))]
            return "_X_".join(sorted(parts)), rows, "crossed", meaning
        weighted = self.kind == "TagFeature" and (
            len(self.value("input_names")) > 1 or "kv_separator" in self.fields
        )
        name = f"{self.name}_weighted_by_{self.name}_w" if weighted else self.name
        return name, rows, keyed_by, meaning

    def _ids(self) -> tuple[int | str, str, Sequence[Any]]:
        if (size := self.number("hash_bucket_size")) > 0:
            return _GROWS if self.grows else size, "hash", ()
        if words := self.value("vocab_list"):
            return len(words), "vocab_list", words
        if file := self.value("vocab_file"):
            return f"the lines of {file}", "vocab_file", ()
        return _GROWS if self.grows else self.value("num_buckets"), "number", ()

    def _numbers(self) -> tuple[str, int | str, str, Sequence[Any]]:
        size = 1 if self.is_sequence else self.number("raw_input_dim")
        if bounds := sorted(self._known("boundaries", bound) for bound in self.value("boundaries")):
            return f"{self.name}_bucketized", (len(bounds) + 1) * size, "boundaries", bounds
        count, low, high = (self.number(field) for field in ("num_buckets", "min_val", "max_val"))
        if count > 1 and high > low:
            return f"{self.name}_bucketized", (count + 1) * size, "boundaries", (low, high)
        return f"{self.name}_raw_proj", self.value("raw_input_dim"), "position", ()

    def width(self) -> int | None:
        if self.kind == "PassThroughFeature":
            return None
        combiner: Fields = (self.value("sequence_combiner") if self.is_sequence else {}) or {}
        if cnn := combiner.get("text_cnn"):
            layers = cnn.get("mlp", {}).get("hidden_units", [])[-1:] or cnn.get("num_filters", [])
            return sum(int(self._known("sequence_combiner", units)) for units in layers)
        if self.kind != "ExprFeature" and (columns := self.number("embedding_dim")):
            return int(columns)
        if self.is_sequence:
            return int(self.number("sequence_length"))
        return 1 if self.kind == "ExprFeature" else int(self.number("raw_input_dim"))
