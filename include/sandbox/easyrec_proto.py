"""EasyRec's pipeline config as protobuf messages built at run time from the field table.

The table (``include/pipeline_config/easyrec_fields.json``) has names, types, defaults and the numbers of enum
values but no field numbers: text format needs none, so they are simply counted. Never serialize these
messages to bytes that leave the process.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2, text_format

from include.errors import ConfigError

FIELD_TABLE = Path(__file__).parents[1] / "pipeline_config" / "easyrec_fields.json"
_PACKAGE = "easyrec"
_WELL_KNOWN = "google.protobuf."
_FieldProto = descriptor_pb2.FieldDescriptorProto
_Pool = descriptor_pool.DescriptorPool


@functools.cache
def config_class() -> Any:
    """The message class of the root, ``EasyRecConfig``."""
    table = json.loads(FIELD_TABLE.read_text("utf-8"))
    pool = _Pool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file(table).SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{table['root']}"))


def parse(text: str, *, where: str = "pipeline config") -> Any:
    """A config message read from text format, strictly.

    Raises ConfigError with line and column for what protobuf refuses.
    """
    message = config_class()()
    try:
        text_format.Merge(text, message)
    except text_format.ParseError as error:
        raise ConfigError(f"not an EasyRec pipeline config: {error}", where=where) from error
    return message


def to_text(message: Any) -> str:
    """Text format as EasyRec saves it: readable UTF-8, comments gone."""
    return text_format.MessageToString(message, as_utf8=True)


def _file(table: dict[str, Any]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="easyrec.proto",
        package=_PACKAGE,
        syntax="proto2",
        dependency=["google/protobuf/struct.proto"],
    )
    nodes: dict[str, descriptor_pb2.DescriptorProto] = {}

    def node(name: str) -> descriptor_pb2.DescriptorProto:
        """The (possibly nested) message ``Outer.Inner``, made on first use."""
        if name not in nodes:
            outer, _, inner = name.rpartition(".")
            nodes[name] = (node(outer).nested_type if outer else file.message_type).add(name=inner)
        return nodes[name]

    for name, spec in table["messages"].items():
        if name.startswith(_WELL_KNOWN):
            continue
        _fill(node(name), spec)
    for name, values in table["enums"].items():
        if name.startswith(_WELL_KNOWN):
            continue
        outer, _, inner = name.rpartition(".")
        # Nested enums must stay nested: EasyRec finds a value's number as an attribute of the message.
        enum = (node(outer).enum_type if outer else file.enum_type).add(name=inner)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    return file


def _fill(message: descriptor_pb2.DescriptorProto, spec: dict[str, Any]) -> None:
    oneofs: dict[str, int] = {}
    if spec.get("map_entry"):
        message.options.map_entry = True
    for number, (name, field) in enumerate(spec["fields"].items(), start=1):
        entry = message.field.add(name=name, number=number)
        if field.get("repeated"):
            entry.label = _FieldProto.LABEL_REPEATED
        elif field.get("required"):
            entry.label = _FieldProto.LABEL_REQUIRED
        else:
            entry.label = _FieldProto.LABEL_OPTIONAL
        kind = field.get("kind")
        if kind in ("message", "enum"):
            entry.type = _FieldProto.TYPE_MESSAGE if kind == "message" else _FieldProto.TYPE_ENUM
            known = field["type"].startswith(_WELL_KNOWN)
            entry.type_name = f".{field['type']}" if known else f".{_PACKAGE}.{field['type']}"
        else:
            entry.type = _FieldProto.Type.Value(f"TYPE_{field['type'].upper()}")
        if "default" in field and not field.get("repeated"):
            entry.default_value = field["default"]
        if "oneof" in field:
            if field["oneof"] not in oneofs:
                oneofs[field["oneof"]] = len(message.oneof_decl)
                message.oneof_decl.add(name=field["oneof"])
            entry.oneof_index = oneofs[field["oneof"]]
