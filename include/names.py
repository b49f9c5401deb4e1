"""The one place where names of outside resources are made and parsed.

Submission keys, settings tokens, model_dirs, marker and report objects (design section 5).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

from include.errors import ConfigError

OWNER_MARKER = "_easyrec_automl_owner.json"
_OURS = "easyrec-automl"
_OSS_URL = re.compile(r"oss://([a-z0-9][a-z0-9-]{1,61}[a-z0-9])/(.*)", re.DOTALL)
_MODEL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_UPWARDS = re.compile(r"/\.{1,2}(?=[/?]|$)")
_BETWEEN_PATHS = re.compile(r"[\s\"',;]+")


@dataclass(frozen=True)
class StepId:
    """Identity of one job of one trial (design section 5.1).

    ``epoch`` rises when a user clears the task, ``attempt`` when an ended job is replaced on purpose.
    """

    experiment: str
    trial: int
    step: int = 0
    epoch: int = 0
    attempt: int = 0


def check_model_name(name: str) -> str:
    """Model folder names become DAG ids, pool names and OSS paths, so they are kept simple."""
    if not _MODEL_NAME.fullmatch(name):
        raise ConfigError(
            f"model folder name {name!r} can't be used",
            hint="a letter, then at most 63 letters, digits or underscores",
        )
    return name


def experiment_id(model: str, store_uuid: str, dag_id: str, run_id: str) -> str:
    """``<model>-<short>``: the same DAG run of the same store always gets the same id."""
    digest = hashlib.sha256(f"{store_uuid}\n{dag_id}\n{run_id}".encode()).hexdigest()
    return f"{model}-{digest[:8]}"


def job_experiment_id(model: str, store_uuid: str, task: str) -> str:
    """``<model>-job-<short>`` of a job outside of any search, by the Airflow task that runs it."""
    digest = hashlib.sha256(f"{store_uuid}\n{task}".encode()).hexdigest()
    return f"{model}-job-{digest[:12]}"


def submission_key(store_uuid: str, step: StepId) -> str:
    """Unique id of one job, known before it is submitted; sent as ``<Guid>`` and in the settings."""
    name = f"{step.experiment}/{step.trial}/{step.step}/{step.epoch}/{step.attempt}"
    return str(uuid.uuid5(uuid.UUID(store_uuid), name))


def settings_token(store_uuid: str, key: str) -> str:
    """Value of the job setting ``EXT_TASK_ID``; tells whose job it is and which step it belongs to."""
    return f"{_OURS}/{store_uuid}/{key}"


def parse_settings_token(token: str) -> tuple[str, str] | None:
    """``(store_uuid, submission_key)`` of a token of ours, None for anybody else's."""
    parts = token.split("/")
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == _OURS else None


def trial_model_dir(base: str, step: StepId) -> str:
    """``<base>/<experiment>_<trial>`` (reference R8); a replaced job gets a fresh sibling."""
    return attempt_dir(f"{base.rstrip('/')}/{step.experiment}_{step.trial}", step)


def attempt_dir(model_dir: str, step: StepId) -> str:
    """``model_dir`` itself for the first job of a trial, a sibling for every other one."""
    suffix = f"_e{step.epoch}" if step.epoch else ""
    suffix += f"_a{step.attempt}" if step.attempt else ""
    return f"{model_dir.rstrip('/')}{suffix}"


def day_trial_dir(model_dir: str, step: StepId) -> str:
    """``<model_dir of the day>_<experiment>_<trial>`` (reference R25): beside the daily model, never in it."""
    return attempt_dir(f"{model_dir.rstrip('/')}_{step.experiment}_{step.trial}", step)


def day_model_dir(model_dir: str, repeat: int) -> str:
    """Where a day's training writes: as the ini says, and a fresh sibling for each repeat of the date."""
    return f"{model_dir.rstrip('/')}_r{repeat}" if repeat else model_dir


def join_url(base: str, *parts: str) -> str:
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def eval_events_prefix(model_dir: str) -> str:
    """Where EasyRec writes evaluation event files (reference R8)."""
    return join_url(model_dir, "eval_val") + "/"


def eval_result_name(step: StepId) -> str:
    """File in the model_dir to which an evaluation job writes its result."""
    return f"eval_result_{step.experiment.rsplit('-', 1)[-1]}_{step.epoch}_{step.attempt}.txt"


def train_done_marker(model_dir: str) -> str:
    """Written by EasyRec when a training has ended (reference section 4)."""
    return join_url(model_dir, "ESTIMATOR_TRAIN_DONE")


def saved_pipeline_config(model_dir: str) -> str:
    """The config EasyRec says it ran (reference section 4)."""
    return join_url(model_dir, "pipeline.config")


def owner_marker(model_dir: str) -> str:
    return join_url(model_dir, OWNER_MARKER)


def experiment_prefix(base: str, experiment: str) -> str:
    """Where an experiment's reports and patched configs lie, beside its trials' model_dirs."""
    return join_url(base, f"{experiment}_report") + "/"


def split_oss_url(url: str) -> tuple[str, str]:
    """``oss://bucket/key`` → ``(bucket, key)``; the key may be empty. ConfigError otherwise, and for a key
    with ``.`` or ``..`` between slashes or a control character.
    """
    match = _OSS_URL.fullmatch(url)
    if match is None:
        raise ConfigError(f"{url!r} is not an OSS path", hint="write oss://<bucket>/<path>")
    if any(ord(c) < 32 or ord(c) == 127 for c in url):
        raise ConfigError(f"{url!r} holds a control character", hint="write oss://<bucket>/<path>")
    refuse_upwards(url)
    return match[1], match[2]


def refuse_upwards(text: str, *, where: str = "") -> None:
    """ConfigError when an OSS path in ``text`` (which stands at ``where``) has ``.`` or ``..`` between slashes.

    OSS takes them for names like any other, what reads the path in a job may walk up: then a job would write
    where nobody looks.
    """
    for path in _BETWEEN_PATHS.split(text) if "oss://" in text else ():
        if "oss://" in path and _UPWARDS.search(path):
            hint = "write the whole path, without . and .."
            raise ConfigError(f"{path!r} leads elsewhere", where=where, hint=hint)


def split_table_url(url: str) -> tuple[str, str, str]:
    """``odps://project/tables/name[/dt=…[/…]]`` → ``(project, table, partition spec or "")``."""
    match = re.fullmatch(r"odps://([^/\s]+)/tables/([^/\s]+)((?:/[^/=\s]+=[^/\s]+)*)/?", url)
    if match is None or {match[1], match[2]} & {".", ".."}:
        raise ConfigError(
            f"{url!r} is not a table path", hint="write odps://<project>/tables/<name>[/dt=<value>]"
        )
    return match[1], match[2], match[3].lstrip("/")


def patched_config(base: str, step: StepId) -> str:
    """Where a trial's patched pipeline config lies: beside the model_dirs, which must start empty."""
    name = trial_model_dir(base, step).rsplit("/", 1)[1]
    return join_url(base, f"{step.experiment}_configs", f"{name}.config")
