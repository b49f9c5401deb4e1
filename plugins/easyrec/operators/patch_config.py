"""Edits a pipeline config, on OSS or on disk: usable in any DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from easyrec.failures import fails_the_task
from include.experiments.settings import JobSettings

if TYPE_CHECKING:
    from airflow.sdk import Context


class PatchPipelineConfigOperator(BaseOperator):
    """Writes a copy of a pipeline config with edits and a handed-over learning rate in it.

    Everything else stays byte for byte. The target is written whole or not at all. Returns ``config`` (the
    target), ``edits`` (every value that the config must hold now), ``changes`` and ``warnings`` in words.

    Templated: ``source``, ``target``, ``edits``, ``learning_rate``, ``trained_config``.

    :param source: the config, ``oss://…`` or a local path.
    :param target: where the copy goes, ``oss://…`` or a local path.
    :param edits: paths into the config and their values, as in ``-Dedit_config_json``.
    :param learning_rate: the rate to start with (R23): a number, one per optimizer, or None to leave it.
    :param overrides: edits that are made last, and so win over ``learning_rate``, too.
    :param trained_config: the config that trained the checkpoint to start from: when given, edits that
        change the shape of one of its variables are refused (R28).
    :param force_shapes: warn about changed shapes instead of refusing them.
    :param allow_unknown_fields: names of fields that a newer EasyRec has.
    :param settings: connections (``JobSettings``).
    """

    template_fields: Sequence[str] = (
        "source",
        "target",
        "edits",
        "learning_rate",
        "overrides",
        "trained_config",
    )

    def __init__(
        self,
        *,
        source: str,
        target: str,
        edits: Mapping[str, Any] | str | None = None,
        learning_rate: float | Sequence[float] | str | None = None,
        overrides: Mapping[str, Any] | str | None = None,
        trained_config: str | None = None,
        force_shapes: bool = False,
        allow_unknown_fields: Sequence[str] = (),
        settings: JobSettings | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=True, **kwargs)
        self.source = source
        self.target = target
        self.edits = edits
        self.learning_rate = learning_rate
        self.overrides = overrides
        self.trained_config = trained_config
        self.force_shapes = force_shapes
        self.allow_unknown_fields = allow_unknown_fields
        self.settings = settings or JobSettings()

    def execute(self, context: Context) -> dict[str, Any]:
        from easyrec import runtime
        from include.daily.patching import patch_config

        with fails_the_task():
            patched = patch_config(
                runtime.config_files(self.settings),
                source=self.source,
                target=self.target,
                edits=self.edits,
                learning_rate=self.learning_rate,
                overrides=self.overrides,
                trained_config=self.trained_config,
                force_shapes=self.force_shapes,
                allow_unknown_fields=tuple(self.allow_unknown_fields),
            )
        for change in patched.changes:
            self.log.info("%s", change)
        for warning in patched.warnings:
            self.log.warning("%s", warning)
        return {
            "config": self.target,
            "edits": dict(patched.edits),
            "changes": list(patched.changes),
            "warnings": list(patched.warnings),
        }
