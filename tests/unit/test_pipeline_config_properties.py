"""Properties of the editor on generated configs and edits; protobuf's own text format is the judge."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from include.errors import ConfigEditError
from include.pipeline_config import difference, edit_text, values_at
from include.pipeline_config.layout import Splice, spliced
from include.pipeline_config.reader import Body, Document, Scalar, parse
from include.pipeline_config.reparse import respliced
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


def tree(node: Any) -> Any:
    """Everything that is known of a node, comparable."""
    if isinstance(node, Scalar):
        return node.start, node.end, node.text
    if isinstance(node, Body):
        fields = [(f.name, f.start, f.full_end, f.colon, tree(f.value)) for f in node.fields]
        return node.start, node.end, node.opener, fields
    return node.start, node.end, [tree(item) for item in node.items]


def read(make: Callable[[], Document]) -> Any:
    try:
        document = make()
    except ConfigEditError as error:
        return str(error)
    return document.text, tree(document.root)


NEWLINE_COMMENT = "#c\n"
FITTING = [
    "",
    " ",
    "\n",
    NEWLINE_COMMENT,
    "a:1 ",
    " b:'u' ",
    "c{}",
    "b {\n c: 2\n}\n",
    "1",
    "W",
    "'u'",
    "a:1#",
]
BREAKING = [*FITTING, *'\r#,;:[]{}<>.-$x"']


def dense(rng: random.Random, depth: int = 0) -> str:
    """A config whose parts touch each other wherever text format lets them."""
    parts = []
    for _ in range(rng.randint(0 if depth else 1, 3)):
        literal = rng.choice(['"s"', "'t'", '"s""t"', "1", ".5", "- 1", "W", "${v}", "[1,W]", "[]"])
        if depth < 3 and rng.random() < 0.5:
            opener, closer = rng.choice(["{}", "<>"])
            inner = f"{opener}{dense(rng, depth + 1)}{rng.choice(['', ' ', NEWLINE_COMMENT])}{closer}"
            literal = rng.choice([inner, inner, f"[{inner}]", f"[{inner},{{}}]"])
        end = rng.choice(["", ",", ";", " ", "\n", NEWLINE_COMMENT])
        if not end and literal[-1] not in "\"'}>]":
            end = " "
        parts.append(f"{rng.choice('abc')}:{literal}{end}")
    return "".join(parts)


def random_splice(document: Document, rng: random.Random) -> Splice:
    """Mostly at the ends of fields and values, where the editor's own lie."""
    ends = {0, len(document.text), rng.randint(0, len(document.text))}
    pending: list[Any] = [document.root]
    while pending:
        node = pending.pop()
        ends |= {node.start, node.end}
        if isinstance(node, Body):
            ends |= {node.inner_start, node.inner_end, *(f.start for f in node.fields)}
            ends |= {f.full_end for f in node.fields}
            pending += [f.value for f in node.fields]
        elif not isinstance(node, Scalar):
            pending += node.items
    at = sorted(ends)
    first = rng.randrange(len(at))
    last = min(len(at) - 1, first + rng.choice([0, 0, 1, 1, 2, 5]))
    return at[first], at[last], rng.choice(FITTING if rng.random() < 0.7 else BREAKING)


@settings(max_examples=600, deadline=None)
@given(SEEDS)
def test_a_tree_after_splices_is_the_tree_of_the_new_text(seed: int) -> None:
    rng = random.Random(seed)
    document = parse(rng.choice(["", "", "\ufeff"]) + dense(rng))
    before = tree(document.root)
    splices = [random_splice(document, rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    text = spliced(document.text, splices)
    assert read(lambda: respliced(document, splices)) == read(lambda: parse(text))
    assert tree(document.root) == before  # also after an error


def test_nesting_is_counted_across_splices() -> None:
    text = "a {" * 60 + "b: 1" + "}" * 60
    deeper = "c {" * 41 + "}" * 41
    at = text.index("b")
    with pytest.raises(ConfigEditError, match="100 levels"):
        respliced(parse(text), [(at, at + 4, deeper)])


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
