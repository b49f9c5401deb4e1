"""A network with its data: what training, evaluation and export have in common."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from include.errors import ConfigError
from include.sandbox.tables import TableStorage
from include.sandbox.trainer import features, inputs, metrics
from include.sandbox.trainer.checkpoints import Checkpoint
from include.sandbox.trainer.features import Array, Encoded
from include.sandbox.trainer.network import Network, losses, read_tasks
from include.sandbox.trainer.optimizers import Optimizer
from include.sandbox.trainer.variables import Segment

log = logging.getLogger(__name__)


class Model:
    """Network, optimizers and the encoded examples of training and evaluation tables (either may be "")."""

    def __init__(
        self,
        config: Any,
        tables: TableStorage,
        *,
        train_paths: str,
        eval_paths: str,
        seed: int,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.config = config
        self.tasks = read_tasks(config)
        known = features.read_features(config)
        used = {name for group in config.model_config.feature_groups for name in group.feature_names}
        parts = []
        for what, paths in (("train_tables", train_paths), ("eval_tables", eval_paths)):
            parts.append(inputs.read(config, tables, paths, what=what) if paths else None)
        present = [part for part in parts if part is not None]
        joined = {
            name: np.ma.concatenate([part[name] for part in present])  # type: ignore[no-untyped-call]
            for name in present[0]
        }
        encoded: dict[str, Encoded] = {
            name: features.encode(feature, joined) for name, feature in known.items() if name in used
        }
        self._labels = [inputs.labels(joined, task.label) for task in self.tasks]
        first = len(parts[0][self.tasks[0].label]) if parts[0] is not None else 0
        total = len(self._labels[0])
        self.train_rows = np.arange(first)
        self.eval_rows = np.arange(first, total)
        if config.eval_config.num_examples:
            self.eval_rows = self.eval_rows[: config.eval_config.num_examples]
        self._eval_columns = {name: np.ma.filled(values[self.eval_rows]) for name, values in joined.items()}
        rows = checkpoint.rows if checkpoint else None
        self.network = Network(config, known, encoded, seed=seed, known_rows=rows)
        self.trained = self._optimizers()

    def _optimizers(self) -> list[tuple[Segment, Optimizer]]:
        configs = self.config.train_config.optimizer_config
        if len(configs) not in (1, 2):
            raise ConfigError(f"{len(configs)} optimizers, one or two are needed", where="optimizer_config")
        segments = (self.network.embedding_segment, self.network.dense_segment)
        trained = []
        for segment, entry in zip(segments, (configs[0], configs[-1]), strict=True):
            if entry.use_moving_average:
                log.warning("use_moving_average is ignored by the sandbox's trainer")
            trained.append((segment, Optimizer(entry, len(segment.values))))
        return trained

    def train_step(self, rows: Array, step: int, rng: np.random.Generator) -> dict[str, float]:
        """One batch; the losses by name. ``step`` chooses the learning rate."""
        found = self.network.train(rows, [label[rows] for label in self._labels], rng)
        clip = self.config.train_config.gradient_clipping_by_norm
        norm = float(np.sqrt(sum(float(np.vdot(s.gradients, s.gradients)) for s, _ in self.trained)))
        factor = np.float32(clip / norm if 0 < clip < norm else 1)
        for segment, _ in self.trained:
            if factor != 1:
                segment.gradients *= factor
        first = self.config.train_config.optimizer_config[0]
        if first.HasField("embedding_learning_rate_multiplier"):
            self.trained[0][0].gradients *= np.float32(first.embedding_learning_rate_multiplier)
        for segment, optimizer in self.trained:
            optimizer.apply(segment.values, segment.gradients, step)
        return found

    def evaluate(self) -> dict[str, float]:
        """Metrics and losses on the evaluation tables by EasyRec's tags."""
        size = int(self.config.data_config.eval_batch_size) or 4096
        chunks = [self.network.logits(rows) for rows in _batches(self.eval_rows, size)]
        logits = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
        truth = [label[self.eval_rows] for label in self._labels]
        values: dict[str, float] = {}
        for task, label, logit in zip(self.tasks, truth, logits, strict=True):
            predictions = self.network.to_prediction(task, logit)
            columns = self._eval_columns
            values.update(metrics.evaluate(task.metrics_set, label, predictions, columns, task.suffix))
        found, _ = losses(self.tasks, truth, logits)
        found["total_loss"] = sum(found.values())
        values["loss"] = found["total_loss"]
        values.update({f"loss/loss/{name}": value for name, value in found.items()})
        return values


def _batches(rows: Array, size: int) -> list[Array]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
