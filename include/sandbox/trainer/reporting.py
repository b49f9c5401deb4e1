"""Event files of one job, and the ways in which they can go wrong on request."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from include.sandbox.trainer.events import EventWriter
from include.sandbox.trainer.job import Job
from include.sandbox.trainer.oss import Oss


class Reporter:
    """Training scalars go to model_dir, evaluations to ``eval_val/`` as EasyRec puts them."""

    def __init__(self, job: Job, oss: Oss, folder: str) -> None:
        self._job, self._oss, self._folder = job, oss, folder
        self._host = f"{socket.gethostname().split('.')[0]}-{job.job_id}"
        self._train = EventWriter(oss, folder, host=self._host)
        self._eval = self._new_eval_writer(0)
        self._evaluations = 0
        self._torn = b""
        self._damaged = False

    def train(self, values: Mapping[str, float], step: int) -> None:
        self._train.append(self._train.scalars(values, step))

    def evaluation(self, metrics: Mapping[str, float], step: int, checkpoint: str) -> None:
        """Append one evaluation, unless a fault wants it otherwise."""
        values = dict(metrics)
        if fault := self._job.fault("missing_tag"):
            values.pop(fault.tag, None)
        if (fault := self._job.fault("nan_metric")) and step >= fault.step:
            values.update({tag: float("nan") for tag in values if tag == fault.tag or not fault.tag})
        # The rest of a torn record belongs to the file that has its beginning.
        if self._job.fault("rotate_events") and self._evaluations and not self._torn:
            self._eval = self._new_eval_writer(self._evaluations)
        self._evaluations += 1
        data, self._torn = self._torn + self._eval.scalars(values, step, checkpoint=checkpoint), b""
        if (fault := self._job.fault("torn_event")) and step >= fault.step and not self._damaged:
            self._damaged = True
            cut = len(data) // 3
            data, self._torn = data[:cut], data[cut:]
        elif (fault := self._job.fault("corrupt_event")) and step >= fault.step and not self._damaged:
            self._damaged = True
            data = data[:20] + bytes([data[20] ^ 0xFF]) + data[21:]
        self._eval.append(data)

    def close(self) -> None:
        if self._torn:
            self._eval.append(self._torn)
        self._eval.release()

    def _new_eval_writer(self, number: int) -> EventWriter:
        writer = EventWriter(self._oss, f"{self._folder}eval_val", host=self._host, number=number)
        if self._job.fault("late_events"):
            writer.hold()
        return writer
