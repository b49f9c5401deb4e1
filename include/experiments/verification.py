"""Did EasyRec run what was meant? (reference section 4)"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from include.errors import ConfigEditError
from include.pipeline_config import difference, edit_text

log = logging.getLogger(__name__)


def not_applied(
    saved_config: str, edits: Mapping[str, Any], allow_unknown_fields: Sequence[str] = ()
) -> list[str]:
    """What the config that EasyRec saved holds instead of the edits' values.

    The edits are made on the saved config: where they hold already, nothing changes. A key whose
    selector asks for the very value that it edits finds nothing there any more and is passed over. Nothing, and
    a warning, when the saved config can't be read: EasyRec trained with it, so the gap is our reader's.
    """
    try:
        edit_text(saved_config, {})
    except ConfigEditError as error:
        log.warning("not checked whether the edits were applied: the saved config can't be read: %s", error)
        return []

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
