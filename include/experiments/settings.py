"""``model.yml``: how a model folder is run. Optional; every key has a default."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from include.errors import ConfigError, ProblemsError
from include.finetune.settings import FinetuneSettings, GateRules
from include.notices import TOPICS, Topic
from include.search import yaml_document
from include.store.values import refuse_secrets
from include.texts import file_text

_SECRET_NAME = re.compile(r"passw(or)?d|secret|token|access_?key", re.IGNORECASE)
Hours = Annotated[float, Field(gt=0, le=24 * 365)]


class NotifySettings(BaseModel):
    """Who is told of what. The section's absence means: nobody, it is in the log only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    notifier: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")] = (
        "easyrec.notifications.DingTalkNotifier"
    )
    """Class of an Airflow notifier, of any provider or your own."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the class is made with. Its templates know ``notice``, with ``heading``, ``text``, ``markdown`` and
    ``link``. Keys and tokens belong into an Airflow connection."""
    on: Annotated[tuple[Topic, ...], Field(strict=False)] = TOPICS

    @field_validator("arguments")
    @classmethod
    def _no_secrets(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """The file is kept with each search, and shown to whoever may read it."""
        for name in arguments:
            if _SECRET_NAME.search(name) and not name.endswith("_conn_id"):
                raise ValueError(f"{name} looks like a secret: keep it in an Airflow connection")
        try:
            refuse_secrets(arguments, "arguments")
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return arguments

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_word(cls, raw: Any) -> Any:
        """YAML 1.1, which PyYAML reads, takes the key ``on`` for the truth value."""
        if not isinstance(raw, Mapping):
            return raw
        return {"on" if key is True else key: value for key, value in raw.items()}


class JobSettings(BaseModel):
    """How any job is reached and watched, in a search or alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    maxcompute_conn_id: str = "maxcompute_default"
    oss_conn_id: str = "oss_default"
    final_metric: Literal["last", "best"] = "last"
    """Which intermediate result is a trial's final metric (R9)."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """How often a running trial's state and metrics are looked at."""
    max_trial_retries: Annotated[int, Field(ge=0, le=10)] = 1
    """Fresh jobs for a trial whose job failed."""
    max_training_hours: Hours = 24.0
    """Sent as ``-DmaxTrainingTimeInHour`` (unless the ini has a smaller one) and enforced by us as well."""
    max_waiting_hours: Hours = 24.0
    """A job that has not started training by then is stopped."""
    lost_answer_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long a submit whose answer was lost is looked up before the same key is sent again."""


class ModelSettings(JobSettings):
    """Unknown keys and values of the wrong type are errors that name the key."""

    pool: str = ""
    """Airflow pool that caps the model's running trials; empty: ``<model>_trials``."""
    parameters_via: Literal["edit_config_json", "patched_config"] = "edit_config_json"
    """``edit_config_json``: EasyRec applies the parameters (R7). ``patched_config``: a patched copy of the
    pipeline config is written to OSS and ``-Dconfig`` points at it (+19)."""
    allow_unknown_fields: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of pipeline-config fields that a newer EasyRec has and our table does not."""
    max_failed_trials: Annotated[int | None, Field(ge=0)] = None
    """More failed trials than this fail the search; without it only a search without any success fails."""
    notify: NotifySettings | None = None
    """Messages to people; without it nobody is told."""
    finetune: FinetuneSettings = Field(default_factory=FinetuneSettings)

    def pool_of(self, model: str) -> str:
        return self.pool or f"{model}_trials"


_SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    ("notify",): NotifySettings,
    ("finetune",): FinetuneSettings,
    ("finetune", "gate"): GateRules,
}


def load(path: Path) -> ModelSettings:
    """Read ``model.yml``; see ``parse``."""
    return parse(file_text(path), str(path))


def parse(text: str, where: str) -> ModelSettings:
    """Read ``model.yml``; all problems at once as ProblemsError."""
    document = yaml_document.loads(text, where)
    if document.duplicates:
        twice = [
            f"{'.'.join(map(str, key))}: stands there twice, in lines {first} and {second}"
            for key, first, second in document.duplicates
        ]
        raise ProblemsError("the model's settings are wrong", twice, where=where)
    raw = document.value or {}
    if not isinstance(raw, dict):
        raise ProblemsError("not a mapping", [f"found {type(raw).__name__}"], where=where)
    try:
        return ModelSettings.model_validate(raw)
    except ValidationError as error:
        problems = [_explain(tuple(map(str, e["loc"])), e["type"], e["msg"]) for e in error.errors()]
        raise ProblemsError("the model's settings are wrong", problems, where=where) from error


def _explain(path: tuple[str, ...], kind: str, message: str) -> str:
    key = ".".join(path)
    if kind != "extra_forbidden":
        return f"{key}: {message}"
    section = _SECTIONS.get(path[:-1], ModelSettings)
    near = difflib.get_close_matches(path[-1], section.model_fields, 1)
    known = f"did you mean {near[0]}?" if near else f"known: {', '.join(section.model_fields)}"
    return f"unknown key {key!r} ({known})"
