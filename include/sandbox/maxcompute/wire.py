"""Instances as MaxCompute writes them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

from include.sandbox import xml
from include.sandbox.maxcompute.instances import Instance, Kind, TaskStatus


def state(instance: Instance) -> str:
    return "Terminated" if instance.is_terminated else "Running"


def headers(instance: Instance) -> dict[str, str]:
    return {
        "x-odps-owner": instance.owner,
        "x-odps-start-time": _date(instance.started),
        "x-odps-end-time": _date(instance.ended),
    }


def status(instance: Instance) -> str:
    return xml.element("Instance", xml.text("Status", state(instance)))


def task_status(instance: Instance) -> str:
    task = _task(
        instance,
        xml.text("StartTime", _date(instance.started)),
        xml.text("EndTime", _date(instance.ended)),
        xml.text("Status", instance.status.value),
        "<Histories/>",
    )
    return xml.element("Instance", xml.text("Status", state(instance)), xml.element("Tasks", task))


def result(instance: Instance) -> str:
    encoded = base64.b64encode(instance.result.encode()).decode()
    is_table = instance.kind is Kind.SQL and instance.status is TaskStatus.SUCCESS
    kind = "csv" if is_table else "text"
    task = _task(
        instance,
        f'<Result Transform="Base64" Format="{kind}"><![CDATA[{encoded}]]></Result>',
        xml.text("Status", instance.status.value),
    )
    return xml.element("Instance", xml.element("Tasks", task))


def sub_instances(instance: Instance) -> str:
    """The training shows up only once it has started."""
    nodes = [("Local", "", "DataProcess"), ("Instance", instance.train, "train")] if instance.train else []
    actions = [
        xml.element(
            "Action",
            xml.text("InstanceId", instance_id),
            xml.text("Name", name),
            '<Result Format="text"/>',
            NodeType=kind,
        )
        for kind, instance_id, name in nodes
    ]
    return xml.element("Xinstance", xml.element("Actions", *actions))


def listing(page: Sequence[Instance], marker: str) -> str:
    rows = [
        xml.element(
            "Instance",
            xml.text("Name", each.id),
            xml.text("Owner", each.owner),
            xml.text("StartTime", _date(each.started)),
            xml.text("EndTime", _date(each.ended)),
            xml.text("Status", state(each)),
        )
        for each in page
    ]
    return xml.element("Instances", xml.text("Marker", marker), xml.text("MaxItems", len(page)), *rows)


def job_source(instance: Instance) -> str:
    match = re.search(r"<Job>.*</Job>", instance.source, re.DOTALL)
    if match is not None:
        return match[0]
    task = xml.element(instance.kind.value, xml.text("Name", instance.task))
    return xml.element("Job", "<Name/>", xml.element("Tasks", task))


def progress(instance: Instance) -> str:
    running = 0 if instance.is_terminated else 1
    counts = {
        "BackupWorkers": 0,
        "TerminatedWorkers": 1 - running,
        "RunningWorkers": running,
        "TotalWorkers": 1,
        "InputRecords": 0,
        "OutputRecords": 0,
        "FinishedPercentage": 100 * (1 - running),
    }
    stage = xml.element("Stage", *(xml.text(name, count) for name, count in counts.items()), ID="train")
    return xml.element("Progress", stage)


def summary(instance: Instance) -> dict[str, Any]:
    cost = json.dumps({"Cost": {"CPU": 0, "Memory": 0, "Input": 0}})
    return {"Instance": {"JsonSummary": cost, "Summary": instance.result[-500:]}}


def detail(instance: Instance) -> dict[str, Any]:
    return {"mapReduce": {"jobs": []}, "Instance": state(instance)}


def _task(instance: Instance, *content: str) -> str:
    return xml.element("Task", xml.text("Name", instance.task), *content, Type=instance.kind.value)


def _date(seconds: float | None) -> str:
    return formatdate(seconds, usegmt=True) if seconds is not None else ""
