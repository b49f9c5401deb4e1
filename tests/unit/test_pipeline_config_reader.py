"""The lossless reader: every syntax of reference section 3, errors with line and column, no hang."""

from __future__ import annotations

import time

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ConfigEditError
from include.pipeline_config import edit_text, values_at
from include.pipeline_config.literals import read_float, read_integer, read_string, write_string
from include.pipeline_config.reader import parse
from include.sandbox.easyrec_proto import config_class

EVERY_SYNTAX = """\
# 点击率模型 "comment with a quote
train_input_path: "odps://p/tables/t" ; model_dir : 'oss://b/' "m" # joined
  "/v1"
train_config: <
\tnum_steps : 0x10, save_checkpoints_steps:010
\toptimizer_config { adam_optimizer { beta1: .5 beta2: 1e-3 learning_rate: { constant_learning_rate
  # between name and brace
  { learning_rate:
      1f } } } };
>
feature_configs: [ { input_names: ["a", 'b\\'"'] boundaries: [1, -2.5, - 3, inf, -inf, nan] }, <input_names: "中文">]
model_config { model_class: "DBMTL" dbmtl { bottom_dnn { hidden_units: 8 use_bn: True hidden_units: [4, 2] } } }
feature_configs { input_names: "late" feature_type: TagFeature } train_config { sync_replicas: t }
model_config { backbone { blocks { name: "x" keras_layer { class_name: "MLP" st_params {
  fields { key: "units" value: { list_value { values { number_value: 8 } } } } } } } } }
"""


def test_every_syntax_is_read_and_reproduced() -> None:
    assert parse(EVERY_SYNTAX).print() == EVERY_SYNTAX


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("model_dir", ["oss://b/m/v1"]),
        ("train_config.num_steps", [16]),
        ("train_config.save_checkpoints_steps", [8]),
        ("train_config.sync_replicas", [True]),
        ("train_config.optimizer_config[0].adam_optimizer.beta1", [0.5]),
        ("train_config.optimizer_config[0].adam_optimizer.beta2", [1e-3]),
        ("feature_configs[0].input_names", [["a", "b'\""]]),
        ("feature_configs[0].boundaries[2]", [-3.0]),
        ("feature_configs[:].input_names[0]", ["a", "中文", "late"]),
        ("feature_configs[-1].feature_type", ["TagFeature"]),
        ("feature_configs[0].feature_type", ["IdFeature"]),  # the table's default
        ("model_config.dbmtl.bottom_dnn.hidden_units", [[8, 4, 2]]),
        ("model_config.backbone.blocks[0].keras_layer.st_params.fields[key=units].value", None),
    ],
)
def test_values_are_read_by_type(path: str, values: list[object] | None) -> None:
    found = values_at(EVERY_SYNTAX, path)
    assert found == (values or [{"list_value": {"values": [{"number_value": 8.0}]}}])


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("train_config {\n  num_steps: 1\n", "line 1, column 14", "never closed"),
        ("train_config {\n  num_steps 1\n}", "line 2, column 13", "':' is missing"),
        ("train_config {\n  num_steps: 1\n}}\n", "line 3, column 2", "closes nothing"),
        ("train_config { >", "line 1, column 16", "does not close"),
        ("model_dir: 'a\n'", "line 1, column 12", "not closed on its line"),
        ('\r\n\tmodel_dir: "中', "line 2, column 13", "not closed on its line"),
        ("num_steps: 1,,", "line 1, column 14", "does not follow a field"),
        (", a: 1", "line 1, column 1", "does not follow a field"),
        ("a: [1 2]", "line 1, column 7", "',' or ']' is missing"),
        ("a: [1,]", "line 1, column 7", "a value is missing"),
        ("a: [[1]]", "line 1, column 5", "a value is missing"),
        ("a: }", "line 1, column 4", "the value of 'a' is missing"),
        ("a: 1b", "line 1, column 4", "the value of 'a' is missing"),
        ("a：1", "line 1, column 2", "the value of 'a' is missing"),
        ("5: 1", "line 1, column 1", "unexpected '5'"),
        ("\ufeffa: 1 %", "line 1, column 6", "unexpected '%'"),
        ("a { " * 101, "line 1, column 403", "levels of nesting"),
    ],
)
def test_a_syntax_error_says_line_and_column(text: str, where: str, message: str) -> None:
    with pytest.raises(ConfigEditError, match=message) as caught:
        parse(text)
    assert caught.value.where == where


