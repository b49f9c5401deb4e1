"""What may go into the store, and what never does."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigError
from include.store.values import clean_text, plain_json, refuse_secrets

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_plain_values_stay_what_they_are(value: dict[str, Any]) -> None:
    copy = plain_json(value, "parameters")
    assert copy == value
    assert json.loads(json.dumps(copy)) == value


def test_read_only_mappings_and_tuples_become_plain() -> None:
    assert plain_json(MappingProxyType({"a": MappingProxyType({"b": (1, 2)})}), "x") == {"a": {"b": [1, 2]}}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": {"b": [1, float("nan")]}}, "parameters.a.b[1]"),
        ({"a": float("-inf")}, "parameters.a"),
        ({"a": {1: 2}}, "parameters.a"),
        ({"a": {1, 2}}, "parameters.a"),
        ({"a": b"bytes"}, "parameters.a"),
    ],
)
def test_an_error_says_where_the_value_is_that_cannot_be_stored(value: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plain_json(value, "parameters")
    assert caught.value.where == where


@pytest.mark.parametrize(
    "value",
    [
        {"accessKeyID": "x"},
        {"oss": [{"access_key_secret": "x"}]},
        {"db-password": "x"},
        {"text": "[oss_config]\naccessKeySecret = hidden\n"},
        {"text": "key is LTAI5tAbCdEfGhIjKl"},
        {"text": "http://logview.example/logview/?h=1&token=abc"},
        {"text": "https://bucket.example/x?Expires=1&Signature=abc%3D"},
    ],
)
def test_secrets_are_refused_without_repeating_them(value: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_secrets(value, "snapshot")
    for hidden in ("hidden", "LTAI5tAbCdEfGhIjKl", "abc"):
        assert hidden not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"feature_configs[input_names[0]=secret_flag].embedding_dim": [8, 16]},
        {"feature_configs[feature_name=token].embedding_dim": 8},
        {
            "arn": "acs:ram::1:role/aliyunodpspaidefaultrole",
            "ossHost": "oss-cn-beijing-internal.aliyuncs.com",
        },
        {"text": "[oss_config]\nendpoint = http://oss.example\naccessKeyID =\naccessKeySecret=\n"},
        {"EXT_TASK_ID": "easyrec-automl/uuid/key"},
    ],
)
def test_names_of_features_and_roles_are_no_secrets(value: dict[str, Any]) -> None:
    refuse_secrets(value, "snapshot")


def test_reasons_keep_their_words_but_no_secret() -> None:
    text = "ODPS-0130013 see http://l.example/?h=a&i=b&token=QUJD, key LTAI5tAbCdEfGhIjKl\nline two"
    assert clean_text(text) == "ODPS-0130013 see http://l.example/?h=a&i=b&token=*** key LTAI***\nline two"


@given(st.text(st.characters(exclude_categories=[])))
def test_any_reason_becomes_text_that_databases_take(text: str) -> None:
    cleaned = clean_text(text)
    assert "\x00" not in cleaned
    cleaned.encode("utf-8")
