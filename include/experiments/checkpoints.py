"""Checkpoints as EasyRec writes them to a model_dir: which are there, whole, and from which step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from include import names
from include.errors import NotFoundError
from include.ports import ObjectStore

_FILE = re.compile(
    r"(?P<prefix>.*/model\.ckpt-(?P<step>\d+))\.(?P<part>index|data-(?P<shard>\d{5})-of-(?P<of>\d{5}))"
)
_PREFIX = re.compile(r"(?P<folder>.*)/model\.ckpt-(?P<step>\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """``prefix``: ``oss://…/model.ckpt-N``, as ``fine_tune_checkpoint`` wants it. ``step``: N."""

    prefix: str
    step: int

    @property
    def model_dir(self) -> str:
        return self.prefix.rpartition("/")[0]


def find_checkpoint(objects: ObjectStore, path: str, *, step: int | None = None) -> Checkpoint:
    """The checkpoint at ``path``: a model_dir (its newest one, or that of ``step``) or an exact prefix.

    Whole means its index and every shard are there; EasyRec itself looks at the index only. Raises
    NotFoundError saying what is missing.
    """
    exact = _PREFIX.fullmatch(path.rstrip("/"))
    if exact is not None:
        folder, step = exact["folder"], int(exact["step"])
    else:
        folder = path.rstrip("/")
    found = _complete(objects, folder)
    if step is None:
        whole = [number for number, lacks in found.items() if not lacks]
        if not whole:
            raise NotFoundError(_nothing(found), where=folder, hint="was it trained to its end?")
        return _checkpoint(folder, max(whole))
    if step not in found:
        there = ", ".join(str(number) for number in sorted(found)) or "none"
        raise NotFoundError(
            f"there is no checkpoint of step {step} (there are: {there})",
            where=folder,
            hint="train_config.keep_checkpoint_max decides how many are kept",
        )
    if found[step]:
        raise NotFoundError(f"checkpoint of step {step} is not whole: it lacks {found[step]}", where=folder)
    return _checkpoint(folder, step)


def _checkpoint(folder: str, step: int) -> Checkpoint:
    return Checkpoint(names.join_url(folder, f"model.ckpt-{step}"), step)


def _complete(objects: ObjectStore, folder: str) -> Mapping[int, str]:
    """Steps that have any file of a checkpoint, with what each lacks (empty: whole)."""
    shards: dict[int, set[tuple[int, int]]] = {}
    indexes: set[int] = set()
    for info in objects.list(names.join_url(folder, "model.ckpt-")):
        match = _FILE.fullmatch(info.url)
        if match is None or match["prefix"].rpartition("/")[0] != folder:
            continue
        step = int(match["step"])
        shards.setdefault(step, set())
        if match["part"] == "index":
            indexes.add(step)
        else:
            shards[step].add((int(match["shard"]), int(match["of"])))
    return {step: _lacks(step in indexes, parts) for step, parts in shards.items()}


def _lacks(has_index: bool, parts: set[tuple[int, int]]) -> str:
    if not has_index:
        return "its index"
    counts = {of for _, of in parts}
    if not counts:
        return "its data"
    wanted = max(counts)
    missing = sorted(set(range(wanted)) - {shard for shard, of in parts if of == wanted})
    return f"shard(s) {', '.join(map(str, missing))} of {wanted}" if missing else ""


def _nothing(found: Mapping[int, str]) -> str:
    if not found:
        return "there is no checkpoint (model.ckpt-N.index)"
    return "no checkpoint is whole: " + "; ".join(
        f"step {s} lacks {lacks}" for s, lacks in sorted(found.items())
    )
