"""The other commands: ``evaluate`` and ``export``."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from include.errors import ConfigError, NotFoundError
from include.sandbox import easyrec_proto
from include.sandbox.tables import TableStorage
from include.sandbox.trainer import checkpoints
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.model import Model
from include.sandbox.trainer.oss import Oss

log = logging.getLogger(__name__)


def evaluate(job: Job, config: Any, oss: Oss, tables: TableStorage) -> dict[str, float]:
    """Metrics of a checkpoint, also written to ``<model_dir>/<eval_result_path>`` as JSON."""
    _one_worker(job)
    source = checkpoints.load(oss, _checkpoint(job, config, oss))
    paths = config.eval_input_path
    model = Model(config, tables, train_paths="", eval_paths=paths, seed=job.seed, checkpoint=source)
    checkpoints.restore(source, model.network, (), strict=True)
    result = {**model.evaluate(), "global_step": source.step}
    target = config.model_dir + job.parameter("eval_result_path", "eval_result.txt")
    log.info("save eval result to file %s", target)
    oss.write(target, json.dumps(dict(sorted(result.items())), indent=2).encode())
    return result


def export(job: Job, config: Any, oss: Oss, tables: TableStorage) -> str:  # noqa: ARG001
    """Copy a checkpoint with its config to ``<export_dir>/<seconds>/``; the folder's URL."""
    _one_worker(job)
    if not job.parameter("export_dir"):
        raise ConfigError("export_dir should not be empty", where="-Dexport_dir")
    prefix = _checkpoint(job, config, oss)
    folder = f"{job.parameter('export_dir').rstrip('/')}/{int(time.time())}"
    for suffix in (".index", ".data-00000-of-00001"):
        oss.write(f"{folder}/variables/variables{suffix}", oss.read(prefix + suffix))
    oss.write(f"{folder}/assets/pipeline.config", easyrec_proto.to_text(config).encode())
    # Last: whoever waits for the model waits for this file.
    oss.write(f"{folder}/saved_model.pb", json.dumps({"checkpoint": prefix}).encode())
    log.info("model has been exported to %s successfully", folder)
    return folder


def _one_worker(job: Job) -> None:
    command = job.parameter("cmd")
    if job.workers != 1:
        raise ConfigError(f"{command} only need 1 worker, the cluster has {job.workers}", where="-Dcluster")


def _checkpoint(job: Job, config: Any, oss: Oss) -> str:
    given = job.parameter("checkpoint_path")
    if given:
        return checkpoints.resolve(oss, given, what="checkpoint_path")
    found = checkpoints.latest(oss, config.model_dir)
    if found is None:
        raise NotFoundError("model_dir has no checkpoint", where=config.model_dir)
    log.info("checkpoint_path is not specified, will use latest checkpoint %s", found)
    return found
