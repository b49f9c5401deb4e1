"""A PAI job as one deferrable task: usable in any DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from easyrec.dates import business_date_of
from easyrec.failures import fails_the_task
from easyrec.operators.job import JobOperator, task_key
from include.errors import ConfigError
from include.experiments.settings import JobSettings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.experiments.job_plan import JobSpec
    from include.store import Trial


class PaiTrainOperator(JobOperator):
    """Runs one command of an EasyRec ini (``PAI -name easy_rec_ext …``) exactly once, and waits deferred.

    The placeholders ``<bizdate>``, ``<predate>``, ``<eval_ymd>`` of every value are filled. A training starts
    in an empty model_dir of its own; a job that failed is replaced in a fresh one (``<model_dir>_a1``), a
    cleared task starts anew in ``<model_dir>_e1``. Returns ``model_dir``, ``job_id``, ``metric``,
    ``metrics`` and ``global_step``; a training also ``checkpoint`` (exact), an export ``export_dir``, an
    evaluation ``eval_result``.

    Templated: ``ini``, ``bizdate``, ``model_dir``, ``config``, ``parameters``, ``edits``.

    :param ini: path of the ini (old system's format).
    :param command: ``train``, or a further command that the ini has a section for (``evaluate``, ``export``).
    :param model: name under which the job is kept in the store; default: the DAG's id.
    :param bizdate: the day, ``2022-06-17`` or ``20220617``; default: the run's business date.
    :param timezone: zone of the business, for that default.
    :param model_dir: instead of the ini's ``-Dmodel_dir``.
    :param config: instead of the ini's ``-Dconfig``; a patched copy has the ini's edits in it already, so
        ``-Dedit_config_json`` is not sent with it.
    :param parameters: further ``-D`` values, without ``-D``; None removes one.
    :param edits: values that the config must hold: compared with what EasyRec says that it ran.
    :param settings: connections, time limits, retries (``JobSettings``).
    """

    template_fields: Sequence[str] = ("ini", "bizdate", "model_dir", "config", "parameters", "edits")

    def __init__(
        self,
        *,
        ini: str,
        command: Literal["train", "evaluate", "export"] = "train",
        model: str = "",
        bizdate: str | None = None,
        timezone: str = "Asia/Shanghai",
        model_dir: str | None = None,
        config: str | None = None,
        parameters: Mapping[str, str | None] | None = None,
        edits: Mapping[str, Any] | str | None = None,
        settings: JobSettings | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=True, **kwargs)
        self.ini = ini
        self.command = command
        self.model = model
        self.bizdate = bizdate
        self.timezone = timezone
        self.model_dir = model_dir
        self.config = config
        self.parameters = parameters
        self.edits = edits
        self.settings = settings or JobSettings()

    def execute(self, context: Context) -> Any:
        from easyrec import runtime
        from easyrec.operators.begin_search import started_by
        from include.experiments.job_plan import JobPlan
        from include.experiments.single_job import shown_command, start_job

        ti = context["ti"]
        with fails_the_task():
            services = runtime.services(self.settings)
        try:
            spec = self.spec(self._day(context))
            trial = start_job(
                services,
                spec,
                model=self.model or ti.dag_id,
                task=task_key(ti),
                task_max_tries=ti.max_tries,
                by=started_by(context),
            )
        except Exception as error:  # noqa: BLE001 (fail raises it again)
            self.fail(context, services, self.settings, error)
        self.log.info("%s", shown_command(services, trial))
        return self.follow(context, services, JobPlan.of_trial(trial.parameters), trial)

    def spec(self, bizdate: date) -> JobSpec:
        """The job of one day, as it will be submitted. Raises ConfigError."""
        from include.experiments.job_plan import JobSpec
        from include.finetune import calendar
        from include.jobs import ini

        job = ini.load(self.ini, for_search=False)
        if self.command != ini.TRAIN and self.command not in job.commands:
            raise ConfigError(f"there is no section [{self.command}_cmd_config]", where=self.ini)
        values = calendar.render_all(job.of(self.command), bizdate, where=self.ini)
        for key, value in (self.parameters or {}).items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = calendar.render(value, bizdate)
        model_dir = self.model_dir or values["model_dir"]
        values.pop("model_dir", None)
        if self.config:
            values["config"] = self.config
            values.pop("edit_config_json", None)
        evaluates = self.command == ini.TRAIN and values.get("eval_method") != "none"
        return JobSpec(
            xflow_name=job.xflow_name,
            xflow_project=job.xflow_project,
            parameters=values,
            model_dir=calendar.render(model_dir, bizdate),
            settings=self.settings,
            command=self.command,
            weights=dict(job.weights) if evaluates else {},
            edits=dict(self.edits) if isinstance(self.edits, Mapping) else {},
        )

    def outcome(self, context: Context, trial: Trial) -> dict[str, Any]:
        from easyrec import runtime
        from include.experiments.single_job import job_outcome

        return job_outcome(runtime.services(self.settings, runtime.open_store()), trial)

    def _day(self, context: Context) -> date:
        from include.finetune.calendar import parse_day

        return parse_day(self.bizdate) if self.bizdate else business_date_of(context, self.timezone)
