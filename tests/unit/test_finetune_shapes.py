"""Which changes of a config a checkpoint can't follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from include.errors import ConfigEditError
from include.finetune.shape_fields import BY_NAME, BY_NAME_AND_NUMBER, IDENTITY, RULES, WITHOUT_SHAPE
from include.finetune.shapes import Effect, ShapeChange, shape_changes, shape_keys
from include.pipeline_config import edit_text
from include.pipeline_config.fields import INTEGERS, table
from include.sandbox import easyrec_proto
from include.sandbox.trainer import features
from include.sandbox.trainer.features import Encoded
from include.sandbox.trainer.network import Network

CONFIG = """
train_config {
  optimizer_config { adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } } }
  num_steps: 30
}
data_config { batch_size: 128 input_type: OdpsInputV2 label_fields: "is_like" label_fields: "is_love" }
feature_configs { input_names: "user" feature_type: IdFeature embedding_dim: 16 hash_bucket_size: 300 }
feature_configs { input_names: "item" feature_type: IdFeature embedding_dim: 16 hash_bucket_size: 2000 num_buckets: 5 }
feature_configs { input_names: "age" feature_type: RawFeature embedding_dim: 8 boundaries: [20, 30, 40] }
feature_configs { input_names: "price" feature_type: RawFeature }
feature_configs { input_names: "genres" feature_type: TagFeature embedding_dim: 16 hash_bucket_size: 50 separator: "|" }
feature_configs { input_names: "gender" feature_type: IdFeature embedding_dim: 4 vocab_list: ["F", "M"] }
feature_configs { input_names: "hour" feature_type: IdFeature embedding_dim: 4 num_buckets: 24 }
feature_configs { input_names: "unused" feature_type: IdFeature embedding_dim: 4 num_buckets: 24 }
model_config {
  model_class: "DBMTL"
  feature_groups {
    group_name: "all" wide_deep: DEEP
    feature_names: ["user", "item", "age", "price", "genres", "gender", "hour"]
  }
  dbmtl {
    bottom_dnn { hidden_units: [16, 8] dropout_ratio: [0.1, 0.1] use_bn: false }
    task_towers { tower_name: "like" label_name: "is_like" dnn { hidden_units: 8 use_bn: false } }
    task_towers {
      tower_name: "love" label_name: "is_love" dnn { hidden_units: [8] use_bn: false }
      relation_tower_names: "like" relation_dnn { hidden_units: [4] use_bn: false }
    }
    l2_regularization: 0
  }
  embedding_regularization: 1e-6
}
"""
WITHOUT_FEATURES = "\n".join(line for line in CONFIG.split("\n") if not line.startswith("feature_configs"))
NEW_FEATURE = (
    'feature_configs { input_names: "city" feature_type: IdFeature embedding_dim: 4 num_buckets: 9 }\n'
)


def changes(after: str | Mapping[str, Any], before: str = CONFIG) -> list[ShapeChange]:
    return shape_changes(before, after if isinstance(after, str) else edit_text(before, after))


def found(after: str | Mapping[str, Any], before: str = CONFIG) -> list[tuple[str, Effect, bool]]:
    return [(c.path, c.effect, c.is_fatal) for c in changes(after, before)]


def model(group: str, body: str, more: str = "") -> str:
    """A config with two features and the given groups and model."""
    return f"""
