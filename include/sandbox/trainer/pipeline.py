"""The config a job really runs: the file, then ``edit_config_json``, then the ``-D`` overrides, which win."""

from __future__ import annotations

import logging
from typing import Any

from include.errors import ConfigError
from include.sandbox import easyrec_proto
from include.sandbox.trainer import checkpoints, edits
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.oss import Oss

log = logging.getLogger(__name__)


def load(job: Job, oss: Oss) -> Any:
    """Config message for ``-Dcmd``. Raises ConfigError or NotFoundError where EasyRec's job would fail."""
    config = easyrec_proto.parse(_text(job, oss), where=job.parameter("config"))
    if config.fg_json_path:
        raise ConfigError("the sandbox's trainer can't load fg_json_path", where=job.parameter("config"))
    if job.parameter("edit_config_json"):
        text = edits.through_command_line(job.parameter("edit_config_json"))
        log.info("[run.py] edit_config_json = %s", text)
        edits.apply(config, edits.load(text))
    if job.parameter("model_dir"):
        config.model_dir = job.parameter("model_dir").strip()
        log.info("[run.py] update model_dir to %s", config.model_dir)
    if not config.model_dir.startswith("oss://"):
        raise ConfigError(f"invalid model_dir format: {config.model_dir!r}", where="model_dir")
    if not config.model_dir.endswith("/"):
        config.model_dir += "/"
    if job.parameter("cmd", "train") == "train":
        _set_train_inputs(job, oss, config)
    elif job.parameter("eval_tables") or job.parameter("tables"):
        config.eval_input_path = job.parameter("eval_tables") or job.parameter("tables").split(",")[0]
    if job.parameter("selected_cols"):
        config.data_config.selected_cols = job.parameter("selected_cols")
    return config


def _text(job: Job, oss: Oss) -> str:
    path = job.parameter("config")
    if not path:
        raise ConfigError("config must be set", where="-Dconfig")
    if not path.startswith("oss://") or not path.endswith(".config"):
        raise ConfigError(
            f"invalid config {path}", where="-Dconfig", hint="the sandbox reads oss://….config only"
        )
    return oss.read(path).decode("utf-8")


def _set_train_inputs(job: Job, oss: Oss, config: Any) -> None:
    tables = [table for table in job.parameter("tables").split(",") if table]
    if not job.parameter("train_tables") and len(tables) == 1:
        raise ConfigError(f"at least 2 tables must be specified, but only[1]: {tables[0]}", where="-Dtables")
    train = job.parameter("train_tables") or (tables[0] if tables else "")
    evaluation = job.parameter("eval_tables") or (tables[1] if tables else "")
    if train:
        config.train_input_path = train
    if evaluation:
        config.eval_input_path = evaluation
    log.info("[run.py] train_tables: %s", config.train_input_path)
    log.info("[run.py] eval_tables: %s", config.eval_input_path)
    if job.parameter("boundary_table"):
        raise ConfigError("the sandbox's trainer has no boundary_table", where="-Dboundary_table")
    if job.parameter("fine_tune_checkpoint"):
        config.train_config.fine_tune_checkpoint = job.parameter("fine_tune_checkpoint")
    if config.train_config.HasField("fine_tune_checkpoint"):
        config.train_config.fine_tune_checkpoint = checkpoints.resolve(
            oss, config.train_config.fine_tune_checkpoint, what="fine_tune_checkpoint"
        )