@pytest.mark.parametrize("opener", ["a {", "a: [", "a: [{", "a <", "a: [a: [{", "#", "'", "\\"])
def test_deep_or_endless_input_is_an_error_at_once(opener: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigEditError):
        parse(f"{opener * 50_000}\n}}")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "text", ["a: " + " " * 200_000 + "%", "#" * 200_000 + "\n%", '"' * 50_000, "a: " + "1" * 200_000 + "x"]
)
def test_long_input_is_read_in_linear_time(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigEditError):
        parse(text)
    assert time.perf_counter() - started < 5


PIECES = st.sampled_from(
    ["a", "train_config", "num_steps", ":", "{", "}", "<", ">", "[", "]", ",", ";", '"x"', "'", '"', "#c", "\n",
     "\r\n", " ", "1", "-", "1e-3", ".5", "0x", "inf", "${v}", "\\", "\ufeff", "中", "\x00", "\x85"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)))
def test_any_text_is_reproduced_or_refused_with_a_position(text: str) -> None:
    where = ""
    try:
        document = parse(text)
    except ConfigEditError as error:
        where = error.where
    assert where.startswith("line ") or document.print() == text


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_protobuf_accepts_no_config_that_the_reader_refuses(text: str) -> None:
    try:
        text_format.Merge(text, config_class()())
    except Exception:  # noqa: BLE001 - protobuf's own parser raises more than ParseError on garbage
        return
    parse(text)


STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(deadline=None)
@given(STRINGS, st.sampled_from(['"', "'"]))
def test_written_strings_read_back_here_and_in_protobuf(text: str, quote: str) -> None:
    literal = write_string(text, quote)
    assert read_string(literal) == text
    assert text_format.Parse(f"model_dir: {literal}", config_class()()).model_dir == text


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning", "ignore:invalid escape:SyntaxWarning")
@pytest.mark.parametrize(
    "literal",
    [
        r'"a\tb\n"',
        r'"\101\x42\u4e2d"',
        r"'\'\"\\'",
        r'"\d\w"',
        r'"\xe4\xb8\xad"',
        '"a" "b"\n#c "d"\n\'e\'',
        r'"\7z"',
    ],
)
def test_escapes_read_as_protobuf_reads_them(literal: str) -> None:
    judged = text_format.Parse(f"model_dir: {literal}", config_class()()).model_dir
    assert values_at(f"model_dir: {literal}", "model_dir") == [judged]


@settings(deadline=None)
@given(st.integers(1 - 2**31, 2**31 - 1).flatmap(lambda n: st.sampled_from([str(n), f"+{abs(n)}"])))
def test_integers_read_as_protobuf_reads_them(literal: str) -> None:
    judged = text_format.Parse(f"feature_configs {{ precision: {literal} }}", config_class()())
    assert read_integer(literal, "int32") == judged.feature_configs[0].precision


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_floats_read_as_protobuf_reads_them(number: float) -> None:
    for literal in (repr(number), f"{number:g}f", f"{number:e}"):
        judged = text_format.Parse(f"feature_configs {{ min_val: {literal} }}", config_class()())
        assert read_float(literal) == judged.feature_configs[0].min_val


def test_a_config_with_variables_to_be_filled_in_can_be_edited() -> None:
    text = "train_config { num_steps: ${steps} save_checkpoints_steps: 5 }"
    assert edit_text(text, {"train_config.save_checkpoints_steps": 9}) == text.replace("5 }", "9 }")
    assert values_at(text, "train_config.num_steps") == ["${steps}"]
