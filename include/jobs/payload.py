"""The exact job that is submitted, made by one pure function (reference R4, R5, R7, section 4)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from include import names
from include.errors import ConfigError
from include.jobs._text import holds_secret, is_secret_name
from include.jobs.edits import check_carriable, merge_edits
from include.jobs.ini import JobConfig
from include.ports import JobPayload

__all__ = ["HOURS", "merge_edits", "pai_command", "render"]

_VARIABLE = re.compile(r"\$\{[^{}]*\}")
HOURS = "maxTrainingTimeInHour"
"""The job's own time limit; 0 would be none, so ``render`` always sends at least 1."""
_EDITS = "edit_config_json"
_OWN_ARGUMENTS = ("model_dir", _EDITS, HOURS)
_NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


def render(
    job: JobConfig,
    *,
    model_dir: str,
    edit_config_json: str | None = None,
    config_url: str | None = None,
    max_hours: float,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
) -> JobPayload:
    """What ``run_xflow`` gets for one job of ``job``.

    ``edit_config_json`` replaces the ini's (merge them first with ``merge_edits``). ``config_url`` is a
    patched copy of the config: the ini's edits are in it already, so none are sent with it unless given.
    ``max_hours`` becomes ``-DmaxTrainingTimeInHour``, rounded up to whole hours; a smaller value of the
    user's own wins. ``overrides``: other ``-D`` values for this job, e.g. a day's tables.
    Raises ConfigError for a value that the service's command line can't carry, and for secrets.
    """
    parameters = dict(job.parameters)
    for key, value in overrides.items():
        if key in _OWN_ARGUMENTS:
            raise ConfigError(f"-D{key} can't be overridden", hint="it is set from its own argument")
        parameters[key] = value
    parameters["model_dir"] = model_dir
    if config_url is not None:
        parameters["config"] = config_url
        parameters.pop(_EDITS, None)
    if edit_config_json is not None:
        parameters[_EDITS] = edit_config_json
    parameters[HOURS] = _hours(parameters.get(HOURS, ""), max_hours)
    for key, value in parameters.items():
        _check_value(key, value)
    check_carriable(parameters.get(_EDITS, ""))
    return JobPayload(job.xflow_name, job.xflow_project, parameters)


def pai_command(payload: JobPayload) -> str:
    """The payload as a PAI command that a person can read, or paste into a MaxCompute console."""
    lines = [f"PAI -name {payload.xflow_name} -project {payload.xflow_project}"]
    for key, value in payload.parameters.items():
        _check_value(key, value)
        lines.append(f"-D{key}='{value}'")
    return "\n    ".join(lines) + ";"


def _hours(own: str, max_hours: float) -> str:
    if not (math.isfinite(max_hours) and max_hours > 0):
        raise ConfigError(f"max_hours is {max_hours}", hint="a number of hours greater than 0")
    limit = math.ceil(max_hours)
    if own and not own.isdecimal():
        raise ConfigError(f"{own!r} is not a number of whole hours", where=f"-D{HOURS}")
    # 0 is the xflow's "no limit"
    return own if own and 0 < int(own) < limit else str(limit)


def _check_value(key: str, value: str) -> None:
    where = f"-D{key}"
    if is_secret_name(key) or holds_secret(value):
        # the value is not shown: it is a secret
        raise ConfigError(
            "an access key or token must not be sent with a job",
            where=where,
            hint="the job reaches OSS by -Darn; our own keys live in Airflow connections",
        )
    left = _VARIABLE.search(value)
    if left is not None:
        raise ConfigError(
            f"{left[0]} has no value", where=where, hint="a begin search fills it by a key of that name"
        )
    if "'" in value:
        hint = "parameters_via: patched_config carries it" if key == _EDITS else "remove it"
        raise ConfigError("a ' would break the job's command line", where=where, hint=hint)
    control = next((c for c in value if ord(c) < 32 or ord(c) == 127), None)
    if control is not None:
        raise ConfigError(f"the control character {control!r} can't be sent", where=where)
    names.refuse_upwards(value, where=where)