feature_configs {{ input_names: "a" feature_type: IdFeature embedding_dim: 4 hash_bucket_size: 10 }}
feature_configs {{ input_names: "b" feature_type: IdFeature embedding_dim: 4 hash_bucket_size: 10 }}
model_config {{ {group} {body} {more} }}
"""


ALL = 'feature_groups { group_name: "all" feature_names: ["a", "b"] wide_deep: DEEP }'


# What is no change


def test_the_same_config_in_other_words_is_no_change() -> None:
    lines = CONFIG.strip().split("\n")
    rows = [n for n, line in enumerate(lines) if line.startswith("feature_configs")]
    for first, last in ((rows[0], rows[-1]), (rows[2], rows[4])):
        lines[first], lines[last] = lines[last], lines[first]
    assert changes("\n".join(lines)) == []
    opened = [line.replace("feature_configs {", "feature_config { features {") for line in CONFIG.split("\n")]
    v2 = "\n".join(f"{line} }}" if line.startswith("feature_config {") else line for line in opened)
    assert changes(v2) == []
    assert shape_changes(v2, CONFIG) == []


@pytest.mark.parametrize(
    "edit",
    [
        {
            "train_config.optimizer_config[0].adam_optimizer.learning_rate.constant_learning_rate.learning_rate": 1e-6
        },
        {"train_config.num_steps": 5, "data_config.batch_size": 64},
        {"train_config.fine_tune_checkpoint": "oss://b/m/model.ckpt-30"},
        {"model_config.embedding_regularization": 0.1, "model_config.dbmtl.l2_regularization": 0.1},
        {"model_config.dbmtl.bottom_dnn.dropout_ratio[:]": 0.5},
        {"model_config.dbmtl.bottom_dnn.activation": "tf.nn.elu"},
        {"model_config.dbmtl.task_towers[tower_name=love].weight": 3},
        {"feature_configs[input_names[0]=genres].combiner": "mean"},
        {"feature_configs[input_names[0]=user].max_partitions": 4},
        {"feature_configs[input_names[0]=item].num_buckets": 99},  # hash_bucket_size counts
        {"feature_configs[input_names[0]=hour].initializer": "constant_initializer { consts: 1 }"},
        {"feature_configs[input_names[0]=unused].embedding_dim": 99},
        {"feature_configs[input_names[0]=age].boundaries": [40, 20, 30]},  # EasyRec sorts them
    ],
)
def test_what_decides_no_shape_is_no_change(edit: dict[str, Any]) -> None:
    assert changes(edit) == []


# Embedding tables


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"feature_configs[input_names[0]=user].embedding_dim": 32}, "columns of its embedding table: 16 becomes 32"),
        ({"feature_configs[input_names[0]=user].hash_bucket_size": 301}, "embedding table: 300 becomes 301"),
        ({"feature_configs[input_names[0]=hour].num_buckets": 25}, "rows of its embedding table: 24 becomes 25"),
        ({"feature_configs[input_names[0]=age].boundaries": [20, 30]}, "rows of its embedding table: 4 becomes 3"),
        ({"feature_configs[input_names[0]=gender].vocab_list": ["F", "M", "X"]}, "embedding table: 2 becomes 3"),
        ({"feature_configs[input_names[0]=gender].hash_bucket_size": 7}, "rows of its embedding table: 2 becomes 7"),
        ({"feature_configs[input_names[0]=hour].vocab_file": "oss://b/v"}, "24 becomes the lines of oss://b/v"),
        ({"feature_configs[input_names[0]=price].embedding_dim": 4}, "price becomes an embedding table"),
        ({"feature_configs[input_names[0]=price].raw_input_dim": 3}, "width 1 becomes 3"),
        ({"feature_configs[input_names[0]=genres].kv_separator": ":"}, "genres becomes genres_weighted_by_genres_w"),
        ({"feature_configs[input_names[0]=age].feature_type": "IdFeature"}, "table age_bucketized becomes age"),
        ({"feature_configs[input_names[0]=user].ev_params": "filter_freq: 1"}, "is kept by key"),
    ],
)  # fmt: skip
def test_a_table_with_another_shape_is_refused(edit: dict[str, Any], reason: str) -> None:
    (change,) = changes(edit)
    assert change.path == next(iter(edit))
    assert reason in change.reason
    assert (change.effect, change.is_fatal) == (Effect.RESHAPED, True)


def test_numbers_that_min_and_max_make_buckets_of_get_a_table() -> None:
    price = "feature_configs[input_names[0]=price]"
    before = edit_text(CONFIG, {f"{price}.embedding_dim": 4, f"{price}.num_buckets": 10})
    (change,) = changes({f"{price}.max_val": 100}, before)
    assert change.reason == "its embedding table price_raw_proj becomes price_bucketized"
    ranged = edit_text(before, {f"{price}.max_val": 100})
    assert (
        changes({f"{price}.num_buckets": 20}, ranged)[0].reason
        == "rows of its embedding table: 11 becomes 21"
    )
    assert changes({f"{price}.hash_bucket_size": 20}, ranged) == []


def test_rows_that_stand_for_other_values_are_refused_though_the_shape_is_the_same() -> None:
    path = "feature_configs[input_names[0]=gender].vocab_list"
    assert found({path: ["M", "F"]}) == [(path, Effect.REMAPPED, True)]
    path = "feature_configs[input_names[0]=hour].hash_bucket_size"
    assert found({path: 24}) == [(path, Effect.REMAPPED, True)]


def test_bounds_that_shift_and_inputs_that_change_are_warnings() -> None:
    path = "feature_configs[input_names[0]=age].boundaries"
    assert found({path: [21, 30, 40]}) == [(path, Effect.REMAPPED, False)]
    named = CONFIG.replace('input_names: "hour"', 'feature_name: "hour" input_names: "hour"')
    path = "feature_configs[feature_name=hour].input_names"
    assert found({path: ["local_hour"]}, named) == [(path, Effect.REMAPPED, False)]


def test_a_sequence_is_as_wide_as_its_combiner_makes_it() -> None:
    sequence = "feature_type: SequenceFeature sub_feature_type: IdFeature"
    before = CONFIG.replace('"hour" feature_type: IdFeature', f'"hour" {sequence} sequence_combiner {{ %s }}')
    path = "feature_configs[input_names[0]=hour].sequence_combiner"
    cnn = "text_cnn { filter_sizes: [2, 3] num_filters: [8, 8] }"
    (change,) = changes(before % cnn, before % "attention {}")
    assert (change.path, change.is_fatal) == (path, True)
    assert "width 4 becomes 16" in change.reason
    on_top = cnn.replace("[8, 8]", "[8, 8] mlp { hidden_units: [8, 4] }")
    assert "width 16 becomes 4" in changes(before % on_top, before % cnn)[0].reason


def test_a_shared_table_is_judged_by_its_name() -> None:
    shared = edit_text(
        CONFIG,
        {
            "feature_configs[input_names[0]=user].embedding_name": "ids",
            "feature_configs[input_names[0]=genres].embedding_name": "ids",
        },
    )
    reasons = [c.reason for c in changes(shared)]
    assert reasons == ["its embedding table user becomes ids", "its embedding table genres becomes ids"]
    alone = edit_text(CONFIG, {"feature_configs[input_names[0]=user].embedding_name": "ids"})
    assert changes(alone) == []  # EasyRec shares only what several features name


def test_features_are_expanded_as_easyrec_saves_them() -> None:
    short = """
