"""What the sandbox's books say of a daily finetune: pure, over data that the sandbox itself wrote."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Training:
    """One job of the books that trains a day. ``checkpoint_in``: of the config that really trained."""

    job_id: str
    bizdate: date
    model_dir: str
    status: str
    started: float
    ended: float | None
    processes: int
    """How many times a process was started for it."""
    checkpoint_in: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == "Success"


def trainings(books: Mapping[str, Any], model: str) -> list[Training]:
    """The model's days in the order of their submission, without ``checkpoint_in``."""
    started = [entry["instance"] for entry in books["ledger"] if entry["event"] == "started"]
    mine = [
        each
        for each in books["instances"]
        if f"/{model}/finetune/" in each["parameters"].get("model_dir", "")
        and each["parameters"].get("cmd") == "train"
    ]
    return [
        Training(
            job_id=each["id"],
            bizdate=_date(each["parameters"]["train_tables"].rpartition("dt=")[2]),
            model_dir=each["parameters"]["model_dir"].rstrip("/"),
            status=each["status"],
            started=each["started"],
            ended=each["ended"],
            processes=started.count(each["id"]),
        )
        for each in sorted(mine, key=lambda each: each["started"])
    ]


def undisturbed_chain(found: Sequence[Training], days: Sequence[date], origin: str) -> list[str]:
    """What is wrong with a chain in which no job was meant to fail: one job a day, each from the day before."""
    wrong = [f"{day}: no job" for day in days if day not in {t.bizdate for t in found}]
    for bizdate, group in itertools.groupby(sorted(found, key=lambda t: t.bizdate), key=lambda t: t.bizdate):
        jobs = list(group)
        if len(jobs) > 1:
            wrong.append(f"{bizdate}: {len(jobs)} jobs ({', '.join(j.job_id for j in jobs)})")
        if bizdate not in days:
            wrong.append(f"{bizdate}: nobody asked for this day")
    for each in found:
        if each.ended is None:
            wrong.append(f"{each.bizdate}: job {each.job_id} still runs")
        elif not each.succeeded:
            wrong.append(f"{each.bizdate}: job {each.job_id} ended as {each.status}")
        if each.processes != 1:
            wrong.append(f"{each.bizdate}: job {each.job_id} was started {each.processes} times")
    wrong += [
        f"{later.bizdate} began before {earlier.bizdate} had ended"
        for earlier, later in itertools.pairwise(found)
        if earlier.ended is None or later.started < earlier.ended
    ]
    return wrong + _links(found, origin)


def _links(found: Sequence[Training], origin: str) -> list[str]:
    """Each training went on from a checkpoint of the one before it, and dates rise."""
    wrong = []
    before = origin
    for each in found:
        if not each.checkpoint_in.startswith(f"{before}/model.ckpt-"):
            wrong.append(f"{each.bizdate} went on from {each.checkpoint_in or 'nothing'}, not from {before}")
        before = each.model_dir
    dates = [t.bizdate for t in found]
    return wrong + ([] if dates == sorted(dates) else [f"dates out of order: {dates}"])


def _date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
