"""A model's ``finetune`` folder, read once and checked: what its daily run does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from include import names
from include.errors import ConfigError, EasyRecAutoMLError, ProblemsError
from include.experiments import settings as model_settings
from include.experiments.plan import SETTINGS
from include.experiments.settings import ModelSettings
from include.finetune import calendar, placeholders
from include.finetune.learning_rate import overwritten_by_hand_over, rate_edit_lost
from include.finetune.settings import FinetuneSettings
from include.jobs import ini
from include.jobs.edits import CHECKPOINT_KEY, parse_edits
from include.jobs.ini import JobConfig

FINETUNE = "finetune"
INI = "config_finetune.ini"
TABLE_KEYS = ("train_tables", "eval_tables", "tables", "boundary_table")
_ANY_DAY = date(2024, 2, 28)


@dataclass(frozen=True)
class FinetunePlan:
    model: str
    folder: str
    settings: ModelSettings
    job: JobConfig
    """The ini with its placeholders; ``day`` fills them."""

    @classmethod
    def load(cls, model_folder: Path) -> FinetunePlan:
        """Read ``<model>/finetune/config_finetune.ini`` and ``<model>/model.yml`` (local files only).

        Raises ProblemsError that names every file with its problems.
        """
        model = names.check_model_name(model_folder.name)
        problems: list[str] = []
        settings, job = ModelSettings(), None
        path = model_folder / FINETUNE / INI
        try:
            if (model_folder / SETTINGS).exists():
                settings = model_settings.load(model_folder / SETTINGS)
        except EasyRecAutoMLError as error:
            problems.append(str(error))
        try:
            job = ini.load(path, for_search=False)
        except EasyRecAutoMLError as error:
            problems.append(str(error))
        if job is not None and not problems:
            problems += [f"{path}: {p}" for p in _problems(job, settings.finetune)]
        if problems or job is None:
            raise ProblemsError(f"model {model} can't be finetuned", problems)
        return cls(model, str(model_folder), settings, job)

    @property
    def finetune(self) -> FinetuneSettings:
        return self.settings.finetune

    @property
    def exports(self) -> bool:
        return "export" in self.job.commands

    @property
    def ini_path(self) -> str:
        return str(self.job.path)

    @property
    def notes(self) -> list[str]:
        """What is odd but can be run. Raises ConfigError for edits that can't be read."""
        setting = self.finetune.learning_rate
        lost: list[str] = []
        if setting != "unchanged":
            edits = self.edits(_ANY_DAY)
            winner = "the rate handed over" if setting == "handover" else f"finetune.learning_rate {setting}"
            lost = [rate_edit_lost(key, edits[key], winner) for key in overwritten_by_hand_over(edits)]
        return [*self.job.warnings, *lost]

    def parameters(self, bizdate: date, command: str = "train") -> dict[str, str]:
        """The ``-D`` values of a command on one day."""
        return calendar.render_all(self.job.of(command), bizdate, where=self.ini_path)

    def edits(self, bizdate: date) -> dict[str, Any]:
        """The ini's own edits on one day, without the checkpoint, which the chain decides."""
        edits = parse_edits(self.parameters(bizdate).get("edit_config_json", ""))
        edits.pop(CHECKPOINT_KEY, None)
        return edits

    def named_checkpoint(self, bizdate: date) -> str:
        """The checkpoint that the ini itself names for a day; empty when it names none."""
        parameters = self.parameters(bizdate)
        edits = parse_edits(parameters.get("edit_config_json", ""))
        return str(parameters.get("fine_tune_checkpoint") or edits.get(CHECKPOINT_KEY) or "")

    def tables(self, bizdate: date, command: str = "train") -> list[AwaitedTable]:
        """What a command reads on one day, in the ini's order."""
        templates, values = self.job.of(command), self.parameters(bizdate, command)
        return [
            AwaitedTable(key, url.strip(), placeholders.is_dated(template))
            for key in TABLE_KEYS
            for template, url in zip(
                templates.get(key, "").split(","), values.get(key, "").split(","), strict=True
            )
            if url.strip()
        ]

    @property
    def promotions_prefix(self) -> str:
        """OSS folder of the published pointers."""
        if self.finetune.promotions:
            return self.finetune.promotions + "/"
        folder = placeholders.folder_before(self.job.parameters["model_dir"])
        return f"{folder}/{self.model}_promotions/"


@dataclass(frozen=True)
class AwaitedTable:
    """``dated``: it may come later; one that has no date in it is there or the ini is wrong."""

    key: str
    url: str
    dated: bool


def _problems(job: JobConfig, settings: FinetuneSettings) -> list[str]:
    """What every day would fail on (reference R24, R25)."""
    problems: list[str] = []
    for command in ("train", *job.commands):
        try:
            calendar.render_all(job.of(command), _ANY_DAY)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        return problems
    train = job.parameters
    problems += placeholders.undated(train)
    problems += _evaluation_problems(job, settings)
    problems += _checkpoint_problems(train)
    return problems


def _evaluation_problems(job: JobConfig, settings: FinetuneSettings) -> list[str]:
    mode = settings.evaluation
    on_next_day = "eval_ymd" in placeholders.used(job.parameters.get("eval_tables", ""))
    trains_blind = job.parameters.get("eval_method") == "none"
    if mode == "next_day" and not on_next_day:
        return [
            "-Deval_tables must hold <eval_ymd> (or set finetune.evaluation: same_day, "
            "to evaluate on a hold-out of the day itself)"
        ]
    if mode != "next_day" and on_next_day:
        return [
            f"-Deval_tables holds <eval_ymd>, but finetune.evaluation is {mode}: training does not wait for it"
        ]
    problems = []
    if mode == "evaluate_job" and "evaluate" not in job.commands:
        problems.append("finetune.evaluation is evaluate_job: write a section [evaluate_cmd_config]")
    if mode != "evaluate_job" and "evaluate" in job.commands:
        problems.append("[evaluate_cmd_config] is used only with finetune.evaluation: evaluate_job")
    if mode != "evaluate_job" and trains_blind:
        problems.append("-Deval_method is none: nothing is evaluated, so no gate could judge the day")
    if not job.weights:
        problems.append("[metric_config] is missing or empty: write <tag>=<weight>, e.g. auc=1")
    return problems


def _checkpoint_problems(train: Mapping[str, str]) -> list[str]:
    """Yesterday's output must be today's input (R25)."""
    two_days = date(2024, 3, 1), date(2024, 2, 29)
    try:
        edits = parse_edits(train.get("edit_config_json", ""))
    except ConfigError as error:
        return [f"-Dedit_config_json: {error}"]
    named = [
        (f"-Dedit_config_json {CHECKPOINT_KEY}", str(edits.get(CHECKPOINT_KEY, ""))),
        ("-Dfine_tune_checkpoint", train.get("fine_tune_checkpoint", "")),
    ]
    output = calendar.render(train.get("model_dir", ""), two_days[1]).rstrip("/")
    problems = []
    for where, template in named:
        if not template:
            continue  # the chain decides it anyway
        if "predate" not in placeholders.used(template):
            problems.append(f"{where} must hold <predate>: it is the day before's model_dir")
            continue
        source = calendar.render(template, two_days[0])
        if source.rstrip("/") != output and not source.startswith(output + "/"):
            problems.append(
                f"{where} and -Dmodel_dir don't correspond: {two_days[0]} would continue from {source}, "
                f"but {two_days[1]} is trained into {output}"
            )
    return problems
