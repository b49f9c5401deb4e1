"""A PAI job outside of any search: a day's training, its evaluation, its export, or anybody's own.

It runs on the same engine as a trial, and so is submitted once, watched, and stopped by the same rules.
Its experiment has the kind ``job`` and one trial, whose parameters are the whole ``JobSpec``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from include import names
from include.errors import ConfigError
from include.experiments.settings import JobSettings
from include.experiments.trial_plan import MakeAssessor, RenderedTrial
from include.experiments.verification import not_applied
from include.jobs import payload
from include.jobs.ini import JobConfig
from include.names import StepId
from include.ports import Assessor, Parameters
from include.store import Result

TRAIN = "train"
EVALUATE = "evaluate"
EXPORT = "export"


@dataclass(frozen=True)
class JobSpec:
    """One job, complete: any process renders the same payload from it.

    ``parameters``: the ``-D`` values, without ``model_dir``. ``model_dir``: of a training, the place it is
    to fill (a replaced job gets a fresh sibling); of other commands, the trained model's. ``weights``: the
    objective over event-file tags; empty for a job without metrics. ``edits``: values that the config must
    hold, compared with what EasyRec saved.
    """

    xflow_name: str
    xflow_project: str
    parameters: Mapping[str, str]
    model_dir: str
    settings: JobSettings
    command: str = TRAIN
    weights: Mapping[str, float] = field(default_factory=dict)
    optimize_mode: str = "maximize"
    edits: Mapping[str, Any] = field(default_factory=dict)
    allow_unknown_fields: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data that ``from_dict`` reads back."""
        return {
            "xflow_name": self.xflow_name,
            "xflow_project": self.xflow_project,
            "parameters": dict(self.parameters),
            "model_dir": self.model_dir,
            "settings": self.settings.model_dump(include=set(JobSettings.model_fields)),
            "command": self.command,
            "weights": dict(self.weights),
            "optimize_mode": self.optimize_mode,
            "edits": dict(self.edits),
            "allow_unknown_fields": list(self.allow_unknown_fields),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobSpec:
        unknown = set(data) - {f.name for f in dataclasses.fields(cls)}
        if unknown:
            raise ConfigError(f"a job spec has no {', '.join(sorted(unknown))}")
        return cls(
            **{
                **data,
                "settings": JobSettings.model_validate(data["settings"]),
                "allow_unknown_fields": tuple(data["allow_unknown_fields"]),
            }
        )


@dataclass(frozen=True)
class JobPlan:
    """A trial plan of one ``JobSpec``."""

    spec: JobSpec

    @classmethod
    def of_trial(cls, parameters: Parameters) -> JobPlan:
        return cls(JobSpec.from_dict(parameters))

    @property
    def settings(self) -> JobSettings:
        return self.spec.settings

    @property
    def weights(self) -> Mapping[str, float]:
        return self.spec.weights

    @property
    def max_trial_duration(self) -> timedelta | None:
        return None

    @property
    def step_count(self) -> int:
        return 1

    @property
    def judges_whole_steps(self) -> bool:
        return False

    def step_name(self, step: int) -> str:  # noqa: ARG002
        return ""

    def assessor(self, make: MakeAssessor) -> Assessor | None:  # noqa: ARG002
        return None

    def render_trial(
        self,
        step: StepId,
        parameters: Mapping[str, Any],  # noqa: ARG002
        *,
        checkpoint: str = "",  # noqa: ARG002
    ) -> RenderedTrial:
        spec = self.spec
        trains = spec.command == TRAIN
        model_dir = names.attempt_dir(spec.model_dir, step) if trains else spec.model_dir
        given = dict(spec.parameters)
        if spec.command == EVALUATE:  # a file of each job's own: an older result is never taken for its
            given.setdefault("eval_result_path", names.eval_result_name(step))
        job = JobConfig(Path(spec.command), spec.xflow_name, spec.xflow_project, given, spec.weights)
        rendered = payload.render(job, model_dir=model_dir, max_hours=spec.settings.max_training_hours)
        return RenderedTrial(model_dir, rendered)

    def not_applied(
        self,
        parameters: Mapping[str, Any],  # noqa: ARG002
        saved_config: str,
        *,
        step: int = 0,  # noqa: ARG002
        sent: Callable[[], str] = lambda: "",  # noqa: ARG002
    ) -> list[str]:
        return not_applied(saved_config, self.spec.edits, self.spec.allow_unknown_fields)

    def final_result(self, results: Sequence[Result]) -> Result | None:
        from include.metrics.objective import OptimizeMode, final  # DAG parses don't need protobuf

        mode: OptimizeMode = "maximize" if self.spec.optimize_mode == "maximize" else "minimize"
        return final(results, optimize_mode=mode, use_best=self.settings.final_metric == "best")
