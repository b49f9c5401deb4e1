"""Reading ``search_space.json`` (reference R6)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigError, ProblemsError, SearchSpaceError
from include.search import space
from include.search.domains import combination

ALL_TYPES = {
    "c": {"_type": "choice", "_value": [1, 1.0, True, "a", None, ["x", "y"]]},
    "i": {"_type": "randint", "_value": [4, 16]},
    "u": {"_type": "uniform", "_value": [0, 1]},
    "qu": {"_type": "quniform", "_value": [0, 1, 0.1]},
    "lu": {"_type": "loguniform", "_value": [1e-6, 1e-2]},
    "qlu": {"_type": "qloguniform", "_value": [1, 1000, 5]},
    "n": {"_type": "normal", "_value": [0, 2]},
    "qn": {"_type": "qnormal", "_value": [0, 2, 0.5]},
    "ln": {"_type": "lognormal", "_value": [0, 1]},
    "qln": {"_type": "qlognormal", "_value": [0, 1, 0.25]},
}
NESTED = {
    "optimizer": {
        "_type": "choice",
        "_value": [
            {"_name": "adam", "adam.rate": {"_type": "loguniform", "_value": [1e-5, 1e-1]}},
            {
                "_name": "sgd",
                "sgd.rate": {"_type": "choice", "_value": [0.1, 0.2]},
                "momentum": {"_type": "choice", "_value": [0.9]},
            },
            {"_name": "none"},
        ],
    },
    "dim": {"_type": "choice", "_value": [8, 16]},
}


def read(value: object) -> space.SearchSpace:
    return space.parse(json.dumps(value), "search_space.json")


def problems(text: object) -> str:
    with pytest.raises(ConfigError) as caught:
        space.parse(text if isinstance(text, str) else json.dumps(text), "search_space.json")
    return str(caught.value)


def test_the_manuals_example_with_trailing_commas_reads_correctly() -> None:
    text = """{
    "train_config.optimizer_config[0].rate":{"_type":"choice","_value":[1e-3,1e-4]},
    "feature_configs[:].embedding_dim": {"_type": "randint", "_value": [4,16]},
    "model_config.embedding_regularization":{"_type":"uniform","_value":[0.000001, 0.0001]},
    }"""
    found = space.parse(text, "search_space.json")
    assert found.extremes() == {
        "train_config.optimizer_config[0].rate": (0.001, 0.0001),
        "feature_configs[:].embedding_dim": (4, 15),
        "model_config.embedding_regularization": (1e-6, 1e-4),
    }


def test_comments_single_quotes_and_a_byte_order_mark_are_read() -> None:
    text = "\ufeff{ // why\n 'a': {_type: 'choice', /* two */ _value: [.5, 'x'],},}"
    assert space.parse(text, "s.json").as_dict() == {"a": {"_type": "choice", "_value": [0.5, "x"]}}


def test_every_type_reads_and_writes_back_as_nni_has_it() -> None:
    assert read(ALL_TYPES).as_dict() == ALL_TYPES
    assert read(NESTED).as_dict() == NESTED


def test_the_space_is_a_mapping_for_a_dry_run_of_all_edits() -> None:
    found = read(NESTED)
    assert isinstance(found, Mapping)
    assert list(found) == ["adam.rate", "sgd.rate", "momentum", "dim"]
    assert found["dim"] == {"_type": "choice", "_value": [8, 16]}


def test_a_sub_key_that_branches_define_differently_is_tried_with_all_its_values() -> None:
    branches = [
        {"_name": "a", "rate": {"_type": "uniform", "_value": [0, 1]}},
        {"_name": "b", "rate": {"_type": "choice", "_value": [5, 1.0]}},
    ]
    found = read({"x": {"_type": "choice", "_value": branches}})
    assert found["rate"] == {"_type": "choice", "_value": [0.0, 1.0, 5]}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"_type": "choice", "_value": []}, "the choice is empty"),
        ({"_type": "choice", "_value": 3}, "must be a list"),
        ({"_type": "choice", "_value": [1, {"_name": "x"}]}, "option 1: every option of a nested choice"),
        ({"_type": "choice", "_value": [{"a": 1}]}, "with a text '_name'"),
        ({"_type": "choice", "_value": [{"_name": 1}]}, "with a text '_name'"),
        ({"_type": "choice", "_value": [{"_name": "x"}, {"_name": "x"}]}, "'x' stands there twice"),
        ({"_type": "choice", "_value": [{"_name": "x", "y": {"_type": "choice", "_value": []}}]}, "k > y"),
        ({"_type": "choice", "_value": [{"_name": "x", "y": 3}]}, 'must be {"_type"'),
        ({"_type": "quniform", "_value": [0, 1, 0]}, "q must be greater than 0"),
        ({"_type": "qnormal", "_value": [0, 1, -1]}, "q must be greater than 0"),
        ({"_type": "quniform", "_value": [0.1, 0.3, 1]}, "no multiple of q"),
        ({"_type": "uniform", "_value": [2, 1]}, "low 2 is greater than high 1"),
        ({"_type": "uniform", "_value": [-1e308, 1e308]}, "overflows"),
        ({"_type": "loguniform", "_value": [0, 1]}, "low of loguniform must be greater than 0"),
        ({"_type": "randint", "_value": [1.5, 3]}, "whole numbers"),
        ({"_type": "randint", "_value": [3, 3]}, "is empty"),
        ({"_type": "randint", "_value": [0, 2**60]}, "2^53"),
        ({"_type": "uniform", "_value": [10**400, 10**401]}, "low of uniform is"),
        ({"_type": "randint", "_value": [3]}, "takes [lower, upper], 1 value(s) given"),
        ({"_type": "normal", "_value": [0, 0]}, "sigma must be greater than 0"),
        ({"_type": "lognormal", "_value": [1000, 1]}, "overflow"),
        ({"_type": "uniform", "_value": ["0", 1]}, "must be a number, not a text"),
        ({"_type": "uniform", "_value": [True, 1]}, "must be a number, not true or false"),
        ({"_type": "unifrom", "_value": [0, 1]}, "did you mean 'uniform'"),
        ({"_type": ["choice"], "_value": [0, 1]}, "unknown _type"),
        ({"_type": "uniform", "_value": [0, 1], "_valeu": 1}, "k > _valeu: unknown key; did you mean '_value'"),
        ({"_type": "uniform"}, 'must be {"_type"'),
        ([1, 2], "not a list"),
    ],
)  # fmt: skip
def test_each_mistake_is_reported_with_its_key(spec: object, words: str) -> None:
    message = problems({"k": spec, "fine": {"_type": "choice", "_value": [1]}})
    assert words in message
    assert "line 1, key k" in message
    assert "fine" not in message


def test_nan_and_infinity_are_refused_wherever_they_stand() -> None:
    message = problems(
        '{"a": {"_type": "uniform", "_value": [NaN, 1]},\n'
        ' "b": {"_type": "uniform", "_value": [0, Infinity]},\n'
        ' "c": {"_type": "choice", "_value": [[-Infinity]]}}'
    )
    assert "line 1, key a" in message
    assert "line 2, key b" in message
    assert "line 3, key c" in message


def test_all_mistakes_are_reported_at_once_with_their_lines() -> None:
    text = '{"a": {"_type": "choice", "_value": []},\n\n"b": {"_type": "nope", "_value": []},\n"a": 3}'
    with pytest.raises(ProblemsError) as caught:
        space.parse(text, "s.json")
    lines = [problem.split(",")[0] for problem in caught.value.problems]
    assert lines[0] == "line 4"  # the duplicate key
    assert "line 3" in lines
    assert "line 1 already" in caught.value.problems[0]
    assert caught.value.where == "s.json"


def test_the_line_is_found_inside_nested_choices_and_behind_comments() -> None:
    text = """{
      // "b": not this one
      "a": {"_type": "choice", "_value": [
         {"_name": "x", "b": {"_type": "choice", "_value": [1]}},
         {"_name": "y", "b": {"_type": "choice",
            "_value": []}}]}}"""
    assert "line 5, key a > b" in problems(text)


@pytest.mark.parametrize("text", ["", "{", '{"a": 1 "b": 2}', "{" * 5000, "[" * 5000, '{"a": \x00}', "}{"])
def test_text_that_is_no_json_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(SearchSpaceError, match=r"s\.json"):
        space.parse(text, "s.json")


@pytest.mark.parametrize("text", ["[]", "3", '"a"', "null", "{}"])
def test_json_that_is_no_space_is_an_error(text: str) -> None:
    with pytest.raises(SearchSpaceError):
        space.parse(text, "s.json")


def test_a_missing_file_is_an_error_that_names_it(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        space.load(tmp_path / "nowhere.json")


def test_a_key_set_twice_by_nested_choices_is_ambiguous() -> None:
    inner = {"_type": "choice", "_value": [{"_name": "x", "rate": {"_type": "choice", "_value": [1]}}]}
    assert "'rate' is also set outside" in problems({"a": inner, "b": inner})
    assert "'rate' is also set outside" in problems({"rate": {"_type": "choice", "_value": [1]}, "a": inner})


def test_the_size_of_a_finite_space_is_counted() -> None:
    assert read({"c": ALL_TYPES["c"], "i": ALL_TYPES["i"]}).size() == 6 * 12
    assert read({"q": ALL_TYPES["qu"]}).size() == 11
    assert read({"fixed": {"_type": "uniform", "_value": [3, 3]}}).size() == 1
    assert read({"c": {"_type": "choice", "_value": [1, 1, 2]}}).size() == 2
    assert read(ALL_TYPES).size() is None
    assert read(NESTED).size() is None


def test_every_number_below_the_size_is_another_set_of_parameters() -> None:
    found = read(
        {
            "n": {
                "_type": "choice",
                "_value": [
                    {"_name": "a", "x": {"_type": "randint", "_value": [3, 6]}},
                    {"_name": "b", "y": {"_type": "quniform", "_value": [0.05, 0.31, 0.1]}},
                    {"_name": "c"},
                ],
            },
            "c": {"_type": "choice", "_value": [1, True, [1]]},
        }
    )
    sets = [combination(found.domains, index) for index in range(found.size() or 0)]
    assert len({json.dumps(parameters) for parameters in sets}) == found.size() == 24
    assert all(found.contains(parameters) for parameters in sets)


def test_contains_tells_values_apart_as_json_does() -> None:
    found = read({"c": {"_type": "choice", "_value": [1, "2"]}, "i": {"_type": "randint", "_value": [0, 2]}})
    assert found.contains({"c": 1, "i": 0})
    for wrong in ({"c": True, "i": 0}, {"c": 1.0, "i": 0}, {"c": 2, "i": 0}, {"c": 1, "i": 2}, {"c": 1},
                  {"c": 1, "i": 0, "x": 1}, {"c": 1, "i": False}, {"c": 1, "i": 0.0}):  # fmt: skip
        assert not found.contains(wrong)


def test_a_chosen_branch_becomes_edits_of_its_sub_keys() -> None:
    parameters = {"optimizer": {"_name": "sgd", "sgd.rate": 0.1, "momentum": 0.9}, "dim": 8}
    assert read(NESTED).edits(parameters) == {"sgd.rate": 0.1, "momentum": 0.9, "dim": 8}


def test_a_nested_choice_named_as_a_variable_fills_it_with_the_name() -> None:
    found = read({"${kind}": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "b"}]}})
    assert found.edits({"${kind}": {"_name": "b"}}) == {"${kind}": "b"}
    assert found["${kind}"] == {"_type": "choice", "_value": ["a", "b"]}


def test_a_batch_space_lists_complete_sets() -> None:
    sets = [{"a": 1, "b": [2]}, {"a": 3}]
    found = read({"combine_params": {"_type": "choice", "_value": sets}})
    assert found.is_batch
    assert found.size() == 2
    assert found.contains({"a": 3})
    assert dict(found) == {
        "a": {"_type": "choice", "_value": [1, 3]},
        "b": {"_type": "choice", "_value": [[2]]},
    }
    assert "only key" in problems({"combine_params": {"_type": "choice", "_value": sets}, "x": sets})
    assert "choice of objects" in problems({"combine_params": {"_type": "choice", "_value": [1]}})


def test_what_the_space_gives_out_can_be_changed_without_changing_the_space() -> None:
    found = read({"c": {"_type": "choice", "_value": [["x"]]}})
    found.as_dict()["c"]["_value"][0].append("y")
    found.extremes()["c"][0].append("y")
    assert found.as_dict() == {"c": {"_type": "choice", "_value": [["x"]]}}


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_q_values_are_the_decimal_numbers_that_a_person_would_write(low: float, width: float) -> None:
    high = low + width
    found = read({"q": {"_type": "quniform", "_value": [low, high + 0.1, 0.1]}})
    value = found.domains["q"].restore((low + high) / 2)
    assert found.contains({"q": value})
    assert value == round(value, 1) or math.isclose(value, low) or math.isclose(value, high + 0.1)


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["_type", "_value", "_name", "a", "choice"]), inner)
    ),
)


@given(st.text() | JSON_LIKE.map(json.dumps))
def test_garbage_is_an_error_or_a_space_but_never_a_traceback(text: str) -> None:
    try:
        found = space.parse(text, "s.json")
    except ConfigError:
        return
    assert found.as_dict()
