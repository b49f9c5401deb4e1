"""The end of a search: leftovers stopped, best trial named, report and best config on OSS."""

from __future__ import annotations

import json
from datetime import datetime

from include.errors import JobFailedError
from include.experiments.leftovers import stop_leftovers
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
    # A trial of this run that has not ended by now has no task any more that would watch it.
    mine = [t for t in store.trials(experiment_id) if (t.task.dag_id, t.task.run_id) == (dag_id, run_id)]
    stop_leftovers(services, mine, lookup_seconds=plan.settings.lost_answer_seconds)
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
