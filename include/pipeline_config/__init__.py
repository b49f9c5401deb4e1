"""Lossless editor of EasyRec pipeline configs (reference section 3): ``edit_text`` and its companions."""

from __future__ import annotations

from include.pipeline_config.editing import edit_text

__all__ = ["edit_text"]
