"""YAML with the line of every key, and duplicate keys found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from include.errors import ConfigError

Path = tuple["str | int", ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 1e-3 for a text; people and YAML 1.2 take it for a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Document:
    """``lines``: line of each key by its path; ``duplicates``: (path, first line, second line)."""

    value: Any
    lines: Mapping[Path, int]
    duplicates: tuple[tuple[Path, int, int], ...]


def loads(text: str, where: str) -> Document:
    """Read one YAML document; ConfigError with line and column when it can't be read."""
    try:
        loader = _Loader(text.removeprefix("\ufeff"))
        node = loader.get_single_node()
        walk = _Walk()
        if node is not None:
            walk.visit(node, ())
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(
            f"not readable as YAML: {place}{error.problem or error.context}", where=where
        ) from error
    except RecursionError as error:
        raise ConfigError("not readable as YAML: nested too deeply", where=where) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not readable as YAML: {error}", where=where) from error
    return Document(value, walk.lines, tuple(walk.duplicates))


class _Walk:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.duplicates: list[tuple[Path, int, int]] = []
        self._seen: set[int] = set()

    def visit(self, node: yaml.Node, path: Path) -> None:
        if id(node) in self._seen:  # an alias
            return
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                line = key.start_mark.line + 1
                if inner in self.lines:
                    self.duplicates.append((inner, self.lines[inner], line))
                    continue
                self.lines[inner] = line
                self.visit(value, inner)
