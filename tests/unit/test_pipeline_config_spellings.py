"""Keys and values read as EasyRec reads them, in spellings that nobody is taught (reference R29)."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline_config import edit_text, values_at

TEXT = """\
model_dir: "oss://b/m"
feature_configs { input_names: "price" feature_type: RawFeature embedding_dim: 8 }
feature_configs { input_names: "tags" feature_type: TagFeature embedding_dim: 16 }
model_config { dbmtl { bottom_dnn { hidden_units: [512, 256] } } }
"""


@pytest.mark.parametrize("value", ["[010, 0x10]", ["010", 16.0], " [10,'16'] "])
def test_a_list_given_as_text_is_read_as_text_format(value: Any) -> None:
    key = "model_config.dbmtl.bottom_dnn.hidden_units"
    first = 10 if isinstance(value, list) or "'" in value else 8
    assert values_at(edit_text(TEXT, {key: value}), f"{key}[:]") == [first, 16]
    assert values_at(edit_text(TEXT, {key: "010"}), f"{key}[:]") == [8]
    assert values_at(edit_text(TEXT, {f"{key}[0]": "010"}), f"{key}[0]") == [10]


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        ("feature_configs[0]..embedding_dim", "feature_configs[0].embedding_dim"),
        (".feature_configs[:] .. embedding_dim.", "feature_configs[:].embedding_dim"),
        ("feature_configs[feature_type=1]..input_names[0]", "feature_configs[feature_type=1].input_names[0]"),
        ("feature_configs[0]..; model_dir", "feature_configs[0]; model_dir"),
    ],
)
def test_empty_names_in_a_key_are_passed_over_as_in_easyrec(key: str, plain: str) -> None:
    value = "max_partitions: 7; 7" if ";" in key else 7
    assert edit_text(TEXT, {key: value}) == edit_text(TEXT, {plain: value}) != TEXT
