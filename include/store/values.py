"""Checks on values before they go into the store: plain JSON, no secrets, printable text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from include.errors import ConfigError

_SECRET_KEY = re.compile(r"access_?key|secret|passw(or)?d|credential|security_?token", re.IGNORECASE)
_SECRET_QUERY = re.compile(r"\b(token|signature|security-token|ossaccesskeyid)=[^&\s\"']+", re.IGNORECASE)


def plain_json(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A copy in plain JSON types, equal to what the store will give back.

    Raises ConfigError with the path of a value that JSON can't carry: NaN, infinities, foreign types.
    """
    _check_json(value, what)
    copy: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return copy


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"the key {key!r} is not a string", where=where)
            _check_json(inner, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _check_json(inner, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{value} is not a finite number", where=where)
    elif value is not None and not isinstance(value, (str, int, float)):
        raise ConfigError(
            f"a {type(value).__name__} can't be stored",
            where=where,
            hint="only text, numbers, booleans, null, lists and objects",
        )


def refuse_secrets(value: Any, where: str) -> None:
    """ConfigError if a key or a link in ``value`` looks like it carries a secret (design section 3)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _SECRET_KEY.search(str(key)):
                raise ConfigError(
                    f"{key!r} looks like a secret", where=where, hint="secrets are never stored"
                )
            refuse_secrets(inner, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            refuse_secrets(inner, f"{where}[{index}]")
    elif isinstance(value, str) and _SECRET_QUERY.search(value):
        raise ConfigError(
            "the text holds a link with a token", where=where, hint="links are made when asked for"
        )


def clean_text(text: str) -> str:
    """``text`` without what databases refuse (NUL, lone surrogates) and without tokens of links.

    For reasons, which often quote a service's message.
    """
    printable = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return _SECRET_QUERY.sub(lambda match: f"{match[1]}=***", printable)
