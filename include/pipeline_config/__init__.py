"""Lossless editor of EasyRec pipeline configs (reference section 3).

``edit_text`` edits a text, ``check_edits`` tries a whole search space on it, ``render_edit_config_json``
writes edits as EasyRec itself takes them, ``values_at`` reads, ``difference`` compares by meaning.
"""

from __future__ import annotations

from include.pipeline_config.check import Problem, check_edits
from include.pipeline_config.compare import difference, values_at
from include.pipeline_config.editing import edit_text
from include.pipeline_config.fg import fg_json_path, with_fg_features
from include.pipeline_config.json_edits import render_edit_config_json

__all__ = [
    "Problem",
    "check_edits",
    "difference",
    "edit_text",
    "fg_json_path",
    "render_edit_config_json",
    "values_at",
    "with_fg_features",
]
