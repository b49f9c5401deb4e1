"""What the daily finetune's DAG is made of: its schedule, its form, and each of its tasks."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetOrTimeSchedule, CronDataIntervalTimetable, Param

from easyrec.assets import begin_best
from easyrec.callbacks import on_failure, on_run_failure
from easyrec.dates import FIELD
from easyrec.operators.daily import (
    FinishDayOperator,
    GateOperator,
    PromoteOperator,
    RetrainLaterOperator,
    TrainDayOperator,
    WaitForTablesOperator,
)
from easyrec.operators.pai_train import PaiTrainOperator
from easyrec.operators.patch_config import PatchPipelineConfigOperator
from easyrec.operators.resolve_checkpoint import ResolveCheckpointOperator
from easyrec.sensors.oss_metric import OssMetricSensor
from include.daily.plan import FinetunePlan
from include.finetune.calendar import time_zone
from include.notices import Kind

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from easyrec.discovery import ModelFolder

_RETRIES: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=30)}
_LONG_AGO = date(2020, 1, 1)


def schedule(model: ModelFolder[FinetunePlan]) -> Any:
    """None for a broken folder. Never a bare cron string: that one has no data interval (airflow.md)."""
    if model.plan is None:
        return None
    finetune = model.plan.finetune
    timetable = CronDataIntervalTimetable(finetune.schedule, timezone=finetune.timezone)
    if not finetune.start_on_begin:
        return timetable
    return AssetOrTimeSchedule(timetable=timetable, assets=[begin_best(model.name)])


def start_date(model: ModelFolder[FinetunePlan]) -> datetime:
    """The first business date, or long ago where only the newest day runs by schedule."""
    finetune = model.plan.finetune if model.plan is not None else None
    first = (finetune.first_bizdate if finetune else None) or _LONG_AGO
    return datetime.combine(first, time.min, time_zone(finetune.timezone if finetune else "UTC"))


def end_date(model: ModelFolder[FinetunePlan]) -> datetime | None:
    """The end of the last business date; None when days go on."""
    finetune = model.plan.finetune if model.plan is not None else None
    if finetune is None or finetune.last_bizdate is None:
        return None
    return datetime.combine(finetune.last_bizdate, time.max, time_zone(finetune.timezone))


def catches_up(model: ModelFolder[FinetunePlan]) -> bool:
    return model.plan is not None and model.plan.finetune.first_bizdate is not None


def form(model: ModelFolder[FinetunePlan]) -> dict[str, Param]:
    return {
        FIELD: Param(
            None,
            type=["null", "string"],
            title="Day to train, e.g. 2022-06-17",
            description="Empty: by the logical date, or the last complete day." + _clear_logical_date(model),
        ),
        "start_from": Param(None, type=["null", "string"], title="Begin a new chain from"),
        "retrain": Param(False, type="boolean", title="Train the day again although it is done"),
        "retrain_later": Param(False, type="boolean", title="Then train later days again that are stale"),
    }


def _clear_logical_date(model: ModelFolder[FinetunePlan]) -> str:
    """The UI fills the present moment in; Airflow gives a run after a DAG's end no tasks and calls it a success."""
    last = model.plan.finetune.last_bizdate if model.plan is not None else None
    return "" if last is None else f" Also empty the logical date above: nothing runs for one after {last}."


def run_failure_callback(model: ModelFolder[FinetunePlan]) -> Any:
    """The DAG's own: tells of tasks that were killed."""
    return on_run_failure(**_telling(model))


def _telling(model: ModelFolder[FinetunePlan]) -> dict[str, Any]:
    return {
        "model": model.name,
        "settings": model.notify,
        "kind": Kind.DAY_FAILED,
        "timezone": model.plan.finetune.timezone if model.plan is not None else None,
    }


