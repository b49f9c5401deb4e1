"""Small phrases that error messages share."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any


def nearest(name: object, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the nearest known name, else the list of known names."""
    names = sorted(known)
    folded = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(str(name).lower(), list(folded), n=1, cutoff=0.6)
    return f"did you mean {folded[close[0]]!r}?" if close else f"known: {', '.join(names)}"


def canonical(value: Any) -> str:
    """A text that is equal for equal JSON values only: 1, 1.0 and true stay three values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
