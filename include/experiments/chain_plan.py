"""A finetune search: each trial is a chain of days, and each day one job (reference R25, R26).

What is searched is what every day of a chain is trained with. The model's daily chain is only read from, never
changed: days of a trial continue from each other, in model_dirs of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from include import names
from include.errors import ConfigError, EasyRecAutoMLError, ProblemsError
from include.experiments.plan import Plan
from include.experiments.trial_plan import RenderedTrial
from include.experiments.verification import not_applied
from include.finetune import calendar, placeholders
from include.finetune.learning_rate import first_rates, hand_over, overwritten_by_hand_over
from include.finetune.settings import FinetuneSettings
from include.jobs import payload
from include.jobs.edits import CHECKPOINT_KEY, merge_edits
from include.names import StepId
from include.pipeline_config import edit_text, values_at

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

FINETUNE_SEARCH = "finetune_search"
_EDITS = "edit_config_json"
_OVERRIDES_CONFIG = "fine_tune_checkpoint"


@dataclass(frozen=True)
class ChainPlan(Plan):
    subfolder: ClassVar[str] = FINETUNE_SEARCH
    kind: ClassVar[str] = "finetune"

    days: tuple[date, ...] = ()
    """In order, without a hole; in a plan read for the DAG those of ``trialCommand``, if it has any."""
    checkpoint: str = ""
    """Exact prefix that the first day continues from; empty until the search is opened."""
    rates: tuple[float, ...] = ()
    """Learning rates handed over to every day, one per optimizer (or one for all); empty: left alone."""
    adopted: Mapping[str, Any] = field(default_factory=dict)
    """Edits that the model's daily finetune was trained with by adoption when the search was opened."""
    source: str = ""
    """URL of the pipeline config that is edited; empty: ``-Dconfig`` of the ini."""

    @classmethod
    def load(cls, model_folder: Path) -> Self:
        """Read ``<model>/finetune_search`` and ``<model>/model.yml`` from disk (local files only).

        Raises ProblemsError with everything that no day could run with.
        """
        plan = super().load(model_folder)
        problems = _problems(plan)
        if problems:
            raise ProblemsError(f"model {plan.model} can't be searched day by day", problems)
        first, last = plan.search.start_date, plan.search.end_date
        return replace(plan, days=tuple(calendar.days(first, last)) if first and last else ())

    def snapshot(self) -> dict[str, Any]:
        return {
            **super().snapshot(),
            "days": [day.isoformat() for day in self.days],
            "checkpoint": self.checkpoint,
            "rates": list(self.rates),
            "adopted": dict(self.adopted),
            "source": self.source,
        }

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Self:
        return replace(
            super().from_snapshot(snapshot),
            days=tuple(date.fromisoformat(day) for day in snapshot["days"]),
            checkpoint=snapshot["checkpoint"],
            rates=tuple(snapshot["rates"]),
            adopted=snapshot.get("adopted", {}),  # not in those of older versions
            source=snapshot["source"],
        )

    @property
    def base_dir(self) -> str:
        """The folder that holds the days' model_dirs; the experiment's reports lie there, too."""
        return placeholders.folder_before(self.job.parameters["model_dir"])

    @property
    def finetune(self) -> FinetuneSettings:
        return self.settings.finetune

    @property
    def config_url(self) -> str:
        return self.source or super().config_url

    @property
    def read_places(self) -> tuple[str, ...]:
        return (self.config_url, self.checkpoint)

    @property
    def step_count(self) -> int:
        return len(self.days)

    @property
    def judges_whole_steps(self) -> bool:
        return True

    @property
    def sends_edits(self) -> bool:
        return False  # like the daily run: a rate can only be handed over by patching the config

    def step_name(self, step: int) -> str:
        return self.days[step].isoformat()

    def possible_values(self, key: str) -> list[str]:
        """On all days. No checkpoint: the chain decides it, whatever the ini says."""
        if key == _OVERRIDES_CONFIG:
            return []
        values = [calendar.render(value, day) for value in super().possible_values(key) for day in self.days]
        return list(dict.fromkeys(values))

    def render_trial(
        self, step: StepId, parameters: Mapping[str, Any], *, checkpoint: str = ""
    ) -> RenderedTrial:
        """The job of one day. Raises ConfigEditError or ConfigError for what can't be applied or sent."""
        day = self.days[step.step]
        job = self._with_variables(parameters)
        values = calendar.render_all(job.parameters, day)
        model_dir = names.day_trial_dir(values["model_dir"], step)
        url = names.join_url(
            self.base_dir, f"{step.experiment}_configs", f"{model_dir.rpartition('/')[2]}.config"
        )
        text = self.day_config(day, parameters, checkpoint or self.checkpoint)
        values.pop(_OVERRIDES_CONFIG, None)  # it would win over the config's
        rendered = payload.render(
            replace(job, parameters=values),
            model_dir=model_dir,
            config_url=url,
            max_hours=self.settings.max_training_hours,
        )
        return RenderedTrial(model_dir, rendered, (url, text))

    def day_config(self, day: date, parameters: Mapping[str, Any], checkpoint: str) -> str:
        """The pipeline config of a day: the ini's edits, the rate handed over, what was adopted, then the
        trial's parameters.

        In this order, as the daily run does it, so that a learning rate that is searched for wins over others.
        """
        text = self._edited(self._own(day))
        if self.rates:
            text = hand_over(text, self.rates[0] if len(self.rates) == 1 else list(self.rates)).text
        edits = {**self.trained_with(parameters), CHECKPOINT_KEY: checkpoint}
        return edit_text(text, edits, allow_unknown_fields=self.settings.allow_unknown_fields)

    def trained_with(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The edits that win over the ini's and the rate handed over: adopted ones, then the trial's own."""
        chosen = self._chosen(parameters)
        return {**{key: value for key, value in self.adopted.items() if key not in chosen}, **chosen}

    def patched_config(self, parameters: Mapping[str, Any]) -> str:
        """What the last day is trained with, but for its checkpoint."""
        return self.day_config(self.days[-1], parameters, self.checkpoint)

    def not_applied(
        self,
        parameters: Mapping[str, Any],
        saved_config: str,
        *,
        step: int = 0,
        sent: Callable[[], str] = lambda: "",
    ) -> list[str]:
        """Of edits, adopted and searched parameters, and of the checkpoint and the rates that were sent."""
        own = self._own(self.days[step])
        lost = overwritten_by_hand_over(own) if self.rates else []
        edits = {**{k: v for k, v in own.items() if k not in lost}, **self.trained_with(parameters)}
        edits |= self._chain_edits(sent())
        return not_applied(saved_config, edits, self.settings.allow_unknown_fields)

    def _chain_edits(self, sent: str) -> dict[str, Any]:
        """What the chain decided in a config that was sent: the checkpoint, and the rates if any are handed over."""
        if not sent:
            return {}
        allowed = self.settings.allow_unknown_fields
        rates: dict[str, Any] = {}
        if self.rates:
            with contextlib.suppress(ConfigError):  # the trial's own parameters left no schedule that we know
                rates = {**first_rates(sent)}
        return {**rates, CHECKPOINT_KEY: values_at(sent, CHECKPOINT_KEY, allow_unknown_fields=allowed)[0]}

    @property
    def winner_notes(self) -> tuple[str, ...]:
        """What wins over what: searched rates over the one handed over, searched values over adopted ones."""
        notes = []
        if self.adopted:
            adopted = ", ".join(f"{key} = {value}" for key, value in self.adopted.items())
            notes.append(f"every day is trained with what was adopted, below the trial's own: {adopted}")
        if self.rates:
            shown = ", ".join(f"{rate:g}" for rate in self.rates)
            notes += [
                f"{key} is searched: it wins over the learning rate handed over ({shown})"
                for key in overwritten_by_hand_over(dict.fromkeys(self.space))
            ]
        return tuple(notes)

    def _own(self, day: date) -> dict[str, Any]:
        own = merge_edits(calendar.render(self.job.parameters.get(_EDITS, ""), day), {})
        own.pop(CHECKPOINT_KEY, None)
        return own

    def _chosen(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.space.edits(parameters))


def plan_of(snapshot: Mapping[str, Any]) -> Plan:
    """The plan that a search was opened with, of whichever kind it is. ConfigError for a single job's snapshot."""
    if "texts" not in snapshot:
        raise ConfigError("this experiment is a single job, not a search")
    return (ChainPlan if "days" in snapshot else Plan).from_snapshot(snapshot)


def _problems(plan: Plan) -> list[str]:
    """What would make days train on each other's data or into each other's folders (reference R24)."""
    problems: list[str] = []
    train = plan.job.parameters
    for key, value in train.items():
        try:
            calendar.render(value, date(2024, 2, 28))
        except ConfigError as error:
            problems.append(f"-D{key}: {error}")
    if problems:
        return problems
    problems += placeholders.undated(train)
    if placeholders.used(train["config"]):
        problems.append("-Dconfig holds a date: a trial's days are trained with one config")
    variables = [key for key in plan.space if key.startswith("${")]
    if variables:
        problems.append(f"variables are for a begin search only: {', '.join(variables)}")
    try:
        merge_edits(train.get(_EDITS, ""), {})
    except EasyRecAutoMLError as error:
        problems.append(f"-D{_EDITS}: {error}")
    return problems
