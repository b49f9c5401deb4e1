"""The ``finetune`` section of ``model.yml``: how a model is retrained every day. Every key has a default."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from include import names
from include.errors import ConfigError
from include.finetune import calendar

BEGIN = "begin"
_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_FIRST, _LAST = date(1970, 1, 1), date(2199, 12, 31)
"""Beyond these Airflow's own arithmetic overflows, or a schedule would catch up through centuries."""
Hours = Annotated[float, Field(gt=0, le=24 * 365)]


def _day(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # YAML reads 20220617 as a number
    return value if value is None or type(value) is date else _as_value_error(value)


def _as_value_error(value: Any) -> date:
    try:
        return calendar.parse_day(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _sensible(day: date | None) -> date | None:
    if day is not None and not _FIRST <= day <= _LAST:
        raise ValueError(f"{day} is no day of business: {_FIRST} to {_LAST}")
    return day


Bizdate = Annotated[date | None, BeforeValidator(_day), AfterValidator(_sensible)]


def _check_cron(value: str) -> None:
    """ValueError for what Airflow could not make runs of: the DAG would be gone instead of saying so."""
    from croniter import croniter  # as Airflow does; DAG files need it only where a schedule is set

    try:
        croniter(value).get_next()
    except ValueError as error:
        raise ValueError(f"no cron expression, e.g. 0 2 * * *: {error!s:.200}") from error
    if re.search(r"(?i)\bR\b|R\(", value):
        raise ValueError("a random schedule gives no day of business twice")


class GateRules(BaseModel):
    """When a day's model may serve; without any rule every model with a finite objective passes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min: dict[str, float] = Field(default_factory=dict)
    """Least value by metric tag, or of ``objective``."""
    max: dict[str, float] = Field(default_factory=dict)
    """Greatest value by metric tag, or of ``objective``."""
    max_drop: Annotated[float | None, Field(gt=0)] = None
    """How far the objective may lie below its mean over the promoted days before (above it where a small
    objective is good)."""
    trailing_days: Annotated[int, Field(ge=1, le=365)] = 7
    """How many promoted days make that mean."""


class FinetuneSettings(BaseModel):
    """Unknown keys and values of the wrong type are errors that name the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schedule: str = "0 2 * * *"
    """Cron expression, in ``timezone``: when a day's run begins. It trains the local date on which its data
    interval began: yesterday, with a daily schedule."""
    timezone: str = "Asia/Shanghai"
    first_bizdate: Bizdate = None
    """The first day of the chain: the schedule catches up from here, in order. Without it only the newest
    day runs by schedule; older ones by backfill."""
    last_bizdate: Bizdate = None
    """The last day there is data for: the schedule makes no run after it."""
    start_from: str = BEGIN
    """Checkpoint of the first day: ``begin`` (best trial of the newest finished begin search), the id of an
    experiment, or an OSS path (a model_dir or an exact ``…/model.ckpt-N``)."""
    start_on_begin: bool = False
    """A begin search that ends starts a new chain from its best trial, at once (asset event)."""
    pipeline_config: Literal["ini", "origin"] = "ini"
    """``ini``: ``-Dconfig`` of the ini. ``origin``: the config that trained the chain's first checkpoint."""
    learning_rate: Literal["handover", "unchanged"] | Annotated[float, Field(gt=0)] = "handover"
    """``handover``: the rate at which the first checkpoint's training ended (R22). ``unchanged``: as the
    config has it. A number: this rate (R23)."""
    optimize_mode: Literal["maximize", "minimize"] = "maximize"
    """Whether a great objective is good; it decides the best step and the gate's drop."""
    evaluation: Literal["next_day", "same_day", "evaluate_job"] = "next_day"
    """``next_day``: wait for both days, evaluate on ``<eval_ymd>`` while training. ``same_day``: evaluate on a
    hold-out that is there with the day. ``evaluate_job``: train at once, evaluate by a job of its own
    (``[evaluate_cmd_config]``) when the next day's table is there."""
    on_gap: Literal["fail", "last_good"] = "fail"
    """When days before are missing: ``fail`` says which; ``last_good`` goes on from the last promoted day."""
    gate: GateRules = Field(default_factory=GateRules)
    wait_hours: Hours = 48.0
    """How long a day waits for its partitions."""
    wait_poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    force_shapes: bool = False
    """Train even when variables' shapes differ from the checkpoint's: EasyRec starts those afresh (R28)."""
    promotions: str = ""
    """OSS folder of the published pointers; empty: ``<model>_promotions`` beside the model_dirs."""

    keep_days: Annotated[int | None, Field(ge=7, le=3650)] = None
    """Remove model_dirs of days that lie so many days before the one that serves; None keeps all of them."""
    keep_promotions: Annotated[int, Field(ge=1, le=1000)] = 14
    """With ``keep_days``: so many different models that served last stay, to roll back to."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            calendar.time_zone(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        if value not in _PRESETS:
            _check_cron(value)
        return value

    @field_validator("promotions")
    @classmethod
    def _oss_folder(cls, value: str) -> str:
        if value and not re.fullmatch(r"oss://[^/]+/.+", value):
            raise ValueError("not an OSS folder: write oss://<bucket>/<path>")
        try:
            names.refuse_upwards(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value.rstrip("/")

    @model_validator(mode="after")
    def _days_in_order(self) -> FinetuneSettings:
        first, last = self.first_bizdate, self.last_bizdate
        if first is not None and last is not None and last < first:
            raise ValueError(f"last_bizdate {last} comes before first_bizdate {first}")
        return self
