"""Checkpoints in model_dir: ``model.ckpt-N.{index,data-00000-of-00001,meta}`` and the ``checkpoint`` file.

Names and rules are TensorFlow's; the data file holds numpy's npz and the index JSON.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from include.errors import ConfigError, NotFoundError
from include.sandbox.trainer.network import Network
from include.sandbox.trainer.optimizers import Optimizer
from include.sandbox.trainer.oss import Oss
from include.sandbox.trainer.variables import Segment

log = logging.getLogger(__name__)

_DATA = ".data-00000-of-00001"
_INDEX = re.compile(r"model\.ckpt-(\d+)\.index")
Arrays = dict[str, npt.NDArray[Any]]
Trained = Sequence[tuple[Segment, Optimizer]]


@dataclass(frozen=True)
class Checkpoint:
    """``arrays`` by variable name (optimizer slots as ``<variable>/<slot>``); ``rows`` of embeddings."""

    prefix: str
    step: int
    shapes: Mapping[str, tuple[int, ...]]
    updates: int
    arrays: Arrays
    rows: Mapping[str, npt.NDArray[np.int64]]


def latest(oss: Oss, folder: str) -> str | None:
    """Prefix ``…/model.ckpt-N`` of the highest N whose index lies in the folder."""
    steps = [int(match[1]) for name in oss.names(folder) if (match := _INDEX.fullmatch(name))]
    return f"{folder.rstrip('/')}/model.ckpt-{max(steps)}" if steps else None


def resolve(oss: Oss, path: str, *, what: str) -> str:
    """A checkpoint's prefix from a folder (its latest) or from a prefix. NotFoundError otherwise."""
    if not path.endswith("/") and oss.exists(f"{path}.index"):
        return path
    found = latest(oss, path)
    if found is None:
        raise NotFoundError(f"{what}({path}) is not exists.", hint="no model.ckpt-N.index there")
    log.info("%s is directory, will use the latest checkpoint: %s", what, found)
    return found


def load(oss: Oss, prefix: str) -> Checkpoint:
    """Raises NotFoundError when one of its files is missing."""
    index = json.loads(oss.read(f"{prefix}.index"))
    with np.load(io.BytesIO(oss.read(prefix + _DATA)), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    rows = {name[5:]: arrays.pop(name) for name in list(arrays) if name.startswith("rows:")}
    shapes = {name: tuple(shape) for name, shape in index["shapes"].items()}
    return Checkpoint(prefix, index["global_step"], shapes, index["updates"], arrays, rows)


def save(oss: Oss, folder: str, step: int, network: Network, trained: Trained, *, keep: int) -> str:
    """Write a checkpoint, drop the oldest beyond ``keep`` (0 keeps all) and return its prefix."""
    arrays: Arrays = {variable.name: variable.value for variable in network.variables}
    shapes = {variable.name: variable.full_shape for variable in network.variables}
    for variable in network.variables:
        if variable.rows is not None:
            arrays[f"rows:{variable.name}"] = variable.rows
    for segment, optimizer in trained:
        for variable, place in segment.places():
            for slot, values in optimizer.slots.items():
                arrays[f"{variable.name}/{slot}"] = values[place].reshape(variable.shape)
                shapes[f"{variable.name}/{slot}"] = variable.full_shape
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    name = f"model.ckpt-{step}"
    prefix = f"{folder.rstrip('/')}/{name}"
    index = {"global_step": step, "updates": trained[0][1].updates if trained else 0, "shapes": shapes}
    log.info("Saving checkpoints for %d into %s.", step, prefix)
    oss.write(prefix + _DATA, buffer.getvalue())
    oss.write(f"{prefix}.meta", json.dumps({"variables": sorted(shapes)}).encode())
    # Last, because readers take a checkpoint for complete when its index is there.
    oss.write(f"{prefix}.index", json.dumps(index).encode())
    steps = sorted(int(match[1]) for found in oss.names(folder) if (match := _INDEX.fullmatch(found)))
    for old in steps[:-keep] if keep > 0 else ():
        for suffix in (".index", _DATA, ".meta"):
            oss.delete(f"{folder.rstrip('/')}/model.ckpt-{old}{suffix}")
    kept = steps[-keep:] if keep > 0 else steps
    lines = [f'model_checkpoint_path: "{name}"']
    lines += [f'all_model_checkpoint_paths: "model.ckpt-{each}"' for each in kept]
    oss.write(f"{folder.rstrip('/')}/checkpoint", ("\n".join(lines) + "\n").encode())
    return prefix


def restore(
    checkpoint: Checkpoint, network: Network, trained: Trained, *, strict: bool, force_shape: bool = False
) -> None:
    """Put a checkpoint's values into the network.

    ``strict`` is a session that goes on in its own model_dir: everything must be there in the same shape,
    else ConfigError. Otherwise (fine-tuning) what doesn't fit stays freshly initialised, with a log line
    only, or takes the overlapping part with ``force_shape``.
    """
    targets = [(v.name, v.full_shape, v.value, v.rows) for v in network.variables]
    for segment, optimizer in trained:
        for variable, place in segment.places():
            for slot, values in optimizer.slots.items():
                view = values[place].reshape(variable.shape)
                targets.append((f"{variable.name}/{slot}", variable.full_shape, view, variable.rows))
        optimizer.updates = checkpoint.updates
    for name, shape, target, rows in sorted(targets, key=lambda entry: entry[0]):
        if name not in checkpoint.arrays:
            if strict:
                raise ConfigError(f"Key {name} not found in checkpoint", where=checkpoint.prefix)
            log.warning("Variable [%s] is not available in checkpoint", name)
            continue
        if checkpoint.shapes[name] != shape:
            if strict:
                raise ConfigError(
                    f"Assign requires shapes of both tensors to match: {name} is {list(shape)}, "
                    f"in the checkpoint {list(checkpoint.shapes[name])}",
                    where=checkpoint.prefix,
                    hint="this model_dir holds a model of another shape",
                )
            if not force_shape:
                log.warning(
                    "Variable [%s] is available in checkpoint, but incompatible shape with model variable.",
                    name,
                )
                continue
            log.info("incompatible restore %s%s", name, [list(shape), list(checkpoint.shapes[name])])
        owner = name if name in checkpoint.rows else name.rpartition("/")[0]
        _copy(checkpoint.arrays[name], checkpoint.rows.get(owner), target, rows)
        log.debug("restore %s", name)


def _copy(
    source: npt.NDArray[Any],
    source_rows: npt.NDArray[np.int64] | None,
    target: npt.NDArray[Any],
    target_rows: npt.NDArray[np.int64] | None,
) -> None:
    if source_rows is not None and target_rows is not None:
        _, to, from_ = np.intersect1d(target_rows, source_rows, return_indices=True)
        width = min(target.shape[1], source.shape[1])
        target[to, :width] = source[from_, :width]
        return
    overlap = tuple(slice(0, min(a, b)) for a, b in zip(target.shape, source.shape, strict=True))
    target[overlap] = source[overlap]
