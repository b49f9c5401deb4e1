"""The end of a search: leftovers stopped, best trial named, report and best config on OSS."""

from __future__ import annotations

import json
from datetime import datetime

from include.errors import JobFailedError
from include.experiments.job_starter import stop_step
from include.experiments.plan import Plan
from include.experiments.report import Report, summarize, to_html
from include.experiments.services import Services, utc_now
from include.search.trial import TrialState
from include.store import ExperimentState, ExperimentStore

BEST_CONFIG = "best_pipeline.config"


def close_experiment(services: Services, experiment_id: str, *, dag_id: str, run_id: str, by: str) -> Report:
    """Close what this DAG run ran and publish the result. Safe to repeat.

    Raises JobFailedError when no trial succeeded, or more failed than the model allows; the report is
    published all the same.
    """
    store = services.store
    experiment = store.experiment(experiment_id)
    plan = Plan.from_snapshot(experiment.snapshot)
    _stop_leftovers(services, plan, experiment_id, dag_id=dag_id, run_id=run_id)
    report = report_of_store(store, experiment_id, services.now())
    _publish(services, plan, report)
    failure = _failure(report, plan)
    still_running = any(not t.state.is_terminal for t in store.trials(experiment_id))
    if failure is not None:
        store.set_experiment_state(experiment_id, ExperimentState.FAILED, reason=failure, by=by)
        raise JobFailedError(failure, where=experiment_id, hint=f"see {report.prefix}report.html")
    if not still_running:  # an extension run of the same experiment may still be at work
        store.set_experiment_state(experiment_id, ExperimentState.FINISHED, reason="", by=by)
    return report


def _stop_leftovers(services: Services, plan: Plan, experiment_id: str, *, dag_id: str, run_id: str) -> None:
    """A trial of this run that has not ended by now has no task any more that would watch it."""
    store = services.store
    for trial in store.trials(experiment_id):
        if (trial.task.dag_id, trial.task.run_id) != (dag_id, run_id):
            continue
        reason = trial.reason or "its task ended without it"
        if not trial.state.is_terminal:
            store.move_trial(
                experiment_id, trial.number, epoch=trial.epoch, to=TrialState.CANCELLED, reason=reason
            )
        for step in store.steps(experiment_id, trial.number):
            stop_step(services, step, reason=reason, lookup_seconds=plan.settings.lost_answer_seconds)


def _publish(services: Services, plan: Plan, report: Report) -> None:
    write = services.objects.write
    write(report.prefix + "report.json", json.dumps(report.as_dict(), indent=2, ensure_ascii=False).encode())
    write(report.prefix + "report.html", to_html(report).encode())
    if report.best is not None:
        best = plan.patched_config(report.best.parameters)
        write(report.prefix + BEST_CONFIG, best.encode())


def _failure(report: Report, plan: Plan) -> str | None:
    failed = report.count(TrialState.FAILED)
    if report.best is None:
        reasons = sorted({t.reason for t in report.trials if t.reason})
        return f"no trial succeeded ({failed} failed): {'; '.join(reasons[:3]) or 'none was run'}"
    limit = plan.settings.max_failed_trials
    if limit is not None and failed > limit:
        return f"{failed} trials failed, more than max_failed_trials = {limit}"
    return None


def report_of_store(store: ExperimentStore, experiment_id: str, now: datetime | None = None) -> Report:
    """The report as it would be now; needs no service."""
    experiment = store.experiment(experiment_id)
    return summarize(
        experiment,
        store.trials(experiment_id),
        store.steps(experiment_id),
        store.results(experiment_id),
        Plan.from_snapshot(experiment.snapshot),
        now or utc_now(),
    )
