"""A model's ``begin`` folder, read once and checked: what an experiment will run.

The texts of all files are kept with the experiment, so that an edit of the folder never changes a running
search, and any process renders the same job from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from include import names
from include.errors import ConfigError, EasyRecAutoMLError, ProblemsError
from include.experiments import settings as model_settings
from include.experiments import variables
from include.experiments.settings import ModelSettings
from include.experiments.trial_plan import MakeAssessor, RenderedTrial
from include.experiments.verification import not_applied
from include.jobs import ini, payload
from include.jobs.checks import check_parameters
from include.jobs.edits import merge_edits, parse_edits
from include.jobs.ini import JobConfig
from include.names import StepId
from include.pipeline_config import edit_text, render_edit_config_json
from include.ports import Assessor
from include.search import config as search_config
from include.search import space as search_space
from include.search.config import SearchConfig
from include.search.space import SearchSpace
from include.store import Result
from include.texts import file_text

if TYPE_CHECKING:
    from typing_extensions import Self

BEGIN = "begin"
SETTINGS = "model.yml"
SEARCH = "config.yml"
_EDITS = "edit_config_json"


@dataclass(frozen=True)
class Plan:
    subfolder: ClassVar[str] = BEGIN
    """Of the model's folder."""
    kind: ClassVar[str] = "begin"
    """Of the experiment in the store."""

    model: str
    folder: str
    settings: ModelSettings
    search: SearchConfig
    job: JobConfig
    space: SearchSpace
    texts: Mapping[str, str]
    """The user's files as they were read, by name."""
    pipeline_config: str = ""
    """Text of ``-Dconfig`` as it was when the experiment was opened; empty in a plan read for the DAG."""

    @classmethod
    def load(cls, model_folder: Path) -> Self:
        """Read the subfolder (``<model>/begin``) and ``<model>/model.yml`` from disk (local files only).

        Raises ConfigError that names every file with its problems.
        """
        model = names.check_model_name(model_folder.name)
        begin = model_folder / cls.subfolder
        problems: list[str] = []
        texts: dict[str, str] = {}

        def read(path: Path, name: str) -> str:
            texts[name] = file_text(path)
            return texts[name]

        settings, search, job, space = ModelSettings(), None, None, None
        try:
            if (model_folder / SETTINGS).exists():
                settings = model_settings.parse(
                    read(model_folder / SETTINGS, SETTINGS), str(model_folder / SETTINGS)
                )
        except EasyRecAutoMLError as error:
            problems.append(str(error))
        try:
            search = search_config.parse(read(begin / SEARCH, SEARCH), begin / SEARCH)
        except EasyRecAutoMLError as error:
            problems.append(str(error))
        if search is not None:
            try:
                job = ini.parse(read(search.ini_path, "ini"), search.ini_path)
            except EasyRecAutoMLError as error:
                problems.append(str(error))
            try:
                space = _space(search, read)
            except EasyRecAutoMLError as error:
                problems.append(str(error))
        if search is not None and job is not None and space is not None:
            problems += _variable_problems(job, space)
        if problems or search is None or job is None or space is None:
            raise ProblemsError(f"model {model} can't be used", problems)
        return cls(model, str(model_folder), settings, search, job, space, texts)

    def snapshot(self) -> dict[str, Any]:
        """Plain data that ``from_snapshot`` reads back; kept with the experiment."""
        return {
            "model": self.model,
            "folder": self.folder,
            "texts": dict(self.texts),
            "pipeline_config": self.pipeline_config,
        }

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Self:
        folder, texts = Path(snapshot["folder"]), snapshot["texts"]
        search = search_config.parse(texts[SEARCH], folder / cls.subfolder / SEARCH)
        return cls(
            model=snapshot["model"],
            folder=str(folder),
            settings=model_settings.parse(texts.get(SETTINGS, ""), str(folder / SETTINGS)),
            search=search,
            job=ini.parse(texts["ini"], search.ini_path),
            space=_space(search, lambda _path, name: str(texts[name])),
            texts=texts,
            pipeline_config=snapshot["pipeline_config"],
        )

    def with_pipeline_config(self, text: str) -> Self:
        return replace(self, pipeline_config=text)

    @property
    def base_dir(self) -> str:
        """``-Dmodel_dir`` of the ini: trials' model_dirs and the experiment's reports lie below it."""
        return self.job.parameters["model_dir"]

    @property
    def config_url(self) -> str:
        """The pipeline config that the trials' parameters are put into."""
        return self.job.parameters["config"]

    @property
    def read_places(self) -> tuple[str, ...]:
        """What every trial of the search reads on OSS, and somebody might tidy away: config and checkpoint."""
        return (self.config_url, *self.possible_values("fine_tune_checkpoint"))

    @property
    def weights(self) -> Mapping[str, float]:
        return self.job.weights

    @property
    def max_trial_duration(self) -> timedelta | None:
        return self.search.max_trial_duration

    @property
    def step_count(self) -> int:
        return 1

    @property
    def judges_whole_steps(self) -> bool:
        return False

    @property
    def sends_edits(self) -> bool:
        """Whether EasyRec gets ``-Dedit_config_json``; else the config is patched before it is sent."""
        return self.settings.parameters_via == "edit_config_json"

    def step_name(self, step: int) -> str:  # noqa: ARG002
        return ""

    def assessor(self, make: MakeAssessor) -> Assessor | None:
        return make(self)

    def edits(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What is edited in the pipeline config: the ini's own edits, then the trial's parameters (R7)."""
        flat = self.space.edits(parameters)
        chosen = {k: v for k, v in flat.items() if variables.name_of(k) is None}
        own = variables.fill_edits(self.own_edits, self.variables(parameters), f"-D{_EDITS}")
        return merge_edits(json.dumps(own), chosen)

    @property
    def own_edits(self) -> dict[str, Any]:
        """The ini's ``-Dedit_config_json`` as it is written, variables included."""
        return parse_edits(self.job.parameters.get(_EDITS, ""))

    def variables(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters named ``${name}``: they fill the ini's values instead of the config (+18)."""
        flat = self.space.edits(parameters)
        return {name: flat[k] for k in flat if (name := variables.name_of(k)) is not None}

    def possible_values(self, key: str) -> list[str]:
        """Every value that ``-Dkey`` may have in this search; none when the ini doesn't set it.

        Raises ConfigError when a variable makes too many of it to be listed.
        """
        value = self.job.parameters.get(key, "")
        return variables.possible(value, self.space, f"-D{key}") if value else []

    def render_trial(
        self,
        step: StepId,
        parameters: Mapping[str, Any],
        *,
        checkpoint: str = "",  # noqa: ARG002
    ) -> RenderedTrial:
        """The job of one trial.

        Raises ConfigEditError when the parameters can't be applied, ConfigError when a variable has no value
        or makes a value that can't be sent.
        """
        edits = self.edits(parameters)
        model_dir = names.trial_model_dir(self.base_dir, step)
        job, config_upload = self._with_variables(parameters), None
        edit_config_json = config_url = None
        if not self.sends_edits:
            config_url = names.patched_config(self.base_dir, step)
            config_upload = (config_url, self._edited(edits))
        elif edits:
            edit_config_json = render_edit_config_json(
                self.pipeline_config, edits, allow_unknown_fields=self.settings.allow_unknown_fields
            )
        rendered = payload.render(
            job,
            model_dir=model_dir,
            edit_config_json=edit_config_json,
            config_url=config_url,
            max_hours=self.settings.max_training_hours,
        )
        return RenderedTrial(model_dir, rendered, config_upload)

    def patched_config(self, parameters: Mapping[str, Any]) -> str:
        """The pipeline config with the parameters in it, everything else untouched."""
        return self._edited(self.edits(parameters))

    def not_applied(
        self,
        parameters: Mapping[str, Any],
        saved_config: str,
        *,
        step: int = 0,  # noqa: ARG002
        sent: Callable[[], str] = lambda: "",  # noqa: ARG002
    ) -> list[str]:
        """What the config that EasyRec saved holds instead of this trial's values."""
        return not_applied(saved_config, self.edits(parameters), self.settings.allow_unknown_fields)

    def final_result(self, results: Sequence[Result]) -> Result | None:
        """The result that counts for a trial, None when none is finite (R9)."""
        from include.metrics.objective import OptimizeMode, final  # DAG parses don't need protobuf

        mode: OptimizeMode = "maximize" if self.search.optimize_mode == "maximize" else "minimize"
        return final(results, optimize_mode=mode, use_best=self.settings.final_metric == "best")

    def _edited(self, edits: Mapping[str, Any]) -> str:
        return edit_text(self.pipeline_config, edits, allow_unknown_fields=self.settings.allow_unknown_fields)

    def _with_variables(self, parameters: Mapping[str, Any]) -> JobConfig:
        values = self.variables(parameters)
        filled = {
            key: value if key == _EDITS else variables.fill(value, values, f"-D{key}")
            for key, value in self.job.parameters.items()
        }
        if filled != self.job.parameters:
            problems, _ = check_parameters(filled, {}, for_search=True)
            if problems:
                raise ProblemsError("the variables' values make a job that can't run", problems)
        return replace(self.job, parameters=filled)


def _variable_problems(job: JobConfig, space: SearchSpace) -> list[str]:
    """How variables are used, and each value that they make, in the ini's checks."""
    problems = variables.problems(job.parameters, space)
    if problems:
        return problems
    for key, value in job.parameters.items():
        if key == _EDITS or not variables.used_in(value):
            continue
        try:
            possible = variables.ends(value, space, f"-D{key}")
        except ConfigError as error:
            problems.append(str(error))
            continue
        for filled in possible:
            problems += check_parameters({**job.parameters, key: filled}, {}, for_search=True)[0]
    return list(dict.fromkeys(problems))


def _space(search: SearchConfig, read: Callable[[Path, str], str]) -> SearchSpace:
    if search.inline_space is not None:
        return search.inline_space
    path = search.search_space_path
    assert path is not None  # config.yml has one or the other
    return search_space.parse(read(path, "search_space.json"), path)
