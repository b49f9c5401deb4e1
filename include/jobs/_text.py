"""Small text rules that the ini and the payload share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# AccessKey ids and STS ids have known shapes; secrets themselves are recognised by the name before them.
_SECRET = re.compile(
    r"\bLTAI[0-9A-Za-z]{12,}|\bSTS\.[0-9A-Za-z]{15,}"
    r"|(?:access[_-]?key(?:[_-]?(?:id|secret))?|access[_-]?(?:id|secret)|secret[_-]?(?:access[_-]?)?key"
    r"|security[_-]?token|sts[_-]?token)[\"']?\s*[=:]",
    re.IGNORECASE,
)
_SECRET_NAMES = {
    "accesskeyid", "accesskeysecret", "accesskey", "accessid", "accesssecret", "secretkey",
    "secretaccesskey", "securitytoken", "ststoken",
}  # fmt: skip


def holds_secret(value: str) -> bool:
    """Whether a value looks as if it carried an AccessKey or a security token."""
    return _SECRET.search(value) is not None


def is_secret_name(key: str) -> bool:
    """Whether a key names a credential, in any case and spelling."""
    return re.sub(r"[^a-z]", "", key.lower().removeprefix("-d")) in _SECRET_NAMES


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean …?`` or the list of what is known."""
    names = list(known)
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word.casefold(), folded, 1, 0.6)
    return f"did you mean {folded[close[0]]}?" if close else f"known: {', '.join(names)}"
