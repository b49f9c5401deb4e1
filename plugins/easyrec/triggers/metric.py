"""Waits for the metric of a model_dir."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easyrec.triggers.waiting import WaitTrigger
from include.experiments.settings import JobSettings

if TYPE_CHECKING:
    from include.daily.metric_probe import MetricProbe


class MetricTrigger(WaitTrigger):
    """:param probe: arguments of ``include.daily.metric_probe.MetricProbe`` besides the object store."""

    def __init__(self, *, probe: Mapping[str, Any], settings: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.probe = dict(probe)
        self.settings = dict(settings)
        self._probe: MetricProbe | None = None

    def arguments(self) -> dict[str, Any]:
        return {"probe": self.probe, "settings": self.settings}

    def look(self) -> Mapping[str, Any] | None:
        from easyrec import runtime
        from include.daily.metric_probe import MetricProbe

        if self._probe is None:
            objects = runtime.objects(JobSettings.model_validate(self.settings))
            self._probe = MetricProbe(objects, **self.probe)
        self.missing = f"the metric of {self.probe['model_dir']}"
        found = self._probe.look()
        return None if found is None else found.as_dict()