feature_configs { input_names: "a1" shared_names: "a[2-3]" feature_type: IdFeature embedding_dim: 4 num_buckets: 9 }
data_config { auto_expand_input_fields: true }
model_config { feature_groups { group_name: "all" feature_names: "a[1-3]" } }
"""
    feature = (
        'feature_configs { input_names: "%s" feature_type: IdFeature embedding_dim: 4 num_buckets: 9 }\n'
    )
    saved = (
        "".join(feature % name for name in ("a1", "a2", "a3"))
        + 'model_config { feature_groups { group_name: "all" feature_names: ["a1", "a2", "a3"] } }'
    )
    assert shape_changes(saved, short) == []
    assert shape_changes(short, saved) == []
    wider = short.replace("num_buckets: 9", "num_buckets: 10")
    assert [c.path for c in shape_changes(saved, wider)] == ["feature_configs[input_names[0]=a1].num_buckets"]


# Features and groups


def test_a_feature_that_no_group_reads_yet_is_no_change() -> None:
    assert changes(CONFIG + NEW_FEATURE) == []


def test_a_new_feature_of_a_deep_group_warns_and_the_width_it_changes_is_refused() -> None:
    after = (CONFIG + NEW_FEATURE).replace('"hour"]', '"hour", "city"]')
    group = "model_config.feature_groups[group_name=all].feature_names"
    assert found(after) == [
        ("feature_configs[input_names[0]=city]", Effect.ADDED, False),
        (group, Effect.RESHAPED, True),
    ]
    assert (
        "city came: the input of what reads this group changes its width from 65 to 69"
        in changes(after)[1].reason
    )
    assert found(CONFIG, after) == [
        ("feature_configs[input_names[0]=city]", Effect.DROPPED, False),
        (group, Effect.RESHAPED, True),
    ]


def test_another_feature_of_the_same_width_and_another_order_are_refused() -> None:
    group = "model_config.feature_groups[group_name=all].feature_names"
    swapped = (CONFIG + NEW_FEATURE).replace('"hour"]', '"city"]')
    assert (group, Effect.REMAPPED, True) in found(swapped)
    reordered = CONFIG.replace('"user", "item",', '"item", "user",')
    assert found(reordered) == [(group, Effect.REMAPPED, True)]


def test_a_new_feature_of_a_wide_or_pooled_group_is_only_a_warning() -> None:
    groups = """feature_groups { group_name: "wide" feature_names: "a" wide_deep: WIDE }
      feature_groups { group_name: "deep" feature_names: "a" } feature_groups { group_name: "fm" feature_names: "a" }"""
    before = model(groups, "deepfm { dnn { hidden_units: 4 } final_dnn { hidden_units: 4 } }")
    for name in ("wide", "fm"):
        after = before.replace(f'"{name}" feature_names: "a"', f'"{name}" feature_names: ["b", "a"]')
        assert {(c.effect, c.is_fatal) for c in shape_changes(before, after)} == {(Effect.ADDED, False)}
        assert {(c.effect, c.is_fatal) for c in shape_changes(after, before)} == {(Effect.DROPPED, False)}
    after = before.replace('"deep" feature_names: "a"', '"deep" feature_names: ["a", "b"]')
    assert any(c.is_fatal for c in shape_changes(before, after))
    wider = before.replace("deepfm {", "deepfm { wide_output_dim: 3 ")
    assert [c.path for c in shape_changes(before, wider)] == ["model_config.deepfm.wide_output_dim"]


def test_rows_of_a_wide_only_feature_count_and_its_embedding_dim_does_not() -> None:
    group = 'feature_groups { group_name: "wide" feature_names: ["a", "b"] wide_deep: WIDE }'
    before = model(group, "wide_and_deep { dnn { hidden_units: 4 } }")
    assert changes({"feature_configs[input_names[0]=a].embedding_dim": 9}, before) == []
    assert changes({"feature_configs[input_names[0]=a].hash_bucket_size": 9}, before)[0].is_fatal


def test_sequences_are_read_in_a_width_of_their_own() -> None:
    sequence = """feature_groups { group_name: "all" feature_names: "a" sequence_features {
      group_name: "din" seq_att_map { key: "a" hist_seq: "b" } seq_dnn { hidden_units: [8, 1] } tf_summary: %s } }"""
    before = model(sequence % "false", "multi_tower { final_dnn { hidden_units: 4 } }")
    base = "model_config.feature_groups[group_name=all].sequence_features[group_name=din]"
    assert changes(before.replace("tf_summary: false", "tf_summary: true"), before) == []
    for old, new, field in (
        ('hist_seq: "b"', 'hist_seq: "b" hist_seq: "a"', "seq_att_map"),
        ("hidden_units: [8, 1]", "hidden_units: [4, 1]", "seq_dnn.hidden_units"),
        ("tf_summary: false", "need_key_feature: false", "need_key_feature"),
        ("seq_dnn { hidden_units: [8, 1] }", "", "seq_dnn.hidden_units"),  # EasyRec's own is larger
    ):
        assert found(before.replace(old, new), before) == [(f"{base}.{field}", Effect.RESHAPED, True)]
    implicit = before.replace("seq_dnn { hidden_units: [8, 1] }", "")
    assert changes(before.replace("[8, 1]", "[128, 64, 32, 1]"), implicit) == []
    assert changes({"feature_configs[input_names[0]=b].embedding_dim": 9}, before)[0].is_fatal


def test_features_that_are_loaded_from_elsewhere_are_said_not_to_be_judged() -> None:
    hidden = 'fg_json_path: "oss://b/fg.json"\n' + WITHOUT_FEATURES
    trained = 'fg_json_path: "!oss://b/fg.json"\n' + CONFIG
    assert [(c.path, c.effect, c.is_fatal) for c in shape_changes(trained, hidden)] == [
        ("fg_json_path", Effect.UNKNOWN, False)
    ]
    assert [c.effect for c in shape_changes(hidden, CONFIG)] == [Effect.UNKNOWN]
    features_text = "".join(
        line.replace("feature_configs {", "feature_config { features {") + " }\n"
        for line in CONFIG.split("\n")
        if line.startswith("feature_configs")
    )
    assert shape_changes(CONFIG, hidden, fg_config=features_text) == []
    other = features_text.replace("hash_bucket_size: 300", "hash_bucket_size: 301")
    assert [c.is_fatal for c in shape_changes(CONFIG, hidden, fg_config=other)] == [True]


# Layers and towers


@pytest.mark.parametrize(
    "edit",
    [
        {"model_config.dbmtl.bottom_dnn.hidden_units[1]": 9},
        {"model_config.dbmtl.bottom_dnn.hidden_units": [16]},
        {"model_config.dbmtl.bottom_dnn.hidden_units": [16, 8, 4]},
        {"model_config.dbmtl.task_towers[tower_name=love].relation_dnn.hidden_units": [5]},
        {"model_config.dbmtl.task_towers[tower_name=love].relation_tower_names": []},
        {"model_config.dbmtl.task_towers[tower_name=like].num_class": 2},
        {"model_config.dbmtl.expert_dnn": "hidden_units: 4"},
        {"model_config.dbmtl.num_expert": 3},
        {"model_config.mmoe": "expert_dnn { hidden_units: 4 } num_expert: 2"},
        {"model_config.num_class": 3},
        {"model_config.backbone": 'blocks { name: "x" }'},
    ],
)
def test_layers_of_another_shape_are_refused(edit: dict[str, Any]) -> None:
    fatal = [change for change in changes(edit) if change.is_fatal]
    assert fatal
    assert all(change.path.startswith("model_config.") for change in fatal)


def test_switches_that_only_add_or_drop_variables_are_warnings() -> None:
    path = "model_config.dbmtl.bottom_dnn.use_bn"
    assert found({path: True}) == [(path, Effect.ADDED, False)]
    assert found({path: False}, edit_text(CONFIG, {path: True})) == [(path, Effect.DROPPED, False)]
    path = "model_config.dbmtl.bottom_dnn.activation"
    assert found({path: "dice"}) == [(path, Effect.ADDED, False)]
    path = "model_config.variational_dropout"
    assert found({path: "regularization_lambda: 0.1"}) == [(path, Effect.ADDED, False)]


def test_another_kind_of_optimizer_is_a_warning() -> None:
    edit = {
        "train_config.optimizer_config[0]": "adagrad_optimizer { learning_rate { constant_learning_rate {} } }"
    }
    assert found(edit) == [("train_config.optimizer_config", Effect.ADDED, False)]


def tower(name: str, hidden: int = 4) -> str:
    return f'task_towers {{ tower_name: "{name}" dnn {{ hidden_units: {hidden} }} }}'


def test_towers_are_told_apart_by_their_names() -> None:
    before = model(ALL, f"dbmtl {{ {tower('x')} {tower('y', 8)} }}")
    path = "model_config.dbmtl.task_towers"
    more = model(ALL, f"dbmtl {{ {tower('x')} {tower('y', 8)} {tower('z')} }}")
    assert found(more, before) == [(f"{path}[tower_name=z]", Effect.ADDED, False)]
    assert found(before, more) == [(f"{path}[tower_name=z]", Effect.DROPPED, False)]
    renamed = model(ALL, f"dbmtl {{ {tower('x')} {tower('w', 8)} }}")
    assert (path, Effect.RESHAPED, True) in found(renamed, before)
    changed = model(ALL, f"dbmtl {{ {tower('x')} {tower('y', 9)} }}")
    assert found(changed, before) == [(f"{path}[tower_name=y].dnn.hidden_units", Effect.RESHAPED, True)]


def test_towers_with_numbered_variables_must_not_move() -> None:
    before = model(
        ALL, f"mmoe {{ expert_dnn {{ hidden_units: 4 }} num_expert: 2 {tower('x')} {tower('y')} }}"
    )
    swapped = model(
        ALL, f"mmoe {{ expert_dnn {{ hidden_units: 4 }} num_expert: 2 {tower('y')} {tower('x')} }}"
    )
    assert found(swapped, before) == [("model_config.mmoe.task_towers", Effect.REMAPPED, True)]
    in_front = swapped.replace(tower("x"), "").replace("num_expert: 2", f"num_expert: 2 {tower('x')}")
    assert changes(in_front, before) == []
    by_name = model(ALL, f"dbmtl {{ {tower('x')} {tower('y')} }}")
    assert changes(model(ALL, f"dbmtl {{ {tower('y')} {tower('x')} }}"), by_name) == []
    experts = "expert_dnn { hidden_units: 4 } num_expert: 2"
    before = model(ALL, f"dbmtl {{ {experts} {tower('x')} {tower('y')} }}")
    swapped = model(ALL, f"dbmtl {{ {experts} {tower('y')} {tower('x')} }}")
    assert found(swapped, before) == [("model_config.dbmtl.task_towers", Effect.REMAPPED, True)]


def test_towers_whose_outputs_are_joined_must_neither_move_nor_come_nor_go() -> None:
    groups = """feature_groups { group_name: "u" feature_names: "a" }
      feature_groups { group_name: "i" feature_names: "b" }"""
    towers = [
        'towers { input: "u" dnn { hidden_units: 4 } }',
        'towers { input: "i" dnn { hidden_units: 4 } }',
    ]
    before = model(groups, f"multi_tower {{ {' '.join(towers)} final_dnn {{ hidden_units: 4 }} }}")
    swapped = model(groups, f"multi_tower {{ {' '.join(reversed(towers))} final_dnn {{ hidden_units: 4 }} }}")
    fewer = model(groups, f"multi_tower {{ {towers[0]} final_dnn {{ hidden_units: 4 }} }}")
    for after in (swapped, fewer):
        assert found(after, before) == [("model_config.multi_tower.towers", Effect.RESHAPED, True)]


BACKBONE = """backbone {
  blocks { name: "deep" inputs { feature_group_name: "all" }
    keras_layer { class_name: "MLP" mlp { hidden_units: [8, 4] } } }
  blocks { name: "fm" inputs { feature_group_name: "all" input_fn: "lambda x: x" }
    keras_layer { class_name: "FM" fm { use_variant: true } } }
  concat_blocks: ["deep", "fm"]
  top_mlp { hidden_units: 4 dropout_ratio: 0.1 }
}"""


def test_blocks_of_a_backbone_are_told_apart_by_their_names() -> None:
    before = model(ALL, 'model_class: "RankModel" model_params { l2_regularization: 0.1 }', BACKBONE)
    assert changes(before.replace("dropout_ratio: 0.1", "dropout_ratio: 0.2"), before) == []
    blocks = before.split("  blocks")
    moved = "  blocks".join(
        [blocks[0], blocks[2].split("  concat")[0], blocks[1] + "  concat" + blocks[2].split("  concat")[1]]
    )
    assert changes(moved, before) == []
    for old, new, path in (
        ("hidden_units: [8, 4]", "hidden_units: [8, 5]", "blocks[name=deep].keras_layer.mlp.hidden_units"),
        ("use_variant: true", "use_variant: false", "blocks[name=fm].keras_layer.fm.use_variant"),
        ("lambda x: x", "lambda x: x[0]", "blocks[name=fm].inputs[0].input_fn"),
        ('["deep", "fm"]', '["fm", "deep"]', "concat_blocks"),
        ("top_mlp { hidden_units: 4 dropout_ratio: 0.1 }", "", "top_mlp"),
        ('mlp { hidden_units: [8, 4] }', 'st_params { fields { key: "x" value { number_value: 1 } } }',
         "blocks[name=deep].keras_layer.st_params"),
    ):  # fmt: skip
        assert found(before.replace(old, new), before) == [
            (f"model_config.backbone.{path}", Effect.RESHAPED, True)
        ]


def test_a_text_that_can_not_be_read_says_where() -> None:
    with pytest.raises(ConfigEditError, match="line 1"):
        shape_changes(CONFIG, "model_config {")
    with pytest.raises(ConfigEditError, match="line 1"):
        shape_keys([], "model_config {")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('feature_names: ["user",', 'feature_names: [{ a: 1 }, "user",', "'feature_names' takes a string"),
        ('input_names: "item"', "input_names { a: 1 }", "'input_names' takes a string"),
        ("hidden_units: [16, 8]", "hidden_units: [16, { a: 1 }]", "'hidden_units' takes a uint32"),
        ('task_towers { tower_name: "like"', 'task_towers: "x" task_towers {', "'task_towers' is a message"),
        ("model_config {", "feature_configs: 1 model_config {", "'feature_configs' is a message"),
        ("feature_groups {", 'feature_groups: "x" feature_groups {', "'feature_groups' is a message"),
        ("embedding_dim: 16", "embedding_dim: ${x}", r"embedding_dim of feature user is \$\{x\}"),
        ("bucket_size: 300", "bucket_size: ${x}", r"hash_bucket_size of feature user is \$\{x\}"),
        ("boundaries: [20,", "boundaries: [${x},", r"boundaries of feature age is \$\{x\}"),
        ('["user",', '["user[1-999999999999]",', "more than 10000 fields"),
        ('["user",', f'["user[1-{"9" * 5000}]",', "more than 10000 fields"),
        ('["user",', '["user[1-10001]",', "more than 10000 fields"),
    ],
)
def test_a_value_that_its_field_cannot_hold_is_said(old: str, new: str, said: str) -> None:
    damaged = CONFIG.replace(old, new, 1)
    assert damaged != CONFIG
    for before, after in ((CONFIG, damaged), (damaged, CONFIG)):
        with pytest.raises(ConfigEditError, match=said):
            shape_changes(before, after)


# The sandbox's trainer builds real variables: it is the judge.


def variables(text: str) -> dict[str, tuple[int, ...]]:
    config = easyrec_proto.parse(text)
    known = features.read_features(config)
    one = Encoded(np.zeros((1, 1), np.int64), np.ones((1, 1), np.float32))
    network = Network(config, known, dict.fromkeys(known, one), seed=0)
    return {variable.name: variable.full_shape for variable in network.variables}


EDITS = [
    {"feature_configs[input_names[0]=user].embedding_dim": 8},
    {"feature_configs[:].embedding_dim": 16},
    {"feature_configs[input_names[0]=item].hash_bucket_size": 2001},
    {"feature_configs[input_names[0]=item].num_buckets": 6},
    {"feature_configs[input_names[0]=hour].num_buckets": 48},
    {"feature_configs[input_names[0]=age].boundaries": [1, 2]},
    {"feature_configs[input_names[0]=age].boundaries": [1, 2, 3]},
    {"feature_configs[input_names[0]=gender].vocab_list": ["M"]},
    {"feature_configs[input_names[0]=unused].num_buckets": 1},
    {"feature_configs[input_names[0]=price].embedding_dim": 4},
    {"model_config.feature_groups[0].feature_names": ["user", "item"]},
    {"model_config.dbmtl.bottom_dnn.hidden_units": [16, 9]},
    {"model_config.dbmtl.bottom_dnn.hidden_units": [16]},
    {"model_config.dbmtl.bottom_dnn.use_bn": True},
    {"model_config.dbmtl.bottom_dnn.dropout_ratio": [0.5, 0.5]},
    {"model_config.dbmtl.task_towers[tower_name=love].dnn.hidden_units[0]": 9},
    {"model_config.dbmtl.task_towers[tower_name=love].relation_tower_names": []},
    {"model_config.dbmtl.task_towers[tower_name=like].weight": 2},
    {"train_config.num_steps": 31},
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: next(iter(edit)))
def test_variables_get_another_shape_exactly_where_it_is_said(edit: dict[str, Any]) -> None:
    after = edit_text(CONFIG, edit)
    old, new = variables(CONFIG), variables(after)
    reshaped = [name for name in new if name in old and new[name] != old[name]]
    said = [change for change in changes(after) if change.effect is Effect.RESHAPED]
    assert bool(said) == bool(reshaped), (said, reshaped)
    only_new = set(new) - set(old)
    if only_new and not reshaped:
        assert any(change.effect is Effect.ADDED for change in changes(after))


# Keys of a search space


def keys(space: Any, text: str = CONFIG) -> list[tuple[str, bool]]:
    return [(key.field, key.is_fatal) for key in shape_keys(space, text)]


def choice(*values: Any) -> dict[str, Any]:
    return {"_type": "choice", "_value": list(values)}


RATE = "train_config.optimizer_config[0].adam_optimizer.learning_rate.constant_learning_rate.learning_rate"


def test_the_manuals_begin_space_is_refused_key_by_key_and_its_finetune_space_is_fine() -> None:
    space = {
        RATE: choice(1e-3, 1e-4),
        "feature_configs[:].embedding_dim": {"_type": "randint", "_value": [4, 16]},
        "feature_configs[0].hash_bucket_size": {"_type": "randint", "_value": [1260935, 2521870]},
        "model_config.embedding_regularization": {"_type": "uniform", "_value": [0.000001, 0.0001]},
        "model_config.dbmtl.task_towers[0].dnn.hidden_units[0]": choice(1024, 512, 256, 128),
    }
    assert keys(space) == [
        ("FeatureConfig.embedding_dim", True),
        ("FeatureConfig.hash_bucket_size", True),
        ("DNN.hidden_units", True),
    ]
    assert [key.key for key in shape_keys(space, CONFIG)] == list(space)[1:3] + list(space)[4:]
    assert keys({RATE: choice(1e-6, 1e-5, 1e-4)}) == []


def test_a_key_is_judged_through_its_selector_and_by_its_values() -> None:
    item = "feature_configs[input_names[0]=item]"
    assert keys({f"{item}.num_buckets": choice(1, 2)}) == []  # hash_bucket_size counts
    assert keys({f"{item}.hash_bucket_size": choice(2000)}) == []
    assert keys({f"{item}.hash_bucket_size": choice(2000, 3000)}) == [
        ("FeatureConfig.hash_bucket_size", True)
    ]
    assert keys({f"{item}.hash_bucket_size": {"_type": "randint", "_value": [2000, 2001]}}) == []
    assert keys({"feature_configs[embedding_dim<16].embedding_dim": choice(8)}) == [
        ("FeatureConfig.embedding_dim", True)
    ]
    assert keys({"feature_configs[input_names[0]>=unused].embedding_dim": choice(8)}) == [
        ("FeatureConfig.embedding_dim", True)
    ]
    assert keys({"feature_configs[input_names[0]=unused].embedding_dim": choice(8)}) == []


def test_a_message_counts_for_what_it_holds() -> None:
    path = "model_config.dbmtl.bottom_dnn"
    same = "{ hidden_units: [16, 8] dropout_ratio: [0.3, 0.3] use_bn: false }"
    assert keys({path: choice(same)}) == []
    assert keys({path: choice(same, same.replace("8", "9"))}) == [("DBMTL.bottom_dnn", True)]
    assert keys({path: same.replace("use_bn: false", "use_bn: true")}) == [("DBMTL.bottom_dnn", False)]
    optimizer = "adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 1e-6 } } }"
    assert keys({"train_config.optimizer_config[0]": choice(optimizer)}) == []


def test_joined_keys_nested_choices_and_variables() -> None:
    user, item = (f"feature_configs[input_names[0]={name}].embedding_dim" for name in ("user", "item"))
    assert keys({f"{user};{item}": choice("16;16")}) == []
    assert keys({f"{user};{item}": choice("16;8")}) == [("FeatureConfig.embedding_dim", True)]
    nested = {"kind": choice({"_name": "one", RATE: choice(1e-5)}, {"_name": "two", user: choice(4)})}
    assert keys(nested) == [("FeatureConfig.embedding_dim", True)]
    assert keys({"${width}": choice(4, 8)}) == []


def test_edits_are_judged_like_domains() -> None:
    edits = {"train_config.fine_tune_checkpoint": "oss://b/m", "feature_configs[0].embedding_dim": "32"}
    assert keys(edits) == [("FeatureConfig.embedding_dim", True)]


def test_keys_alone_are_judged_by_the_field_they_end_at() -> None:
    alone = [
        RATE,
        "feature_configs[0].embedding_dim",
        "feature_configs[0].combiner",
        "model_config.dbmtl.bottom_dnn.use_bn",
        "model_config.dbmtl.bottom_dnn",
        "train_config.optimizer_config[0]",
    ]
    assert keys(alone) == [
        ("FeatureConfig.embedding_dim", True),
        ("DNN.use_bn", False),
        ("DBMTL.bottom_dnn", True),
    ]


def test_where_a_value_does_not_fit_the_field_decides() -> None:
    assert keys({"feature_configs[0].embedding_dim": choice("wide")}) == [
        ("FeatureConfig.embedding_dim", True)
    ]
    assert keys({"feature_configs[99].embedding_dim": choice(8)}) == [("FeatureConfig.embedding_dim", True)]


def test_keys_on_features_that_are_not_seen_are_judged_by_their_field() -> None:
    hidden = 'fg_json_path: "oss://b/fg.json"\n' + WITHOUT_FEATURES
    space = {"feature_configs[:].embedding_dim": choice(16)}
    assert keys(space, hidden) == [("FeatureConfig.embedding_dim", True)]
    one_of_them = CONFIG[
        CONFIG.index("feature_configs") : CONFIG.index('feature_configs { input_names: "item"')
    ]
    assert keys(space, hidden + one_of_them) == [("FeatureConfig.embedding_dim", True)]


def test_a_key_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigEditError, match="embeding_dim"):
        shape_keys({"feature_configs[0].embeding_dim": choice(4)}, CONFIG)


# The table


def reachable(*roots: str) -> set[str]:
    found: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in found and not name.startswith("google.") and name != "EvalMetrics":
            found.add(name)
            todo += [spec.type for spec in table().messages[name].values() if spec.is_message]
    return found


def test_every_field_of_the_table_exists_in_easyrec() -> None:
    named = [*RULES, *WITHOUT_SHAPE, *BY_NAME, *BY_NAME_AND_NUMBER, *IDENTITY.items()]
    assert [(m, f) for m, f in named if f not in table().messages.get(m, {})] == []
    assert set(RULES).isdisjoint(WITHOUT_SHAPE)


def test_every_whole_number_of_features_and_models_was_thought_of() -> None:
    """A field table of a newer EasyRec makes this fail: decide about its new fields."""
    unknown = {
        (message, name)
        for message in reachable("EasyRecModel", "FeatureConfig")
        for name, spec in table().messages[message].items()
        if spec.type in INTEGERS and (message, name) not in RULES
    }
    assert unknown == WITHOUT_SHAPE
