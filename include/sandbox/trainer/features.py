"""From table columns to embedding rows, as EasyRec's feature configs say.

Ids are hashed into the configured number of buckets (collisions included), but only rows that the data
touch are kept in memory: the others would never leave their initial values.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from include.errors import ConfigError

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]

_SUPPORTED = ("IdFeature", "RawFeature", "TagFeature", "ComboFeature")


@dataclass(frozen=True)
class Feature:
    """One feature config. ``buckets`` is 0 for a plain number without embedding rows of its own."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    embedding: str
    dim: int
    buckets: int
    hashed: bool
    config: Any

    @property
    def is_number(self) -> bool:
        return self.kind == "RawFeature" and not self.config.boundaries


@dataclass(frozen=True)
class Encoded:
    """A feature of all examples: bucket of each slot and its weight (0 for an empty slot)."""

    buckets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


def read_features(config: Any) -> dict[str, Feature]:
    """All features by name, from either layout of the config. ConfigError for what this trainer can't do."""
    configs = config.feature_configs or config.feature_config.features
    features = {}
    for entry in configs:
        feature = _read_feature(entry)
        if feature.name in features:
            raise ConfigError(f"feature {feature.name} is defined twice", where="feature_configs")
        features[feature.name] = feature
    return features


def _read_feature(entry: Any) -> Feature:
    if not entry.input_names:
        raise ConfigError("a feature has no input_names", where="feature_configs")
    name = entry.feature_name or entry.input_names[0]
    where = f"feature {name}"
    kind = type(entry).DESCRIPTOR.fields_by_name["feature_type"].enum_type.values_by_number
    kind_name = kind[entry.feature_type].name
    if kind_name not in _SUPPORTED:
        hint = f"it knows {', '.join(_SUPPORTED)}"
        raise ConfigError(f"the sandbox's trainer has no {kind_name}", where=where, hint=hint)
    sizes = (int(entry.hash_bucket_size), int(entry.num_buckets), len(entry.vocab_list))
    if kind_name == "RawFeature":
        buckets = len(entry.boundaries) + 1 if entry.boundaries else 1
    else:
        buckets = next((size for size in sizes if size), 0)
        if not buckets:
            raise ConfigError("hash_bucket_size, num_buckets or vocab_list must be set", where=where)
    return Feature(
        name=name,
        kind=kind_name,
        inputs=tuple(entry.input_names),
        embedding=entry.embedding_name or name,
        dim=int(entry.embedding_dim),
        buckets=buckets,
        hashed=bool(entry.hash_bucket_size),
        config=entry,
    )


def encode(feature: Feature, columns: Columns) -> Encoded:
    """Bucket and weight of every slot of every example. ConfigError when an input isn't in the data."""
    for name in feature.inputs:
        if name not in columns:
            raise ConfigError(
                f"input {name!r} is not among data_config.input_fields", where=f"feature {feature.name}"
            )
    first = columns[feature.inputs[0]]
    if feature.kind == "RawFeature":
        return _encode_number(feature, first)
    if feature.kind == "TagFeature":
        return _encode_tags(feature, first)
    text = _as_text(first)
    for name in feature.inputs[1:] if feature.kind == "ComboFeature" else ():
        text = np.char.add(np.char.add(text, "_X_"), _as_text(columns[name]))
    values, positions = np.unique(text, return_inverse=True)
    buckets = _buckets(feature, values.tolist())[positions]
    return Encoded(buckets[:, None], np.ones((len(buckets), 1), np.float32))


def _encode_number(feature: Feature, column: Array) -> Encoded:
    try:
        numbers = np.nan_to_num(np.ma.filled(column, 0).astype(np.float64))
    except ValueError as error:
        raise ConfigError(f"not a number: {error}", where=f"feature {feature.name}") from error
    config = feature.config
    if config.boundaries:
        # TensorFlow puts a value that equals a boundary into the upper bucket.
        buckets = np.digitize(numbers, np.asarray(config.boundaries))
        return Encoded(buckets[:, None], np.ones((len(buckets), 1), np.float32))
    if config.max_val > config.min_val:
        numbers = (numbers - config.min_val) / (config.max_val - config.min_val)
    return Encoded(np.zeros((len(numbers), 1), np.int64), numbers[:, None].astype(np.float32))


def _encode_tags(feature: Feature, column: Array) -> Encoded:
    values, positions = np.unique(_as_text(column), return_inverse=True)
    tags = [[tag for tag in value.split(feature.config.separator) if tag] for value in values.tolist()]
    width = max(1, max(map(len, tags), default=1))
    buckets = np.zeros((len(tags), width), np.int64)
    weights = np.zeros((len(tags), width), np.float32)
    for row, words in enumerate(tags):
        buckets[row, : len(words)] = _buckets(feature, words)
        weights[row, : len(words)] = 1 / len(words) if words and feature.config.combiner == "mean" else 1
    return Encoded(buckets[positions], weights[positions])


def _as_text(column: Array) -> Array:
    return np.ma.filled(column, "" if column.dtype.kind == "U" else 0).astype(str)


def _buckets(feature: Feature, values: Sequence[str]) -> npt.NDArray[np.int64]:
    config = feature.config
    if feature.hashed:
        found: Iterable[int] = (zlib.crc32(value.encode()) % feature.buckets for value in values)
    elif config.num_buckets:
        # Out of range means the first bucket, as TensorFlow's identity column with default 0.
        numbers = (int(value) if value.lstrip("-").isdigit() else 0 for value in values)
        found = (number if 0 <= number < feature.buckets else 0 for number in numbers)
    else:
        index = {word: position for position, word in enumerate(config.vocab_list)}
        found = (index.get(value, 0) for value in values)
    return np.fromiter(found, np.int64, len(values))
