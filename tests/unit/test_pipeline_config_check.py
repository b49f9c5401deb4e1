"""Dry runs, edit_config_json, features from fg.json, reading and comparing (reference sections 3 and 4)."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format

from include.errors import ConfigEditError
from include.pipeline_config import (
    check_edits,
    difference,
    edit_text,
    fg_json_path,
    render_edit_config_json,
    values_at,
    with_fg_features,
)
from include.sandbox.easyrec_proto import config_class
from include.sandbox.trainer import edits as easyrec

TEXT = """\
model_dir: "oss://b/m"
train_config {
  optimizer_config { adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 1e-3 } } } }
  num_steps: 2000
}
data_config { batch_size: 4096 input_fields { input_name: "a" input_type: INT32 } separator: "," }
feature_configs { input_names: "a" embedding_dim: 16 feature_type: IdFeature }
feature_configs { input_names: "b.c" embedding_dim: 16 feature_type: RawFeature boundaries: [1, 2] }
model_config {
  feature_groups { group_name: "all" feature_names: "a" wide_deep: DEEP }
  dbmtl { bottom_dnn { hidden_units: [64, 32] } task_towers { tower_name: "ctr" } }
}
"""
RATE = "train_config.optimizer_config[0].adam_optimizer.learning_rate.constant_learning_rate.learning_rate"


def choice(*options: Any) -> dict[str, Any]:
    return {"_type": "choice", "_value": list(options)}


def domain(kind: str, *arguments: float) -> dict[str, Any]:
    return {"_type": kind, "_value": list(arguments)}


def test_a_search_space_that_fits_has_no_problems() -> None:
    space = {
        RATE: domain("loguniform", 1e-5, 1e-2),
        "feature_configs[:].embedding_dim": domain("randint", 4, 16),
        "data_config.batch_size": domain("quniform", 128, 1024, 128),
        "train_config.num_steps": choice(1000, 2000.0, "3000"),
        "model_config.dbmtl.bottom_dnn.hidden_units": choice([64, 32], "[8]"),
        "model_config.dbmtl.bottom_dnn.hidden_units[0]": choice(512),
        "train_config.sync_replicas": choice(True, "false"),
        "model_config.embedding_regularization": domain("lognormal", -10, 1),
        "${batch}": choice("anything"),
    }
    assert check_edits(TEXT, space, as_json=True) == []


def test_all_problems_of_a_search_space_are_found_at_once() -> None:
    space = {
        "train_config.num_step": choice(1),
        "feature_configs[input_names[0]=z].embedding_dim": choice(4),
        "data_config.batch_size": domain("uniform", 1, 8),
        "train_config.num_steps": choice(1, 2.5, "x", 3, -1),
        "feature_configs[0].embedding_dim": domain("quniform", 1, 9, 0.5),
        "feature_configs[0].feature_type": choice("IdFeature", "RawFeatur"),
        "feature_configs[1].feature_type": domain("randint", 0, 2),
        "model_config.dbmtl.bottom_dnn.hidden_units[0]": domain("normal", 64, 4),
        "feature_configs[0].max_partitions": domain("qnormal", 4, 1, 1),
        "data_config.num_epochs": domain("qnormal", 4, 3, 1),
        "train_config.dead_line": {"_type": "choise", "_value": [1]},
        "train_config.save_summary_steps": {"_value": [1]},
    }
    problems = check_edits(TEXT, space)
    assert all(problem.fatal for problem in problems)
    by_key = {key: [p for p in problems if p.key == key] for key in space}
    assert {key: len(found) for key, found in by_key.items()} == {
        "train_config.num_step": 1,
        "feature_configs[input_names[0]=z].embedding_dim": 1,
        "data_config.batch_size": 1,
        "train_config.num_steps": 3,
        "feature_configs[0].embedding_dim": 1,
        "feature_configs[0].feature_type": 1,
        "feature_configs[1].feature_type": 1,
        "model_config.dbmtl.bottom_dnn.hidden_units[0]": 1,
        "feature_configs[0].max_partitions": 0,
        "data_config.num_epochs": 1,  # a normal distribution goes below zero
        "train_config.dead_line": 1,
        "train_config.save_summary_steps": 1,
    }
    assert "num_steps" in by_key["train_config.num_step"][0].hint
    assert "quniform" in by_key["data_config.batch_size"][0].hint
    assert str(by_key["train_config.num_step"][0]).startswith(
        "train_config.num_step: TrainConfig has no field"
    )


def test_the_upper_end_of_randint_is_not_in_the_range() -> None:
    key = "data_config.batch_size"
    assert check_edits(TEXT, {key: domain("randint", 0, 2**32)}) == []
    assert len(check_edits(TEXT, {key: domain("randint", 0, 2**32 + 1)})) == 1


def test_a_key_is_tried_on_what_the_keys_before_it_make() -> None:
    whole, inner = (
        "model_config.dbmtl.task_towers[0]",
        "model_config.dbmtl.task_towers[0].dnn.hidden_units[1]",
    )
    value = "{tower_name: 'ctr' dnn {hidden_units: [8, 4]}}"
    assert check_edits(TEXT, {whole: choice(value), inner: choice(2)}) == []
    assert len(check_edits(TEXT, {inner: choice(2), whole: choice(value)})) == 1


def test_every_value_is_tried_before_the_one_that_changes_what_the_selector_asks_for() -> None:
    assert check_edits(TEXT, {"feature_configs[embedding_dim=16].embedding_dim": choice(4, 8, 32)}) == []
    key = "feature_configs[embedding_dim=4].embedding_dim"
    [problem] = check_edits(TEXT, {"feature_configs[:].embedding_dim": choice(8, 4), key: choice(1)})
    assert (problem.key, problem.message) == (key, "nothing matches feature_configs[embedding_dim=4]")


def test_joined_keys_meet_what_those_before_them_make() -> None:
    key = "feature_configs[embedding_dim=16].embedding_dim;feature_configs[embedding_dim=5].max_partitions"
    assert check_edits(TEXT, {key: choice("5;2")}) == []
    [problem] = check_edits(TEXT, {key: choice("5;2", "6;2")})
    assert "nothing matches feature_configs[embedding_dim=5]" in problem.message


def test_nested_choices_are_looked_into() -> None:
    space = {
        "optimizer": choice(
            {
                "_name": "adam",
                "train_config.optimizer_config[0].adam_optimizer.beta1": domain("uniform", 0.8, 0.9),
            },
            {"_name": "wrong", "train_config.optimizer_config[0].adam_optimizer.beta9": choice(1)},
        )
    }
    assert [p.key for p in check_edits(TEXT, space)] == [
        "train_config.optimizer_config[0].adam_optimizer.beta9"
    ]


def test_fields_of_a_newer_easyrec_pass_when_allowed() -> None:
    space = {"train_config.brand_new": choice(1)}
    assert len(check_edits(TEXT, space)) == 1
    assert check_edits(TEXT, space, allow_unknown_fields=["TrainConfig.brand_new"]) == []


FG = 'fg_json_path: "oss://b/fg.json"\nfeature_config { features { input_names: "own" } }\n' + TEXT
FG_FEATURES = (
    'feature_config { features { input_names: "from_fg" } }\ndata_config { input_fields { input_name: "x" } }'
)


def test_features_from_fg_json_are_judged_only_when_they_are_shown() -> None:
    key = "feature_config.features[input_names[0]=from_fg].embedding_dim"
    [notice] = check_edits(FG, {key: choice(4)})
    assert not notice.fatal
    assert "fg_json_path" in notice.message
    found = check_edits(
        FG, {key: choice(4.5), "feature_config.features[0].nme": choice(1), RATE: choice("x")}
    )
    assert sorted((p.key, p.fatal) for p in found) == [
        ("feature_config.features[0].nme", True), (key, False), (key, True), (RATE, True),
    ]  # fmt: skip
    assert check_edits(FG, {key: choice(4)}, fg_config=FG_FEATURES) == []
    assert check_edits(FG, {"feature_configs[0].embedding_dim": choice(4)}, fg_config=FG_FEATURES)[0].fatal
    assert render_edit_config_json(FG, {key: 4.0}) == f'{{"{key}": 4}}'
    with pytest.raises(ConfigEditError, match="nothing matches"):
        render_edit_config_json(FG, {key.replace("from_fg", "z"): 4.0}, fg_config=FG_FEATURES)
    with pytest.raises(ConfigEditError) as caught:
        edit_text(FG, {key: 4})
    assert "fg_json_path" in caught.value.hint


def test_the_config_with_features_is_what_easyrec_edits() -> None:
    loaded = with_fg_features(FG, FG_FEATURES)
    assert fg_json_path(FG) == "oss://b/fg.json"
    assert fg_json_path(loaded) == fg_json_path(TEXT) == ""
    message = text_format.Merge(loaded, config_class()())
    assert [f.input_names[0] for f in message.feature_config.features] == ["own", "from_fg"]
    assert not message.feature_configs
    assert [f.input_name for f in message.data_config.input_fields] == ["x"]
    assert message.fg_json_path == "!oss://b/fg.json"


CARRIED = {
    RATE: 1e-05,
    "train_config.num_steps": 4.0,
    "feature_configs[:].embedding_dim": "8",
    "feature_configs[0].feature_type": "RawFeature",
    "feature_configs[feature_type=RawFeature].max_val": float("inf"),
    "feature_configs[1].boundaries": "[1e-05, 2, inf]",
    "train_config.sync_replicas": "True",
    "model_config.dbmtl.bottom_dnn.hidden_units": "[16, 8]",
    "model_config.dbmtl.bottom_dnn.hidden_units[1]": 4,
    "model_config.feature_groups[0].feature_names": ["a", 'b"\\', "中文 \U0001f600\x7f\x01"],
    "model_config.dbmtl.task_towers[tower_name=ctr].dnn": "{hidden_units:[3,2], activation:'tf.nn.relu'}",
    "model_dir": "oss://b/中文\U0001f600/\\x\n",
    "data_config.separator": "1e-05",
    "train_config.incr_save_config.fs": "{}",
    "data_config.input_type;data_config.num_epochs": "CSVInput;3",
    "feature_configs[feature_type=1].sub_feature_type": 1,
    "model_config.feature_groups[wide_deep=0].group_name": "x",
    "feature_configs[embedding_dim>=-4294967296].max_partitions": 3,
    "data_config.label_fields": ["\x80", "\u2028", "a\u00a0b"],
}


def as_easyrec_has_it(text: str, edits: Any) -> Any:
    message = text_format.Merge(text, config_class()())
    easyrec.apply(message, edits)
    return message


@pytest.mark.parametrize("edits", [*({key: value} for key, value in CARRIED.items()), CARRIED])
def test_easyrec_makes_of_the_json_what_edit_text_makes_of_the_config(edits: dict[str, Any]) -> None:
    edits = {key: value.strip() if key == "model_dir" else value for key, value in edits.items()}
    sent = easyrec.load(easyrec.through_command_line(render_edit_config_json(TEXT, edits)))
    assert as_easyrec_has_it(TEXT, sent) == text_format.Merge(edit_text(TEXT, edits), config_class()())


def test_json_values_have_the_type_of_their_field() -> None:
    rendered = render_edit_config_json(TEXT, CARRIED | {"model_dir": "m", "data_config.separator": "5"})
    for part in (
        f'"{RATE}": 1.0e-05', '"train_config.num_steps": 4,', '"feature_configs[:].embedding_dim": 8,',
        '"feature_configs[0].feature_type": "RawFeature"', '"train_config.sync_replicas": true',
        'hidden_units": [16, 8]', '"data_config.separator": "5"', '"data_config.num_epochs": 3',
        '"[1e-05, 2.0, inf]"', r'"{ hidden_units: [3, 2] activation: \"tf.nn.relu\" }"',
    ):  # fmt: skip
        assert part in rendered


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("model_dir", "it's", "single quote"),
        ("model_dir", "a;b", "';'"),
        ("model_dir", " a", "blanks"),
        ("feature_configs[input_names[0]=b.c].embedding_dim", 4, "every dot"),
        ("feature_configs[:]", "{input_names: 'a'}", "slice"),
        ("model_config.dbmtl.bottom_dnn.hidden_units[:]", 4, "slice"),
        ("model_config.dbmtl.bottom_dnn.hidden_units", [], "empty list"),
        ("model_config.feature_groups[0].wide_deep", "WIDE", "enum WideOrDeep"),
        ("model_config.feature_groups[wide_deep=DEEP].group_name", "x", "enum WideOrDeep"),
        ("data_config.input_fields[0].input_type", "INT64", "enum DatasetConfig.FieldType"),
        ("feature_configs[embedding_dim=16e0].embedding_dim", 4, "integer"),
        ("feature_configs[boundaries[0]=1].embedding_dim", 4, r"feature_configs\[0\]"),
        ("feature_configs[0: ].embedding_dim", 4, "blank"),
        ("feature_configs[0]. .embedding_dim", 4, "blank between two dots"),
        ("feature_configs" + "[0]" + " " * 1020 + ".embedding_dim", 4, "too long"),
    ],
)
def test_what_json_cannot_carry_is_refused_naming_the_patched_config(key: str, value: Any, why: str) -> None:
    edit_text(TEXT, {key: value})
    with pytest.raises(ConfigEditError, match=why) as caught:
        render_edit_config_json(TEXT, {key: value})
    [problem, *_] = check_edits(TEXT, {key: choice(value)}, as_json=True)
    for hint in (caught.value.hint, problem.hint):
        assert "patched config" in hint


def test_the_longest_key_that_json_carries_is_read_by_yaml() -> None:
    name = "n" * (1024 - 2 - len("feature_configs[feature_name=].embedding_dim"))
    text = f'feature_configs {{ feature_name: "{name}" input_names: "a" }}'
    key = f"feature_configs[feature_name={name}].embedding_dim"
    assert easyrec.load(render_edit_config_json(text, {key: 4})) == {key: 4}
    text, key = text.replace(name, f"{name}n"), key.replace(name, f"{name}n")
    with pytest.raises(ConfigEditError, match="too long"):
        render_edit_config_json(text, {key: 4})


def test_values_are_read_with_their_defaults() -> None:
    assert values_at(TEXT, "feature_configs[:].max_partitions") == [1, 1]
    assert values_at(TEXT, "train_config.sync_replicas;train_config.num_steps") == [True, 2000]
    assert values_at(TEXT, "train_config.optimizer_config[0].adam_optimizer.beta2") == [0.999]
    assert values_at(TEXT, "data_config.input_fields") == [[{"input_name": "a", "input_type": "INT32"}]]
    assert values_at(TEXT, "feature_configs[1].boundaries") == [[1.0, 2.0]]
    with pytest.raises(ConfigEditError, match="nothing matches"):
        values_at(TEXT, "feature_configs[7:]")


def test_configs_are_compared_by_meaning() -> None:
    saved = text_format.MessageToString(text_format.Parse(TEXT, config_class()()))
    assert difference(TEXT, saved) == []
    assert difference(TEXT, edit_text(saved, {"train_config.sync_replicas": True})) == []
    other = edit_text(
        saved,
        {
            "model_dir": "oss://b/m/",
            "train_config.num_steps": 3000,
            "feature_configs[1].boundaries": [1, 3],
            "feature_configs[0].embedding_dim": 8,
            "export_config.multi_placeholder": True,
        },
    )
    assert difference(TEXT, other) == [
        'model_dir: meant "oss://b/m", saved "oss://b/m/"',
        "train_config.num_steps: meant 2000, saved 3000",
        "feature_configs[0].embedding_dim: meant 16, saved 8",
        "feature_configs[1].boundaries: meant [1.0, 2.0], saved [1.0, 3.0]",
        "export_config: meant nothing, saved {'multi_placeholder': True}",
    ]
    ignored = ["model_dir", "export_config", "feature_configs[:].embedding_dim", "feature_configs.boundaries"]
    assert difference(TEXT, other, ignore=[*ignored, "train_config.num_steps"]) == []
    assert difference(TEXT, TEXT + "feature_configs {}") == ["feature_configs: meant 2 elements, saved 3"]
    assert difference("feature_configs { min_val: 0.1 }", "feature_configs { min_val: 1e-1 }") == []
    rate = "model_config { embedding_regularization: %s }"
    assert difference(rate % "0.1", rate % "0.10000000149") == []  # equal as 32-bit floats
