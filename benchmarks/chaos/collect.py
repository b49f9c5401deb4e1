"""Gathers the evidence: the service's books and disk on one side, the product's store on the other."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tensorboard.compat.proto import event_pb2

from benchmarks.chaos.evidence import DayRow, Evidence, Job, StepRow, TrialRow
from include.pipeline_config import values_at
from include.sandbox.oss.storage import BucketStorage
from include.store import SEARCHES, Experiment, ExperimentStore

_CHECKPOINT = "train_config.fine_tune_checkpoint"
_HEAD, _CHECKSUM = 12, 4


class Service(Protocol):
    """What the service itself knows: its books, and the objects on its disk."""

    buckets: BucketStorage

    def books(self) -> dict[str, Any]: ...

    def read(self, url: str) -> bytes: ...


class Lab(Protocol):
    @property
    def sandbox(self) -> Service: ...

    @property
    def store(self) -> ExperimentStore: ...


def collect(
    lab: Lab,
    *,
    model: str,
    weights: Mapping[str, float],
    days_wanted: Sequence[str],
    origin: str,
    acted_on: set[tuple[str, str, str, int]],
    runs: Mapping[str, str],
) -> Evidence:
    """``model``: whose days are audited. ``weights``: the objective's, by tag."""
    books = lab.sandbox.books()
    health = books["jobs"]
    jobs = list(_jobs(books, lab.store.uuid))
    store, steps, trials, results = lab.store, [], [], {}
    for experiment in store.experiments():
        steps += _steps(lab, experiment)
        trials += _trials(lab, experiment)
        results.update(_results(lab, experiment))
    folders = {step.model_dir for step in steps}
    promoted = store.promotions(model)
    return Evidence(
        jobs=jobs,
        steps=steps,
        trials=trials,
        evaluations={folder: evaluations(lab, folder, weights) for folder in folders},
        results=results,
        processes_alive=health["running"] + health["waiting"],
        days=[
            DayRow(str(d.bizdate), d.state.value, d.checkpoint_in, d.checkpoint_out or "", d.model_dir)
            for d in store.days(model)
        ],
        days_wanted=days_wanted,
        origin=origin,
        trained_from=dict(_trained_from(lab, jobs)),
        promotions=[p.number for p in promoted],
        leases=[str(lease.run) for lease in store.leases()],
        acted_on=frozenset(acted_on),
        runs=runs,
    )


def _jobs(books: Mapping[str, Any], uuid: str) -> Iterator[Job]:
    started: Counter[str] = Counter()
    began: dict[str, int] = {}
    over: dict[str, int] = {}
    stopped: set[str] = set()
    for line, entry in enumerate(books["ledger"]):
        if entry["event"] == "started":
            started[entry["instance"]] += 1
        elif entry["event"] == "submitted":
            began.setdefault(entry["instance"], line)
        elif entry["event"] in ("stopped", "ended"):
            over.setdefault(entry["instance"], line)
            if entry["event"] == "stopped":
                stopped |= {entry["instance"], entry["parent"]}
    for each in books["instances"]:
        if each["kind"] == "XFlow":
            yield Job(
                id=each["id"],
                key=each["guid"],
                model_dir=each["parameters"].get("model_dir", "").rstrip("/"),
                status=each["status"],
                started=began[each["id"]],
                ended=None if each["ended"] is None else over.get(each["id"], began[each["id"]]),
                processes=started[each["id"]],
                trains=each["parameters"].get("cmd") == "train",
                stopped=each["id"] in stopped,
                by_store=uuid in each["settings"],
            )


def _steps(lab: Lab, experiment: Experiment) -> list[StepRow]:
    return [
        StepRow(
            key=step.submission_key,
            experiment=experiment.id,
            trial=step.id.trial,
            epoch=step.id.epoch,
            attempt=step.id.attempt,
            job_id=step.job_id,
            state=step.state.value,
            reason=step.reason,
            model_dir=step.model_dir.rstrip("/"),
        )
        for step in lab.store.steps(experiment.id)
    ]


def _trials(lab: Lab, experiment: Experiment) -> list[TrialRow]:
    told = {record.number: record for record in lab.store.history(experiment.id).ended}
    rows = []
    for trial in lab.store.trials(experiment.id):
        record, task = told.get(trial.number), trial.task
        rows.append(
            TrialRow(
                experiment=experiment.id,
                number=trial.number,
                task=(task.dag_id, task.run_id, task.task_id, task.map_index),
                epoch=trial.epoch,
                state=trial.state.value,
                reason=trial.reason,
                metric=trial.metric if record is None else record.value,
                is_search=experiment.kind in SEARCHES,
                told=record is not None and record.succeeded,
            )
        )
    return rows


def _results(lab: Lab, experiment: Experiment) -> dict[str, list[tuple[int, float]]]:
    keys = {step.id: step.submission_key for step in lab.store.steps(experiment.id)}
    found: dict[str, list[tuple[int, float]]] = {}
    for each in lab.store.results(experiment.id, all_epochs=True):
        found.setdefault(keys[each.step], []).append((each.global_step, each.objective))
    return found


def evaluations(lab: Lab, model_dir: str, weights: Mapping[str, float]) -> dict[int, float]:
    """Objective by global step of what a job wrote, read from the service's disk by a reader of our own."""
    bucket, _, key = model_dir.removeprefix("oss://").partition("/")
    buckets, found = lab.sandbox.buckets, {}
    for name in buckets.list(bucket, f"{key}/eval_val/"):
        if "tfevents" in name:
            for step, values in scalars(buckets.read(bucket, name)):
                if all(tag in values for tag in weights):
                    found[step] = sum(values[tag] * weight for tag, weight in weights.items())
    return found


def scalars(data: bytes) -> Iterator[tuple[int, dict[str, float]]]:
    """Step and scalars of each whole record of an event file; a torn end is left out."""
    at = 0
    while at + _HEAD <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + _HEAD + length + _CHECKSUM
        if end > len(data):
            return
        event = event_pb2.Event.FromString(data[at + _HEAD : at + _HEAD + length])
        values = {v.tag: v.simple_value for v in event.summary.value if v.HasField("simple_value")}
        if values:
            yield event.step, values
        at = end


def _trained_from(lab: Lab, jobs: Sequence[Job]) -> Iterator[tuple[str, str]]:
    for job in jobs:
        if job.status == "Success" and job.trains and "/finetune/" in job.model_dir:
            config = lab.sandbox.read(f"{job.model_dir}/pipeline.config").decode()
            for value in values_at(config, _CHECKPOINT):
                yield job.model_dir, str(value)
