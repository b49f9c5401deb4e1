"""``edit_config_json`` as EasyRec reads it: YAML, its own types, its own crashes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.errors import ConfigEditError
from include.sandbox import easyrec_proto
from include.sandbox.trainer import edits

CONFIG = """
model_dir: "oss://bucket/m"
train_config {
  optimizer_config { adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.1 } } } }
  num_steps: 10
  sync_replicas: true
}
data_config { input_type: CSVInput }
feature_configs { input_names: "a" feature_type: IdFeature embedding_dim: 4 hash_bucket_size: 10 }
feature_configs { input_names: "b" feature_type: IdFeature embedding_dim: 8 hash_bucket_size: 20 }
feature_configs { input_names: "c" feature_type: RawFeature embedding_dim: 16 }
model_config {
  model_class: "DeepFM"
  deepfm { dnn { hidden_units: [64, 32] } }
}
"""
RATE = "train_config.optimizer_config[0].adam_optimizer.learning_rate.constant_learning_rate.learning_rate"


def edited(changes: dict[str, Any] | str) -> Any:
    config = easyrec_proto.parse(CONFIG)
    text = changes if isinstance(changes, str) else json.dumps(changes)
    edits.apply(config, edits.load(edits.through_command_line(text)))
    return config


def dims(config: Any) -> list[int]:
    return [feature.embedding_dim for feature in config.feature_configs]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("[:]", [5, 5, 5]),
        ("[1:]", [4, 5, 5]),
        ("[:1]", [5, 8, 16]),
        ("[1:2]", [4, 5, 16]),
        ("[-1]", [4, 8, 5]),
        ("[input_names[0]=b]", [4, 5, 16]),
        ("[input_names[0]>=b]", [4, 5, 5]),
        ("[input_names[0]<b]", [5, 8, 16]),
        ("[embedding_dim>4]", [4, 5, 5]),
        ("[feature_type=RawFeature]", [4, 8, 5]),
        ("[input_names[0]=nobody]", [4, 8, 16]),
    ],
)
def test_selectors(selector, expected):
    assert dims(edited({f"feature_configs{selector}.embedding_dim": 5})) == expected


def test_scalars_are_converted_to_the_type_of_the_field():
    config = edited(
        {
            RATE: 1e-05,
            "train_config.sync_replicas": False,
            "train_config.num_steps": "20",
            "model_dir": "oss://bucket/other",
            "feature_configs[0].feature_type": "TagFeature",
            "train_config.train_distribute": 2,
            "model_config.deepfm.dnn.hidden_units[1]": 16,
        }
    )
    rate = config.train_config.optimizer_config[0].adam_optimizer.learning_rate.constant_learning_rate
    assert rate.learning_rate == pytest.approx(1e-5)
    assert config.train_config.sync_replicas is False
    assert config.train_config.num_steps == 20
    assert config.feature_configs[0].feature_type == config.feature_configs[0].TagFeature
    assert config.train_config.train_distribute == 2
    assert list(config.model_config.deepfm.dnn.hidden_units) == [64, 16]


def test_a_repeated_scalar_takes_a_list_and_a_message_text_format():
    config = edited(
        {
            "model_config.deepfm.dnn.hidden_units": [8, 4],
            "model_config.deepfm.final_dnn": "{hidden_units: [3] use_bn: false}",
        }
    )
    assert list(config.model_config.deepfm.dnn.hidden_units) == [8, 4]
    assert list(config.model_config.deepfm.final_dnn.hidden_units) == [3]


def test_setting_the_other_branch_of_a_oneof_switches_it():
    schedule = RATE.replace(
        "constant_learning_rate.learning_rate", "poly_decay_learning_rate.learning_rate_base"
    )
    config = edited({schedule: 0.5})
    rate = config.train_config.optimizer_config[0].adam_optimizer.learning_rate
    assert rate.WhichOneof("learning_rate") == "poly_decay_learning_rate"


def test_joined_keys_pair_up_with_joined_values_and_the_rest_is_lost():
    config = edited({"feature_configs[0].embedding_dim;feature_configs[1].embedding_dim": "6;7;8"})
    assert dims(config) == [6, 7, 16]
    assert edited({"model_dir": "oss://a;b"}).model_dir == "oss://a"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_config.num_steps": 4.0}, "AttributeError"),
        ({"train_config.num_steps": -1}, "ValueError"),
        ({"train_config.num_stepz": 4}, "num_stepz"),
        ({RATE: "fast"}, "not a number"),
        ({"train_config.sync_replicas": "yes"}, "not a boolean"),
        ({"feature_configs[7].embedding_dim": 4}, "IndexError"),
        ({"feature_configs[embedding_dim~4].embedding_dim": 4}, "invalid selector"),
        ({"feature_configs[:]": "{}"}, "slice as the last step"),
        ({"feature_configs": "{}"}, "no Clear"),
        ({"train_config.train_distribute": "PSStrategy"}, "AttributeError"),
        ({"model_config.deepfm.dnn": "{hidden_unitz: 3}"}, "ParseError"),
        ({"feature_configs[" + "x" * 1100 + "].embedding_dim": 4}, "YAML"),
        ("[1, 2]", "expected a mapping"),
        ({"model_dir": "it's"}, "single quote"),
    ],
)
def test_what_crashes_easyrec_fails_the_job_and_names_the_key(changes, message):
    with pytest.raises(ConfigEditError, match=message):
        edited(changes)
