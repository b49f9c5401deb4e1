"""Did EasyRec run what was meant? (reference section 4)"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config import difference, edit_text


def not_applied(
    saved_config: str, edits: Mapping[str, Any], allow_unknown_fields: Sequence[str] = ()
) -> list[str]:
    """What the config that EasyRec saved holds instead of the edits' values.

    The edits are made on the saved config: where they hold already, nothing changes. A key whose
    selector asks for the very value that it edits finds nothing there any more and is passed over.
    """

    def changes(some: Mapping[str, Any]) -> list[str]:
        return difference(
            edit_text(saved_config, some, allow_unknown_fields=allow_unknown_fields), saved_config
        )

    try:
        return changes(edits)
    except ConfigEditError:
        wrong: list[str] = []
        for key, value in edits.items():
            with contextlib.suppress(ConfigEditError):
                wrong += changes({key: value})
        return wrong
