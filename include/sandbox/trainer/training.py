"""``cmd=train``: EasyRec's training loop with its checkpoints, evaluations and marks (reference section 4)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from include.errors import ConfigError, JobFailedError
from include.sandbox import easyrec_proto
from include.sandbox.tables import TableStorage
from include.sandbox.trainer import checkpoints
from include.sandbox.trainer.features import Array
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.model import Model
from include.sandbox.trainer.oss import Oss
from include.sandbox.trainer.reporting import Reporter

log = logging.getLogger(__name__)

DONE = "ESTIMATOR_TRAIN_DONE"
_VERSION = "0.8.5-sandbox"
_PACED_SECONDS = 2.5


def train(job: Job, config: Any, oss: Oss, tables: TableStorage) -> dict[str, float]:
    """Train, evaluate at every checkpoint and return the last metrics ({} without evaluation).

    A model_dir that holds a checkpoint is continued and ``fine_tune_checkpoint`` ignored; the data start
    from their first row again.
    """
    method = job.eval_method
    folder, train_config = config.model_dir, config.train_config
    own = checkpoints.latest(oss, folder)
    if job.parameter("continue_train", "true").lower() == "false" and own:
        raise ConfigError(f"model_dir[={folder}] already exists and not empty", hint="delete it")
    oss.write(f"{folder}pipeline.config", easyrec_proto.to_text(config).encode())
    oss.write(f"{folder}version", f"{_VERSION}\n".encode())

    tuned = train_config.fine_tune_checkpoint
    source = checkpoints.load(oss, own or tuned) if own or tuned else None
    model = Model(
        config,
        tables,
        train_paths=config.train_input_path,
        eval_paths="" if method == "none" else config.eval_input_path,
        seed=job.seed,
        checkpoint=source,
    )
    start = 0
    if source is not None and own:
        log.info("Restoring parameters from %s", own)
        if tuned:
            log.warning("fine_tune_checkpoint %s is ignored: model_dir has a checkpoint", tuned)
        checkpoints.restore(source, model.network, model.trained, strict=True)
        start = source.step
    elif source is not None:
        log.warning("will restore from %s", tuned)
        force = train_config.force_restore_shape_compatible
        checkpoints.restore(source, model.network, model.trained, strict=False, force_shape=force)
    # Numbers that run away are found by the loop, which fails the job as EasyRec does.
    with np.errstate(over="ignore", invalid="ignore"):
        return _Loop(job, config, oss, model, start, method).run()


class _Loop:
    def __init__(self, job: Job, config: Any, oss: Oss, model: Model, start: int, method: str) -> None:
        self._job, self._config, self._oss, self._model = job, config, oss, model
        self._start, self._method = start, method
        self._folder = config.model_dir
        # The mark of an earlier job makes a separate evaluator end after its first evaluation.
        self._evaluator_lives = method != "none"
        self._stale_done = method == "separate" and oss.exists(self._folder + DONE)
        self._reporter = Reporter(job, oss, self._folder)
        self._metrics: dict[str, float] = {}
        self._losses: dict[str, float] = {}
        self._last_rates: list[float] = []

    def run(self) -> dict[str, float]:
        last, began = self._last_step(), time.monotonic()
        if last <= self._start:
            log.warning("Skipping training since max_steps has already saved.")
            self._finish(self._start, saved=True)
            return self._metrics
        every = self._save_every()
        train_config = self._config.train_config
        self._save(self._start)
        step, saved_at = self._start, time.monotonic()
        rng = np.random.default_rng([self._job.seed, 2, self._start])
        for rows in self._batches(np.random.default_rng([self._job.seed, 3])):
            self._last_rates = [optimizer.rate_at(step) for _, optimizer in self._model.trained]
            self._losses = self._model.train_step(rows, step, rng)
            step += 1
            if not np.isfinite(self._losses["total_loss"]):
                # EasyRec's NanTensorHook.
                raise JobFailedError("NaN loss during training.", where=f"step {step}")
            self._obey_faults(step)
            self._pace(began, step - self._start, last - self._start)
            if step >= last:
                break
            if step % every == 0 if every else self._seconds_passed(saved_at, train_config):
                saved_at = time.monotonic()
                self._checkpoint(step)
            elif train_config.save_summary_steps and step % train_config.save_summary_steps == 0:
                self._summarize(step)
        self._finish(step, saved=False)
        return self._metrics

    # -- how far and how often ----------------------------------------------------------------------

    def _last_step(self) -> int:
        """Global step at which this job ends: num_steps, or num_epochs over the data, whichever is first."""
        steps, epochs = self._config.train_config.num_steps, self._config.data_config.num_epochs
        if not steps and not epochs:
            raise ConfigError("either num_steps and num_epochs must be set to an integer > 0.")
        per_epoch = sum(1 for _ in self._epoch(self._model.train_rows))
        if epochs and not per_epoch:
            raise ConfigError("the data are smaller than one batch", where="data_config.drop_remainder")
        by_epochs = self._start + epochs * per_epoch
        return min(steps or by_epochs, by_epochs) if epochs else int(steps)

    def _save_every(self) -> int:
        train_config = self._config.train_config
        if train_config.HasField("save_checkpoints_secs") and not train_config.HasField(
            "save_checkpoints_steps"
        ):
            return 0
        return int(train_config.save_checkpoints_steps)

    @staticmethod
    def _seconds_passed(since: float, train_config: Any) -> bool:
        return bool(time.monotonic() - since >= train_config.save_checkpoints_secs)

    def _epoch(self, rows: Array) -> Iterator[Array]:
        size = int(self._config.data_config.batch_size)
        if size < 1:
            raise ConfigError("batch_size must be positive", where="data_config.batch_size")
        stop = len(rows) - (len(rows) % size if self._config.data_config.drop_remainder else 0)
        return (rows[at : at + size] for at in range(0, stop, size))

    def _batches(self, rng: np.random.Generator) -> Iterator[Array]:
        rows, data = self._model.train_rows, self._config.data_config
        epoch = 0
        while not data.num_epochs or epoch < data.num_epochs:
            yield from self._epoch(rng.permutation(rows) if data.shuffle else rows)
            epoch += 1

    def _pace(self, began: float, done: int, total: int) -> None:
        slow = self._job.fault("slow")
        seconds = _PACED_SECONDS / self._job.speed if self._job.speed > 0 else 0.0
        due = began + seconds * (slow.factor if slow else 1.0) * done / total
        wait = due - time.monotonic()
        # Many naps shorter than this would cost more than they give.
        if wait > 0.02:
            time.sleep(wait)

    def _obey_faults(self, step: int) -> None:
        if (fault := self._job.fault("job_hang")) and step >= max(fault.step, 1):
            log.info("stuck at step %d on request", step)
            while True:
                time.sleep(60)
        if (fault := self._job.fault("job_fail")) and step >= max(fault.step, 1):
            raise JobFailedError(f"failed at step {step} on request")

    # -- what is written ----------------------------------------------------------------------------

    def _save(self, step: int) -> str:
        keep = self._config.train_config.keep_checkpoint_max
        return checkpoints.save(
            self._oss, self._folder, step, self._model.network, self._model.trained, keep=keep
        )

    def _summarize(self, step: int) -> None:
        values = {f"loss/loss/{name}": value for name, value in self._losses.items()}
        self._reporter.train({**values, "learning_rate": self._last_rates[0]}, step)
        shown = ", ".join(f"{name} = {value:.6g}" for name, value in self._losses.items())
        log.info("global step %d: lr = %.6g, %s", step, self._last_rates[0], shown)

    def _checkpoint(self, step: int) -> None:
        self._summarize(step)
        self._evaluate(step, self._save(step))

    def _evaluate(self, step: int, prefix: str) -> None:
        if not self._evaluator_lives:
            return
        self._metrics = self._model.evaluate()
        self._reporter.evaluation(self._metrics, step, prefix)
        shown = ", ".join(f"{name} = {value:.6g}" for name, value in sorted(self._metrics.items()))
        log.info("Saving dict for global step %d: %s", step, shown)
        if self._stale_done:
            log.warning("%s exists: the evaluator ends", DONE)
            self._evaluator_lives = False

    def _finish(self, step: int, *, saved: bool) -> None:
        if not saved:
            self._summarize(step)
            prefix = self._save(step)
            if self._method == "master":
                self._evaluate(step, prefix)
            # A separate evaluator finishes after the mark: the mark alone doesn't mean that metrics are in.
            self._oss.write(self._folder + DONE, b"")
            if self._method == "separate":
                self._evaluate(step, prefix)
        self._reporter.close()
        log.info("Train and evaluate finish")
