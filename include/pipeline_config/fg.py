"""Configs whose features EasyRec loads from ``fg_json_path`` before it makes any edit (reference section 4)."""

from __future__ import annotations

from dataclasses import dataclass

from include.pipeline_config import layout
from include.pipeline_config.fields import table
from include.pipeline_config.keys import Key
from include.pipeline_config.reader import Body, parse
from include.pipeline_config.view import View


@dataclass(frozen=True)
class Features:
    """What a dry run sees of the features: ``text`` with them as far as they are known."""

    text: str
    hidden: bool
    """Whether EasyRec adds features that the text does not show."""

    def cannot_judge(self, key: Key) -> bool:
        """Whether what ``key`` selects depends on features that are not known."""
        names = [step.name for step in key.steps[:2]]
        return self.hidden and (
            names[:1] == ["feature_configs"]
            or names == ["feature_config", "features"]
            or names == ["data_config", "input_fields"]
        )


def judge_features(text: str, fg_config: str | None = None) -> Features:
    """The features that edits of ``text`` meet; ``fg_config`` as for ``with_fg_features``."""
    if fg_config is not None:
        return Features(with_fg_features(text, fg_config), hidden=False)
    return Features(text, hidden=bool(fg_json_path(text)))


def fg_json_path(text: str) -> str:
    """Where EasyRec loads this config's features from; "" when they stand in it (``!`` marks loaded ones)."""
    view = View(parse(text), table())
    path = str(view.current(view.root, table().messages[table().root]["fg_json_path"]))
    return "" if path.startswith("!") else path


def with_fg_features(text: str, fg_config: str) -> str:
    """The config as EasyRec edits it after loading its ``fg_json_path``.

    ``fg_config`` is text format with what EasyRec makes of that file: ``feature_config { features {…} … }``
    and ``data_config { input_fields {…} … }``. As there, they replace ``feature_configs`` and the input
    fields and come behind the features that the config itself lists.
    """
    view = View(parse(text), table())
    root = table().messages[table().root]
    spans = []
    for field in view.occurrences(view.root, root["feature_configs"]):
        spans.append(layout.removal(text, field))
    data = view.child(view.root, root["data_config"])
    for field in view.occurrences(data, table().messages[data.message]["input_fields"]):
        spans.append(layout.removal(text, field))
    for field in view.occurrences(view.root, root["fg_json_path"]):
        path = str(view.scalar(field.value, root["fg_json_path"]))
        spans.append((field.value.start, field.value.end, f'"!{path}"'))
    added = parse(fg_config)
    parts = [
        fg_config[field.start : field.end]
        for field in added.root.fields
        if isinstance(field.value, Body) and field.name in ("feature_config", "data_config")
    ]
    edited = layout.spliced(text, spans)
    return "\n".join([edited.rstrip("\r\n"), *parts, ""])
