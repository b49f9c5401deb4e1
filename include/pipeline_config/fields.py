"""What EasyRec's pipeline config may hold: messages, fields and enums, from ``easyrec_fields.json``."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

FLOATS = frozenset({"float", "double"})
INTEGERS = frozenset({"int32", "int64", "uint32", "uint64"})


@dataclass(frozen=True)
class FieldSpec:
    """One field. ``type`` is a scalar type or the name of ``owner``'s message or enum type."""

    owner: str
    name: str
    type: str
    kind: str = "scalar"
    """``scalar``, ``enum``, ``message``, or ``unknown`` for a field that the table does not have."""
    repeated: bool = False
    oneof: str | None = None
    default: str | None = None

    @property
    def is_message(self) -> bool:
        return self.kind == "message"

    def describe(self) -> str:
        """The type as people read it, e.g. ``list of uint32``."""
        return f"list of {self.type}" if self.repeated else self.type


@dataclass(frozen=True)
class FieldTable:
    """All messages and enums. Fields of a newer EasyRec are allowed by name (``allow_unknown``)."""

    root: str
    messages: Mapping[str, Mapping[str, FieldSpec]]
    enums: Mapping[str, Mapping[str, int]]
    """Names of each enum's values and their numbers, by which EasyRec compares; the first is the default."""
    maps: frozenset[str]

    def branches(self, spec: FieldSpec) -> tuple[str, ...]:
        """Names of all fields of the oneof that ``spec`` belongs to; empty for an ordinary field."""
        if spec.oneof is None:
            return ()
        return tuple(f.name for f in self.messages[spec.owner].values() if f.oneof == spec.oneof)

    def paths_to(self, message: str, name: str, depth: int = 3) -> list[str]:
        """Where a field called ``name`` is found below ``message``, nearest first."""
        found: list[str] = []
        level = [("", message)]
        for _ in range(depth):
            below: list[tuple[str, str]] = []
            for prefix, at in level:
                fields = self.messages.get(at, {})
                if name in fields:
                    found.append(prefix + name)
                below += [
                    (f"{prefix}{f.name}{'[…]' if f.repeated else ''}.", f.type)
                    for f in fields.values()
                    if f.is_message
                ]
            level = below
        return found


@functools.cache
def table() -> FieldTable:
    """The table as shipped; EasyRec's own, read from its proto files."""
    raw = json.loads(Path(__file__).with_name("easyrec_fields.json").read_text(encoding="utf-8"))
    messages = {
        owner: {
            name: FieldSpec(
                owner=owner,
                name=name,
                type=facts["type"],
                kind=facts.get("kind", "scalar"),
                repeated=facts.get("repeated", False),
                oneof=facts.get("oneof"),
                default=facts.get("default"),
            )
            for name, facts in message["fields"].items()
        }
        for owner, message in raw["messages"].items()
    }
    return FieldTable(
        root=raw["root"],
        messages=messages,
        enums=raw["enums"],
        maps=frozenset(name for name, message in raw["messages"].items() if message.get("map_entry")),
    )


def nearest(name: str, options: Iterable[str], count: int = 3) -> list[str]:
    """Names much like ``name``, best first."""
    names = sorted(set(options))
    close = difflib.get_close_matches(name, names, count, 0.6)
    return close or [o for o in names if name and (name in o or o in name)][:count]


def listed(names: Collection[str], limit: int = 20) -> str:
    """``a, b, c, … (7 more)``."""
    shown = list(names)[:limit]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f", … ({more} more)" if more else "")
