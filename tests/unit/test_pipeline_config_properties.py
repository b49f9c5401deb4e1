"""Properties of the editor on generated configs and edits; protobuf's own text format is the judge."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from include.errors import ConfigEditError
from include.pipeline_config import difference, edit_text, values_at
from include.pipeline_config.reader import parse
from include.sandbox.easyrec_proto import config_class

INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


def merged(text: str) -> Any:
    return text_format.Merge(text, config_class()())


def printed(message: Any) -> str:
    return str(text_format.MessageToString(message, as_utf8=True))


def same_until(left: str, right: str) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))


def random_scalar(field: Any, rng: random.Random) -> Any:
    if field.enum_type:
        return rng.choice(field.enum_type.values).name
    if field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        return rng.choice([0, 1, high, low, rng.randint(low, high), rng.randrange(100)])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(
            ["a", "", "it's", 'say "x"', "中文 名", "back\\slash", "# no comment", "{", "a;b", "\t\n\x01"]
        )
    return rng.choice([0.1, 1e-5, 1.5e-30, -2.0, 3.0, float("inf"), rng.random()])


def random_message(message: Any, rng: random.Random, depth: int = 0) -> Any:
    """Fill ``message`` with some of its fields."""
    fields = message.DESCRIPTOR.fields
    for field in rng.sample(list(fields), min(len(fields), rng.randint(0 if depth else 2, 4))):
        if field.message_type and depth < 5:
            if field.message_type.full_name.startswith("google."):
                continue
            for _ in range(rng.randint(1, 3) if field.is_repeated else 1):
                value = getattr(message, field.name)
                value = value.add() if field.is_repeated else value
                value.SetInParent()
                random_message(value, rng, depth + 1)
        elif not field.message_type:
            values = [random_scalar(field, rng) for _ in range(rng.randint(1, 3))]
            if field.enum_type:
                values = [field.enum_type.values_by_name[value].number for value in values]
            if field.is_repeated:
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
    return message


def written(message: Any, rng: random.Random, level: int = 0) -> str:
    """``message`` as text format in a random mixture of styles."""
    parts = []
    newline = rng.choice(["\n", "\n", " ", "\r\n"])
    for field, value in message.ListFields():
        values = list(value) if field.is_repeated else [value]

        def literal(item: Any, field: Any = field) -> str:
            if field.message_type:
                opener, closer = rng.choice(["{}", "{}", "<>"])
                return f"{opener}{newline}{written(item, rng, level + 1)}{newline}{closer}"
            if field.enum_type:
                return str(field.enum_type.values_by_number[item].name)
            if field.type == FieldDescriptor.TYPE_STRING:
                cut = rng.randint(0, len(item))
                halves = [item] if rng.random() < 0.7 else [item[:cut], item[cut:]]
                return rng.choice([" ", "\n", " # joined\n"]).join(map(quoted, halves))
            return str(item).lower() if isinstance(item, bool) else repr(item)

        def quoted(item: str) -> str:
            text = "".join(
                f"\\{ord(c):03o}" if c in "\n\t\x01" else f"\\{c}" if c in "\\\"'" else c for c in item
            )
            return rng.choice(['"{}"', "'{}'"]).format(text)

        colon = rng.choice([":", ": ", " : ", ":\n  "])
        lead = field.name + (rng.choice([colon, " ", ""]) if field.message_type else colon)
        if field.is_repeated and rng.random() < 0.5:
            parts.append(f"{field.name}{colon}[{', '.join(map(literal, values))}]")
        else:
            parts += [lead + literal(item) for item in values]
    end = ["", "", ",", ";", " # why\n", "  "]
    return newline.join("  " * level + part + rng.choice(end) for part in parts)


def random_config(rng: random.Random) -> tuple[str, Any]:
    """A text and its message; now and then in two parts, which protobuf merges."""
    parts = [random_message(config_class()(), rng) for _ in range(rng.choice([1, 1, 2]))]
    text = "\n".join(written(part, rng) for part in parts)
    message = merged(text)
    assert len(parts) > 1 or message == parts[0]  # the generator itself
    return text, message


def random_target(message: Any, rng: random.Random) -> tuple[str, Any, Any]:
    """A path, its field, and the message that holds the field; absent messages on the way are made."""
    path: list[str] = []
    while True:
        field = rng.choice(
            [field for field, _ in message.ListFields()]
            if message.ListFields() and rng.random() < 0.7
            else list(message.DESCRIPTOR.fields)
        )
        if not field.message_type:
            return ".".join([*path, field.name]), field, message
        child: Descriptor = field.message_type
        if child.full_name.startswith("google.") or not child.fields:
            continue
        if field.is_repeated:
            elements = getattr(message, field.name)
            if not elements:
                continue
            number = rng.randrange(-len(elements), len(elements))
            path.append(f"{field.name}[{number}]")
            message = elements[number]
        else:
            path.append(field.name)
            message = getattr(message, field.name)


def selects(text: str, path: str) -> bool:
    try:
        return bool(values_at(text, path))
    except ConfigEditError:
        return False


SEEDS = st.integers(0, 10**9)
SLOW = settings(max_examples=150, deadline=None)


@SLOW
@given(SEEDS)
def test_generated_configs_are_reproduced_and_mean_what_protobuf_says(seed: int) -> None:
    rng = random.Random(seed)
    text, message = random_config(rng)
    assert parse(text).print() == text
    assert difference(text, printed(message)) == []


@SLOW
@given(SEEDS)
def test_an_edit_does_to_the_text_what_setting_the_field_does_in_protobuf(seed: int) -> None:
    rng = random.Random(seed)
    text, message = random_config(rng)
    edits: dict[str, Any] = {}
    for _ in range(rng.randint(1, 4)):
        path, field, holder = random_target(message, rng)
        values = [random_scalar(field, rng) for _ in range(rng.randint(1, 3))]
        numbers = [field.enum_type.values_by_name[v].number for v in values] if field.enum_type else values
        edits.pop(path, None)
        if field.is_repeated:
            edits[path] = values
            del getattr(holder, field.name)[:]
            getattr(holder, field.name).extend(numbers)
        else:
            edits[path] = values[0] if rng.random() < 0.5 or isinstance(values[0], bool) else str(values[0])
            setattr(holder, field.name, numbers[0])
    edited = edit_text(text, edits)
    assert printed(merged(edited)) == printed(message)
    assert difference(edited, printed(message)) == []
    if all(selects(edited, path) for path in edits):  # a later edit may take an earlier one's message away
        assert edit_text(edited, edits) == edited


@SLOW
@given(SEEDS)
def test_an_edited_value_reads_back_and_the_rest_stays(seed: int) -> None:
    rng = random.Random(seed)
    text, message = random_config(rng)
    path, field, holder = random_target(message, rng)
    assume(not field.is_repeated and holder.HasField(field.name))
    value = random_scalar(field, rng)
    edited = edit_text(text, {path: value})
    assert values_at(edited, path) == [value]
    start = same_until(text, edited)
    end = same_until(text[start:][::-1], edited[start:][::-1])
    longest_literal = 80
    assert len(text) - start - end < longest_literal
    assert (edited == text) == (values_at(text, path) == [value])


@SLOW
@given(SEEDS)
def test_a_message_given_as_text_replaces_the_message(seed: int) -> None:
    rng = random.Random(seed)
    text, message = random_config(rng)
    fields = [f for f in message.DESCRIPTOR.fields if f.message_type and not f.is_repeated]
    field = rng.choice(fields)
    value = random_message(type(getattr(message, field.name))(), rng, 3)
    source = written(value, rng)
    getattr(message, field.name).CopyFrom(value)
    getattr(message, field.name).SetInParent()
    edits = {field.name: rng.choice(["{%s}", "%s", " { %s } "]) % source}
    edited = edit_text(text, edits)
    assert printed(merged(edited)) == printed(message)
    assert edit_text(edited, edits) == edited


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=40),
    st.one_of(st.text(max_size=20), st.floats(), st.integers(), st.booleans(), st.none()),
)
def test_any_key_and_value_make_an_edit_or_an_error(key: str, value: Any) -> None:
    text = "train_config { num_steps: 1 }\nfeature_configs { input_names: 'a' }\n"
    for attempt in (key, f"feature_configs[{key}].embedding_dim", f"train_config.{key}", "model_dir"):
        try:
            edited = edit_text(text, {attempt: value})
        except ConfigEditError:
            continue
        merged(edited)


@pytest.mark.parametrize("seed", range(3))
def test_an_error_in_a_later_edit_leaves_nothing_edited(seed: int) -> None:
    text = written(random_message(config_class()(), random.Random(seed)), random.Random(seed))
    before = str(text)
    with pytest.raises(ConfigEditError):
        edit_text(text, {"model_dir": "new", "no_such_field": 1})
    assert text == before
