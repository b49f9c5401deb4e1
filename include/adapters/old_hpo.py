"""The old system's modules, as far as users' own assessors import them (reference R12).

``from hpo_nni.core.pai_assessor import PAIAssessor`` and its like go on working; what killed jobs and
removed files does nothing, because stopping the job is ours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from include.adapters.nni_engines import quiet_nni
from include.search.assessors import PAI, create

log = logging.getLogger(__name__)


def modules() -> Mapping[str, ModuleType]:
    """Stand-ins by the names under which the old files import each other."""
    base = _pai_assessor()
    made: dict[str, ModuleType] = {}
    for package in ("hpo_nni", "hpo_nni.core"):
        made[package] = ModuleType(package)
        made[package].__path__ = []
    for prefix in ("", "hpo_nni.core."):
        made[f"{prefix}pai_assessor"] = _module(
            f"{prefix}pai_assessor",
            PAIAssessor=base,
            PaiAssessor=base,
            **_nothing("kill_instance", "remove_filepath"),
        )
        made[f"{prefix}pyodps_utils"] = _module(f"{prefix}pyodps_utils", **_nothing("kill_instance"))
    # a plain "utils" may well be the user's own
    made["hpo_nni.core.utils"] = _module("hpo_nni.core.utils", **_nothing("remove_filepath"))
    return made


def _pai_assessor() -> type:
    quiet_nni()
    from nni.algorithms.hpo.medianstop_assessor import MedianstopAssessor
    from nni.assessor import AssessResult
    from nni.utils import extract_scalar_history

    class PAIAssessor(MedianstopAssessor):  # type: ignore[misc]
        """Base class with the old attributes and the rule of reference R10."""

        def __init__(self, optimize_mode: str = "maximize", start_step: int = 0, **options: Any) -> None:
            super().__init__(optimize_mode, start_step)
            self._rule = create(PAI, {"optimize_mode": optimize_mode, "start_step": start_step, **options})

        def assess_trial(self, trial_job_id: str, trial_history: list[Any]) -> Any:
            if len(trial_history) < self._start_step:
                return AssessResult.Good
            values = extract_scalar_history(trial_history)
            self._update_data(trial_job_id, values)
            others = [history for name, history in self._running_history.items() if name != trial_job_id]
            stop = self._rule.assess(0, {0: values, **dict(enumerate(others, start=1))}).stop
            return AssessResult.Bad if stop else AssessResult.Good

        def trial_end(self, trial_job_id: str, success: bool) -> None:
            """The history stays: the rule compares with ended trials, too."""

    return PAIAssessor


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


def _nothing(*names: str) -> dict[str, Any]:
    def ignored(name: str) -> Any:
        def call(*_args: Any, **_options: Any) -> None:
            log.debug("%s does nothing: stopping jobs isn't the assessor's task", name)

        return call

    return {name: ignored(name) for name in names}