class DayTasks:
    """Makes the tasks; the DAG file says in which order they run."""

    def __init__(self, model: ModelFolder[FinetunePlan]) -> None:
        self._name = model.name
        self._folder = str(model.path)
        self._plan = model.plan
        self._settings = model.plan.settings if model.plan else None
        self._finetune = model.plan.finetune if model.plan else None
        self._common = {**_RETRIES, "on_failure_callback": on_failure(**_telling(model))}

    @property
    def evaluates(self) -> bool:
        """The evaluation is a job of its own."""
        return self._finetune is not None and self._finetune.evaluation == "evaluate_job"

    @property
    def exports(self) -> bool:
        return self._plan is not None and self._plan.exports

    def wait(self, task_id: str = "wait_partitions", command: str = "train") -> WaitForTablesOperator:
        hours = self._finetune.wait_hours if self._finetune else 1.0
        poll = self._finetune.wait_poll_seconds if self._finetune else 60.0
        return WaitForTablesOperator(
            task_id=task_id,
            model_folder=self._folder,
            command=command,
            wait_hours=hours,
            wait_poll_seconds=poll,
            settings=self._settings,
            **self._common,
        )

    def resolve(self) -> ResolveCheckpointOperator:
        return ResolveCheckpointOperator(
            task_id="resolve_checkpoint", model_folder=self._folder, **self._common
        )

    def patch(self, day: XComArg) -> PatchPipelineConfigOperator:
        assert self._settings is not None
        return PatchPipelineConfigOperator(
            task_id="patch_config",
            source=day["config_source"],
            target=day["config_target"],
            edits=day["edits"],
            learning_rate=day["learning_rate"],
            overrides=day["overrides"],
            trained_config=day["trained_config"],
            force_shapes=self._settings.finetune.force_shapes,
            allow_unknown_fields=self._settings.allow_unknown_fields,
            settings=self._settings,
            **self._common,
        )

    def train(self, day: XComArg, patched: XComArg) -> TrainDayOperator:
        assert self._plan is not None
        parameters = {}
        if "fine_tune_checkpoint" in self._plan.job.parameters:  # it would win over the config's
            parameters["fine_tune_checkpoint"] = day["checkpoint"]
        return TrainDayOperator(
            task_id="train",
            model_folder=self._folder,
            day=day["day"],
            bizdate=day["bizdate"],
            model_dir=day["model_dir"],
            config=patched["config"],
            edits=patched["edits"],
            parameters=parameters,
            **self._job("train"),
        )

    def evaluate(self, day: XComArg, patched: XComArg, trained: XComArg) -> PaiTrainOperator:
        return self._further("evaluate", day, patched, trained)

    def export(self, day: XComArg, patched: XComArg, trained: XComArg) -> PaiTrainOperator:
        return self._further("export", day, patched, trained)

    def metrics(self, trained: XComArg, evaluated: XComArg | None) -> OssMetricSensor:
        assert self._plan is not None
        assert self._finetune is not None
        return OssMetricSensor(
            task_id="metrics",
            model_dir=trained["model_dir"],
            eval_result=evaluated["eval_result"] if evaluated is not None else None,
            weights=dict(self._plan.job.weights),
            optimize_mode=self._finetune.optimize_mode,
            wait_hours=1.0,
            wait_poll_seconds=self._plan.settings.poll_seconds,
            settings=self._settings,
            **self._common,
        )

    def gate(self, day: XComArg, trained: XComArg, metric: XComArg) -> GateOperator:
        return GateOperator(
            task_id="gate",
            model_folder=self._folder,
            day=day["day"],
            trained=trained,
            metric=metric,
            **self._common,
        )

    def promote(self, gate: XComArg, exported: XComArg | None) -> PromoteOperator:
        return PromoteOperator(
            task_id="promote",
            model=self._name,
            model_folder=self._folder,
            gate=gate,
            exported=exported,
            **self._common,
        )

    def retrain_later(self) -> RetrainLaterOperator:
        return RetrainLaterOperator(
            task_id="retrain_later",
            model_folder=self._folder,
            trigger_rule="none_failed",
            **self._common,
        )

    def finish(self) -> FinishDayOperator:
        return FinishDayOperator(task_id="finish", model_folder=self._folder, **self._common).as_teardown()

    def _further(self, command: str, day: XComArg, patched: XComArg, trained: XComArg) -> PaiTrainOperator:
        return PaiTrainOperator(
            task_id=command,
            bizdate=day["bizdate"],
            model_dir=trained["model_dir"],
            config=patched["config"],
            parameters={"checkpoint_path": trained["checkpoint"]},
            **self._job(command),
        )

    def _job(self, command: Any) -> dict[str, Any]:
        assert self._plan is not None
        return {
            "ini": self._plan.ini_path,
            "command": command,
            "model": self._name,
            "timezone": self._plan.finetune.timezone,
            "settings": self._settings,
            **self._common,
        }
