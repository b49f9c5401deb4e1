"""Starts a PAI job outside of any search, exactly once per Airflow task (design section 5)."""

from __future__ import annotations

from typing import Any

from include import names
from include.errors import NotFoundError
from include.experiments.checkpoints import find_checkpoint
from include.experiments.job_plan import EVALUATE, EXPORT, TRAIN, JobPlan, JobSpec
from include.experiments.services import Services
from include.experiments.trial_job import TrialJob
from include.jobs.payload import pai_command
from include.ports import JobPayload
from include.store import NewExperiment, Step, TaskKey, Trial

KIND = "job"


def start_job(
    services: Services, spec: JobSpec, *, model: str, task: TaskKey, task_max_tries: int, by: str
) -> Trial:
    """The task's trial with its job running, or as it ended if it has ended in this epoch.

    A retry goes on with the job that is there, whatever ``spec`` says now; a clear (another
    ``task_max_tries``) stops it and starts ``spec`` in a fresh model_dir.
    """
    store = services.store
    trial = store.trial_of(task)
    if trial is None:
        experiment = store.create_experiment(
            NewExperiment(
                id=names.job_experiment_id(model, store.uuid, str(task)),
                model=model,
                kind=KIND,
                dag_id=task.dag_id,
                run_id=task.run_id,
                seed=0,
                optimize_mode=spec.optimize_mode,
                max_trials=1,
                deadline=None,
                snapshot={"command": spec.command},
                created_by=by,
            )
        )
        trial = store.record_ask(
            experiment.id,
            expected_asks=0,
            task=task,
            task_max_tries=task_max_tries,
            parameters=spec.as_dict(),
            source=KIND,
            seen=0,
        )
    elif trial.task_max_tries != task_max_tries:
        trial = store.begin_epoch(
            trial.experiment_id,
            trial.number,
            task=task,
            task_max_tries=task_max_tries,
            parameters=spec.as_dict(),
        )
    return TrialJob(services, JobPlan.of_trial(trial.parameters)).continue_or_end(trial)


def job_outcome(services: Services, trial: Trial) -> dict[str, Any]:
    """What a job that succeeded made: plain data for the tasks after it.

    Raises NotFoundError when a training left no whole checkpoint, or an export no model.
    """
    spec = JobSpec.from_dict(trial.parameters)
    step = _last_step(services, trial)
    results = services.store.results(trial.experiment_id, trial.number)
    final = JobPlan(spec).final_result(results)
    made: dict[str, Any] = {
        "job_id": step.job_id,
        "model_dir": step.model_dir,
        "metric": trial.metric,
        "metrics": dict(trial.metrics),
        "global_step": final.global_step if final is not None else None,
    }
    sent = step.payload["parameters"]
    if spec.command == TRAIN:
        best = spec.settings.final_metric == "best" and final is not None
        wanted = final.global_step if best and final is not None else None
        made["checkpoint"] = find_checkpoint(services.objects, step.model_dir, step=wanted).prefix
    if spec.command == EXPORT:
        made["export_dir"] = _exported(services, sent["export_dir"])
    if spec.command == EVALUATE:
        made["eval_result"] = names.join_url(step.model_dir, sent["eval_result_path"])
    return made


def shown_command(services: Services, trial: Trial) -> str:
    """The job that was submitted last, as a PAI command for people."""
    step = _last_step(services, trial)
    return f"job {step.job_id}: " + pai_command(JobPayload(**step.payload))


def _last_step(services: Services, trial: Trial) -> Step:
    step = services.store.latest_step(trial.experiment_id, trial.number, epoch=trial.epoch)
    if step is None:
        raise NotFoundError(f"trial {trial.number} of {trial.experiment_id} has no job")
    return step


def _exported(services: Services, export_dir: str) -> str:
    """EasyRec exports to a folder named by the time; ``saved_model.pb`` is the last file it writes."""
    marker = "/saved_model.pb"
    found = [o for o in services.objects.list(names.join_url(export_dir) + "/") if o.url.endswith(marker)]
    if not found:
        raise NotFoundError("the export left no saved_model.pb", where=export_dir)
    return max(found, key=lambda o: o.modified_at).url.removesuffix(marker)
