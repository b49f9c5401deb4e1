"""What the trial engine needs to know of a trial: how to render, judge and watch its job.

Three plans exist: a search's (``plan.Plan``), a finetune search's, whose trials are chains of days
(``chain_plan.ChainPlan``), and a single job's outside of any search (``job_plan.JobPlan``). The engine
(starter, watcher) treats them alike: a trial is a number of steps, one job each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from include.names import StepId
from include.ports import Assessor, JobPayload
from include.store import Result

if TYPE_CHECKING:
    from include.experiments.settings import JobSettings
    from include.search.config import SearchConfig
    from include.search.space import SearchSpace


@dataclass(frozen=True)
class RenderedTrial:
    """Exactly what a trial submits.

    ``config_upload``: URL and text of the patched config, if any.
    """

    model_dir: str
    payload: JobPayload
    config_upload: tuple[str, str] | None = None


class SearchPlan(Protocol):
    """Of a search's plan, what its tuner and assessor are made from."""

    @property
    def search(self) -> SearchConfig: ...

    @property
    def space(self) -> SearchSpace: ...


MakeAssessor = Callable[[SearchPlan], Assessor | None]


class TrialPlan(Protocol):
    @property
    def settings(self) -> JobSettings: ...

    @property
    def weights(self) -> Mapping[str, float]:
        """The objective's weight of each metric tag; empty for a job that has no metrics."""
        ...

    @property
    def max_trial_duration(self) -> timedelta | None: ...

    @property
    def step_count(self) -> int:
        """How many jobs a trial needs, one after another; each gets the checkpoint of the one before."""
        ...

    @property
    def judges_whole_steps(self) -> bool:
        """Whether an intermediate result is what a whole step came to, or each of its evaluations."""
        ...

    def step_name(self, step: int) -> str:
        """What people call the step: a date; empty where a trial is one step."""
        ...

    def assessor(self, make: MakeAssessor) -> Assessor | None:
        """The one that judges the trial's intermediate results, by the maker of a search's; None without any."""
        ...

    def render_trial(
        self, step: StepId, parameters: Mapping[str, Any], *, checkpoint: str = ""
    ) -> RenderedTrial:
        """The job of a step. ``checkpoint``: exact prefix of what the step before made, empty in the first."""
        ...

    def not_applied(
        self,
        parameters: Mapping[str, Any],
        saved_config: str,
        *,
        step: int = 0,
        sent: Callable[[], str] = lambda: "",
    ) -> list[str]:
        """What the config that EasyRec saved holds instead of what was meant.

        ``sent``: reads the config that the job got; empty when it is gone.
        """
        ...

    def final_result(self, results: Sequence[Result]) -> Result | None:
        """The result that counts, None when none is finite (reference R9)."""
        ...
