"""Checks on values before they go into the store: plain JSON, no secrets, printable text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from include.errors import ConfigError

# Whole names only: a search-space key may well select a feature called "secret_flag".
_SECRET_NAME = re.compile(
    r"[\w-]*(access_?key|secret|passw(or)?d|credential|security_?token)[\w-]*", re.IGNORECASE
)
# Signed links, lines of an ini that hold a key, and ids of Alibaba Cloud keys.
_SECRET_TEXT = re.compile(
    r"(\b(?:token|signature|security-token|ossaccesskeyid)=)[^&\s\"']+"
    r"|(\baccess_?key_?(?:id|secret)\s*[=:][ \t]*)[^\s\"']+"
    r"|(\bLTAI)[A-Za-z0-9]{8,}",
    re.IGNORECASE,
)
_SECRETS_HINT = "keys stay in Airflow Connections; links are made when asked for"


def plain_json(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A copy in plain JSON types, equal to what the store will give back.

    Raises ConfigError with the path of a value that JSON can't carry: NaN, infinities, foreign types.
    """
    plain: dict[str, Any] = _plain(value, what)
    return plain


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"the key {key!r} is not a string", where=where)
        return {str(key): _plain(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, f"{where}[{index}]") for index, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{value} is not a finite number", where=where)
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):  # also of their subclasses, such as numpy's float64
        if isinstance(value, kind):
            return kind(value)
    raise ConfigError(
        f"a {type(value).__name__} can't be stored",
        where=where,
        hint="only text, numbers, booleans, null, lists and objects",
    )


def refuse_secrets(value: Any, where: str) -> None:
    """ConfigError if a key or text in ``value`` looks like a secret (design section 3)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _SECRET_NAME.fullmatch(str(key)):
                raise ConfigError(f"{key!r} looks like a secret", where=where, hint=_SECRETS_HINT)
            refuse_secrets(inner, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            refuse_secrets(inner, f"{where}[{index}]")
    elif isinstance(value, str) and _SECRET_TEXT.search(value):
        raise ConfigError("the text holds a key or a signed link", where=where, hint=_SECRETS_HINT)


def clean_text(text: str) -> str:
    """``text`` without what databases refuse (NUL, lone surrogates) and with secrets struck out.

    For reasons, which often quote a service's message.
    """
    printable = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return _SECRET_TEXT.sub(lambda match: f"{match[1] or match[2] or match[3]}***", printable)
