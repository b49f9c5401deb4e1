"""Runs one job from its description to its end."""

from __future__ import annotations

import logging

from include.errors import ConfigError
from include.sandbox.oss.storage import BucketStorage
from include.sandbox.tables import TableStorage
from include.sandbox.trainer import commands, pipeline, training
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.oss import Oss, bucket_names

log = logging.getLogger(__name__)

_COMMANDS = {"train": training.train, "evaluate": commands.evaluate, "export": commands.export}


def run(job: Job) -> object:
    """What the command returns: metrics of train and evaluate, the folder of export.

    Raises a class of ``include.errors`` when the job fails for a reason that a user can understand.
    """
    for name in ("buckets", "arn"):
        if not job.parameter(name):
            raise ConfigError(f"{name} must be set", where=f"-D{name}")
    command = job.parameter("cmd", "train")
    if command not in _COMMANDS:
        raise ConfigError(f"the sandbox has no cmd={command}", hint=f"it has {', '.join(_COMMANDS)}")
    oss = Oss(BucketStorage(job.oss_root), bucket_names(job.parameter("buckets")))
    config = pipeline.load(job, oss)
    return _COMMANDS[command](job, config, oss, TableStorage(job.tables_root))
