"""edit_text: what changes, what stays, and what is refused (reference R29)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from include.errors import ConfigEditError
from include.pipeline_config import edit_text, values_at

FLAT = """\
# Click-through rate
train_input_path: "odps://p/tables/train"  # yesterday
eval_input_path: 'odps://p/tables/eval'
model_dir: "oss://b/m"
train_config {
  optimizer_config: {
    adam_optimizer: {
      learning_rate: {
        exponential_decay_learning_rate {
          initial_learning_rate: 1e-3   # tuned by hand
          decay_steps: 1000
          min_learning_rate: 1e-07
        }
      }
    }
    use_moving_average: false
  }
  num_steps: 2000

  # every so often
  save_checkpoints_steps: 500
}
data_config { batch_size: 4096, input_type: CSVInput, separator: "," }
feature_configs {
  input_names: "user.id"
  feature_type: IdFeature
  embedding_dim: 16
  hash_bucket_size: 10000
}
feature_configs: { input_names: "price" feature_type: RawFeature boundaries: [0.5, 1, 2] embedding_dim: 8 }
feature_configs {
  input_names: "tags"
  input_names: "tag_weights"
  feature_type: TagFeature
}
model_config {
  model_class: "DBMTL"
  feature_groups { group_name: "all" feature_names: ["user.id", "price"] wide_deep: DEEP }
  dbmtl {
    bottom_dnn { hidden_units: [1024, 512, 256] }
    task_towers { tower_name: "ctr" dnn { hidden_units: 64 hidden_units: 32 } weight: 1 }
    task_towers { tower_name: "cvr" dnn { hidden_units: [64, 32] } weight: 0.5 }
  }
}
"""
NESTED = (
    "model_dir: 'm'\nfeature_config {\n  features { input_names: 'a' }\n  features { input_names: 'b' }\n}\n"
)
ADAM = "train_config.optimizer_config[0].adam_optimizer"


def changed(text: str, edits: dict[str, Any], **options: Any) -> tuple[list[str], list[str]]:
    """Lines taken out and lines put in; the edit is made twice to see that nothing more happens."""
    new = edit_text(text, edits, **options)
    assert edit_text(new, edits, **options) == new
    old_lines, new_lines = text.splitlines(), new.splitlines()
    same = 0
    while same < min(len(old_lines), len(new_lines)) and old_lines[same] == new_lines[same]:
        same += 1
    tail = 0
    while tail < min(len(old_lines), len(new_lines)) - same and old_lines[-1 - tail] == new_lines[-1 - tail]:
        tail += 1
    return old_lines[same : len(old_lines) - tail], new_lines[same : len(new_lines) - tail]


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        (f"{ADAM}.learning_rate.exponential_decay_learning_rate.initial_learning_rate", 3.5e-5,
         ["          initial_learning_rate: 1e-3   # tuned by hand"],
         ["          initial_learning_rate: 3.5e-05   # tuned by hand"]),
        ("train_config.num_steps", 4.0, ["  num_steps: 2000"], ["  num_steps: 4"]),
        ("train_config.num_steps", "12", ["  num_steps: 2000"], ["  num_steps: 12"]),
        ("eval_input_path", "it's", ["eval_input_path: 'odps://p/tables/eval'"], ["eval_input_path: 'it\\'s'"]),
        ("train_config.optimizer_config[-1].use_moving_average", "True",
         ["    use_moving_average: false"], ["    use_moving_average: true"]),
        ("feature_configs[0].feature_type", "RawFeature",
         ["  feature_type: IdFeature"], ["  feature_type: RawFeature"]),
        ("feature_configs[input_names[0]=user.id].embedding_dim", 24, ["  embedding_dim: 16"], ["  embedding_dim: 24"]),
        ("feature_configs[input_names[1]=tag_weights].feature_type", "IdFeature",
         ["  feature_type: TagFeature"], ["  feature_type: IdFeature"]),
        ("feature_configs[hash_bucket_size>=5].hash_bucket_size", 5, ["  hash_bucket_size: 10000"],
         ["  hash_bucket_size: 5"]),
        ("feature_configs[feature_type=TagFeature].separator", "|", [], ['  separator: "|"']),
        ("train_config.num_steps;train_config.save_checkpoints_steps", "2000;7",
         ["  save_checkpoints_steps: 500"], ["  save_checkpoints_steps: 7"]),
        ("model_config.embedding_regularization", "1e-5", [], ["  embedding_regularization: 1e-05"]),
        ("train_config.num_steps", 2000, [], []),
        (f"{ADAM}.learning_rate.exponential_decay_learning_rate.initial_learning_rate", "0.001", [], []),
    ],
)  # fmt: skip
def test_an_edit_changes_only_its_value(key: str, value: Any, old: list[str], new: list[str]) -> None:
    assert changed(FLAT, {key: value}) == (old, new)


def test_a_list_keeps_its_form_and_one_element_can_be_set() -> None:
    units = "model_config.dbmtl.task_towers[:].dnn.hidden_units"
    assert changed(FLAT, {units: [8, 4]}) == (
        [
            '    task_towers { tower_name: "ctr" dnn { hidden_units: 64 hidden_units: 32 } weight: 1 }',
            '    task_towers { tower_name: "cvr" dnn { hidden_units: [64, 32] } weight: 0.5 }',
        ],
        [
            '    task_towers { tower_name: "ctr" dnn { hidden_units: 8 hidden_units: 4 } weight: 1 }',
            '    task_towers { tower_name: "cvr" dnn { hidden_units: [8, 4] } weight: 0.5 }',
        ],
    )
    grown = edit_text(FLAT, {units: "[8, 4, 2]", "model_config.dbmtl.bottom_dnn.hidden_units[-1]": 9})
    assert "hidden_units: 8 hidden_units: 4 hidden_units: 2 }" in grown
    assert "hidden_units: [8, 4, 2] }" in grown
    assert "hidden_units: [1024, 512, 9] }" in grown


@pytest.mark.parametrize("value", [[1, 2.5], "[1, 2.5]", "[1.0,2.5]", (1, "2.5"), "['1', 2.5]"])
def test_a_list_comes_as_a_list_or_as_text(value: Any) -> None:
    new = edit_text(FLAT, {"feature_configs[1].boundaries": value})
    assert "boundaries: [1.0, 2.5]" in new


def test_a_slice_sets_the_elements_of_a_scalar_list() -> None:
    new = edit_text(FLAT, {"model_config.dbmtl.bottom_dnn.hidden_units[1:]": 100})
    assert "hidden_units: [1024, 100, 100]" in new


def test_an_emptied_list_disappears_with_its_lines() -> None:
    text = "feature_configs {\n  input_names: 'a'\n  boundaries: 1 # one\n  boundaries: 2\n}\n"
    new = edit_text(text, {"feature_configs[0].boundaries": []})
    assert new == "feature_configs {\n  input_names: 'a'\n}\n"


def test_absent_messages_are_made_in_the_style_around_them() -> None:
    edits = {
        "train_config.optimizer_config[0].adam_optimizer.beta1": 0.8,
        "export_config.multi_placeholder": False,
    }
    windows = edit_text(FLAT.replace("\n", "\r\n"), edits)
    assert windows.endswith("}\r\nexport_config {\r\n  multi_placeholder: false\r\n}\r\n")
    assert "      }\r\n      beta1: 0.8\r\n    }\r\n" in windows
    assert "\n" not in windows.replace("\r\n", "")
    assert edit_text("a <>", {"train_config.num_steps": 1}).endswith("train_config {\n  num_steps: 1\n}")
    text = "train_config: <\n\toptimizer_config: <\n\t\tuse_moving_average:true\n\t>\n>"
    assert edit_text(text, {f"{ADAM}.learning_rate.constant_learning_rate.learning_rate": 1}) == (
        "train_config: <\n\toptimizer_config: <\n\t\tuse_moving_average:true\n\t\tadam_optimizer: <\n"
        "\t\t\tlearning_rate: <\n\t\t\t\tconstant_learning_rate: <\n\t\t\t\t\tlearning_rate:1.0\n"
        "\t\t\t\t>\n\t\t\t>\n\t\t>\n\t>\n>"
    )


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("train_config { num_steps: 1 }", "train_config { num_steps: 1 sync_replicas: true }"),
        ("train_config { num_steps: 1, }", "train_config { num_steps: 1, sync_replicas: true, }"),
        ("train_config { num_steps: 1; dead_line: ''}",
         "train_config { num_steps: 1; dead_line: ''; sync_replicas: true}"),
        ("train_config {}", "train_config {\n  sync_replicas: true\n}"),
        ("train_config {  } # c\n", "train_config {\n  sync_replicas: true\n} # c\n"),
        ("model_dir: '' train_config {}", "model_dir: '' train_config { sync_replicas: true }"),
        ("train_config {\n    # later\n}\n", "train_config {\n    # later\n  sync_replicas: true\n}\n"),
        ("train_config {\n num_steps: 1 # one\n # end\n}",
         "train_config {\n num_steps: 1 # one\n sync_replicas: true\n # end\n}"),
        ("train_config {\r\n\tnum_steps: 1\r\n}", "train_config {\r\n\tnum_steps: 1\r\n\tsync_replicas: true\r\n}"),
        ("train_config {\n  num_steps: 1 }", "train_config {\n  num_steps: 1 sync_replicas: true }"),
        ("", "train_config {\n  sync_replicas: true\n}\n"),
        ("# empty", "# empty\ntrain_config {\n  sync_replicas: true\n}\n"),
        ("model_dir: 'x'", "model_dir: 'x'\ntrain_config {\n  sync_replicas: true\n}"),
    ],
)  # fmt: skip
def test_a_field_is_inserted_where_and_how_its_neighbours_stand(text: str, new: str) -> None:
    assert edit_text(text, {"train_config.sync_replicas": True}) == new
    assert edit_text(new, {"train_config.sync_replicas": True}) == new


def test_setting_a_branch_of_a_oneof_takes_the_others_place() -> None:
    key = "train_config.optimizer_config[0].adagrad_optimizer.learning_rate"
    old, new = changed(FLAT, {key: "{constant_learning_rate {learning_rate: 0.1}}"})
    assert old[0] == "    adam_optimizer: {"
    assert new == [
        "    adagrad_optimizer: {", "      learning_rate: {", "        constant_learning_rate: {",
        "          learning_rate: 0.1",
    ]  # fmt: skip
    assert changed(FLAT, {"parquet_train_input": "p"}) == (
        ['train_input_path: "odps://p/tables/train"  # yesterday'], ['parquet_train_input: "p"'],
    )  # fmt: skip


def test_no_earlier_branch_of_a_oneof_comes_back() -> None:
    text = 'train_input_path: "x"\nkafka_train_input { topic: "t" }\nmodel_dir: "m"\ntrain_input_path: "z"\n'
    new = edit_text(text, {"kafka_train_input.topic": "q"})
    assert new == 'model_dir: "m"\nkafka_train_input {\n  topic: "q"\n}\n'


def test_of_a_field_given_twice_the_one_that_counts_is_edited() -> None:
    text = "train_config { num_steps: 1 }\nmodel_dir: 'a'\ntrain_config { num_steps: 2 num_steps: 3 }\n"
    assert edit_text(text, {"train_config.num_steps": 9}) == text.replace("3", "9")
    assert edit_text(text, {"train_config": "sync_replicas: true"}) == (
        "model_dir: 'a'\ntrain_config { sync_replicas: true }\n"
    )


def test_a_message_is_replaced_as_a_whole_in_the_form_of_the_old_one() -> None:
    value = "{input_names:'c21' feature_type:RawFeature boundaries:[4,5] sequence_combiner {attention {}}}"
    new = edit_text(FLAT, {"feature_configs[0]": value, "feature_configs[1]": value})
    assert (
        'feature_configs {\n  input_names: "c21"\n  feature_type: RawFeature\n  boundaries: [4, 5]\n'
        "  sequence_combiner {\n    attention {}\n  }\n}\n"
    ) in new
    assert (
        'feature_configs: { input_names: "c21" feature_type: RawFeature boundaries: [4, 5] '
        "sequence_combiner: { attention: {} } }\n"
    ) in new


def test_messages_in_a_list_are_edited_in_place() -> None:
    text = "feature_configs: [{input_names:'a'}, <input_names:'b'>]"
    new = edit_text(text, {"feature_configs[1].embedding_dim": 3, "feature_configs[0]": "input_names:'z'"})
    assert new == "feature_configs: [{ input_names: \"z\" }, <input_names:'b' embedding_dim:3>]"


def test_both_layouts_of_features_are_edited() -> None:
    new = edit_text(NESTED, {"feature_config.features[input_names[0]=b].embedding_dim": 4})
    assert new == NESTED.replace("'b' }", "'b' embedding_dim: 4 }")


def test_later_edits_see_earlier_ones() -> None:
    edits = {
        "feature_configs[0].input_names[0]": "renamed",
        "feature_configs[input_names[0]=renamed].embedding_dim": 1,
        "feature_configs[0:1].embedding_dim": 2,
    }
    assert values_at(edit_text(FLAT, edits), "feature_configs[0].embedding_dim") == [2]


def test_selectors_take_dots_brackets_and_separators_in_values() -> None:
    names = ["a.b", "a=b;c", "f[1-3]", "x]y", "[z", "a:b", "p>=q"]
    text = "".join(f'feature_configs {{ input_names: "{name}" }}\n' for name in names)
    for number, name in enumerate(names):
        assert values_at(
            edit_text(text, {f"feature_configs[input_names[0]={name}].embedding_dim": 7}),
            "feature_configs[:].embedding_dim",
        ) == [7 * (number == n) for n in range(len(names))]


@pytest.mark.parametrize(
    ("key", "value", "message", "hint"),
    [
        ("model_config.embeding_regularization", 1, "no field", "embedding_regularization"),
        ("batch_size", 1, "no field", "data_config.batch_size"),
        ("feature_configs[input_names[0]=prise].embedding_dim", 1, "nothing matches", "price, user.id, tags"),
        ("feature_configs[3].embedding_dim", 1, r"no element \[3\]", "3 elements"),
        ("feature_configs[3:].embedding_dim", 1, "nothing matches", "3 elements"),
        ("feature_config.features[:].embedding_dim", 1, "nothing matches", "3 in feature_configs"),
        ("feature_configs.embedding_dim", 1, "say which", r"\[:\]"),
        ("train_config[0].num_steps", 1, "not a list", "leave out"),
        ("train_config.num_steps.x", 1, "no fields", ""),
        ("feature_configs[input_names=a].embedding_dim", 1, "compare one", r"input_names\[0\]"),
        ("feature_configs[abc].embedding_dim", 1, "can't be read", r"path=value"),
        ("feature_configs[0.embedding_dim", 1, r"no matching \]", ""),
        ("", 1, "name is missing", ""),
        ("train_config.num_steps", 4.5, "not a whole number", ""),
        ("train_config.num_steps", True, "not a number", ""),
        ("train_config.num_steps", "many", "not a number", ""),
        ("train_config.num_steps", None, "null", ""),
        ("data_config.batch_size", -1, "outside of uint32", ""),
        ("data_config.batch_size", 2**32, "outside of uint32", ""),
        ("feature_configs[0].hash_bucket_size", 2**64, "outside of uint64", ""),
        ("model_config.embedding_regularization", float("nan"), "NaN", ""),
        ("model_config.embedding_regularization", "1e39", "too large", ""),
        ("train_config.sync_replicas", "yes", "true or false", ""),
        ("train_config.sync_replicas", 1, "true or false", ""),
        ("data_config.input_type", "CSVInpt", "CSVInput", ""),
        ("data_config.input_type", 1, r"number 1; it takes .*OdpsInput \(2\)", ""),
        ("data_config.input_type", True, "not a name", ""),
        ("data_config.input_type", 2.0, "not a name", ""),
        ("feature_configs[feature_type=99].embedding_dim", 1, "no value of .* has the number 99", ""),
        ("feature_configs[embedding_dim<0.5].embedding_dim", 1, "not a whole number", ""),
        ("model_config.dbmtl.bottom_dnn.hidden_units", [1, "x"], "not a number", ""),
        ("model_config.dbmtl.bottom_dnn.hidden_units", "[1, 2", "can't be read as a list", ""),
        (
            "train_config.optimizer_config[0]",
            "{adam_optimizer {} adagrad_optimizer {}}",
            "exclude each other",
            "",
        ),
        ("train_config.optimizer_config[0]", "{adam_optimiser {}}", "adam_optimizer", ""),
        ("train_config.optimizer_config[0]", "{adam_optimizer {}", "never closed", ""),
        ("data_config", "{batch_size: 1 batch_size: 2}", "given twice", ""),
        ("feature_configs", "[{}]", "select elements", ""),
        ("train_config.num_steps;data_config.batch_size", "1", "2 keys", "as many values"),
    ],
)
def test_what_cannot_be_edited_is_refused_with_what_is_there(
    key: str, value: Any, message: str, hint: str
) -> None:
    with pytest.raises(ConfigEditError, match=message) as caught:
        edit_text(FLAT, {"model_dir": "first", key: value})
    assert re.search(hint, caught.value.hint)


@pytest.mark.parametrize("text", ["train_config { num_steps {} }", "train_config { num_steps: [1, 2] }"])
def test_a_config_that_cannot_be_right_is_refused_where_it_is_wrong(text: str) -> None:
    with pytest.raises(ConfigEditError, match="'num_steps' takes") as caught:
        edit_text(text, {"train_config.num_steps": 4})
    assert caught.value.where.startswith("line 1, column 2")


def test_a_literal_that_does_not_fit_its_field_can_be_corrected() -> None:
    assert (
        edit_text("train_config { num_steps: 'x' }", {"train_config.num_steps": 4})
        == "train_config { num_steps: 4 }"
    )


@pytest.mark.parametrize(
    "key", ["a[" * 3000 + "b=1" + "]" * 3000, "a[" * 30_000, "]" * 30_000, "a." * 30_000 + "a"]
)
def test_an_absurd_key_is_an_error_at_once(key: str) -> None:
    with pytest.raises(ConfigEditError):
        edit_text(FLAT, {key: 1})


def test_one_literal_edited_twice_keeps_the_last_value() -> None:
    edits = {"feature_configs[0].embedding_dim": 121, "feature_configs[-3].embedding_dim": 7}
    assert values_at(edit_text(FLAT, edits), "feature_configs[0].embedding_dim") == [7]


def test_a_float_condition_compares_the_32_bits_that_easyrec_compares() -> None:
    text = "model_config { dbmtl { task_towers { weight: 0.1 } task_towers { weight: 0.7 } } }"
    key = "model_config.dbmtl.task_towers[weight%s].label_name"
    assert edit_text(text, {key % ">=0.1": "x"}).count("x") == 2
    assert edit_text(text, {key % "<0.7": "x"}).count("x") == 2  # 0.7 is a little less as a float
    with pytest.raises(ConfigEditError) as caught:
        edit_text(text, {key % "=0.1": "x"})
    assert "0.10000000149" in caught.value.hint


def test_fields_of_a_newer_easyrec_are_edited_when_they_are_allowed() -> None:
    text = "train_config { new_field: 3 newer { a: KIND } }"
    edits = {"train_config.new_field": 4, "train_config.newer.a": "OTHER", "train_config.newest": "x"}
    with pytest.raises(ConfigEditError, match="new_field"):
        edit_text(text, edits)
    expected = 'train_config { new_field: 4 newer { a: OTHER } newest: "x" }'
    assert edit_text(text, edits, allow_unknown_fields=True) == expected
    assert (
        edit_text(text, edits, allow_unknown_fields=["new_field", "TrainConfig.newer", "newest"]) == expected
    )


def test_an_enum_is_set_and_read_and_compared_by_its_number() -> None:
    assert values_at("data_config { input_type: 12 }", "data_config.input_type") == ["CSVInputEx"]
    for value in (12, "12", " 12 "):
        edited = edit_text(FLAT, {"data_config.input_type": value})
        assert edited == FLAT.replace("CSVInput", "CSVInputEx")
    by_number = "data_config { input_type: 12 }"
    assert edit_text(by_number, {"data_config.input_type": "CSVInputEx"}) == by_number
    assert values_at(FLAT, "feature_configs[feature_type>=RawFeature].feature_type") == [
        "RawFeature",
        "TagFeature",
    ]
    assert values_at(FLAT, "feature_configs[feature_type<1].feature_type") == ["IdFeature"]
    fields = "data_config { input_fields { input_type: BOOL } input_fields { input_type: FLOAT } }"
    assert values_at(fields, "data_config.input_fields[input_type=4].input_type") == ["FLOAT"]


@pytest.mark.parametrize(
    "key",
    [
        "feature_configs[embedding_dim>-1].embedding_dim",
        "model_config.dbmtl.task_towers[weight<1e39].weight",  # a 32-bit float
    ],
)
def test_a_field_is_compared_with_a_number_that_it_could_not_hold(key: str) -> None:
    every = re.sub(r"\[.*\]", "[:]", key)
    assert values_at(FLAT, key) == values_at(FLAT, every)


def test_what_a_newer_easyrec_has_is_compared_as_far_as_it_is_known() -> None:
    text = "feature_configs { newer: 16 feature_type: NewFeature } feature_configs { newer: 9 }"
    edited = edit_text(text, {"feature_configs[newer>=9].newer": 4}, allow_unknown_fields=True)
    assert edited == text.replace("16", "4").replace("9", "4")  # as numbers: "16" comes before "9" as text
    edited = edit_text(text, {"feature_configs[0].embedding_dim": 4}, allow_unknown_fields=True)
    assert "embedding_dim: 4" in edited
    edits = {"feature_configs[feature_type=RawFeature].newer": 4}
    with pytest.raises(ConfigEditError, match="what NewFeature stands for is not known"):
        edit_text(text, edits, allow_unknown_fields=True)
