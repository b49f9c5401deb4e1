"""The end of a search: leftovers stopped, best trial named, report and best config on OSS."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from include import names
from include.errors import ConfigEditError, EasyRecAutoMLError, JobFailedError
from include.experiments.chain_plan import plan_of
from include.experiments.leftovers import end_leftovers, stop_strays
from include.experiments.plan import Plan
from include.experiments.report import Report, summarize, to_html
from include.experiments.services import Services, utc_now
from include.experiments.telling import tell_of_end
from include.search.trial import TrialState
from include.store import Experiment, ExperimentState, ExperimentStore, Step, Trial

log = logging.getLogger(__name__)

BEST_CONFIG = "best_pipeline.config"


def close_experiment(services: Services, experiment_id: str, *, dag_id: str, run_id: str, by: str) -> Report:
    """Close what this DAG run ran, publish the result and tell people of it. Safe to repeat.

    Raises JobFailedError when no trial succeeded, or more failed than the model allows, and
    RetryableError or PermanentError when a job could not be stopped; the report is published all the same.
    """
    store = services.store
    experiment = store.experiment(experiment_id)
    plan = plan_of(experiment.snapshot)
    unstopped = _stop_run(services, plan, experiment_id, dag_id=dag_id, run_id=run_id)
    unstopped = stop_strays(services, experiment) or unstopped
    failure = _failure(report_of_store(store, experiment_id, services.now(), plan=plan), experiment, plan)
    state = ExperimentState.FINISHED if failure is None else ExperimentState.FAILED
    store.close_run(experiment_id, run_id=run_id, state=state, reason=failure or "", by=by)
    report = publish_report(services, experiment_id)
    if unstopped is not None:
        raise unstopped
    if failure is not None:
        raise JobFailedError(failure, where=experiment_id, hint=f"see {report.prefix}report.html")
    tell_of_end(services, report, dag_id=dag_id, run_id=run_id, by=by)
    return report


def stop_run(
    services_of: Callable[[str], tuple[Services, Plan]], store: ExperimentStore, *, dag_id: str, run_id: str
) -> None:
    """Stop what this DAG run left running in any experiment: its opening failed when it was repeated.

    Raises RetryableError or PermanentError when a job could not be stopped.
    """
    for experiment_id in store.experiments_of_run(dag_id, run_id):
        services, plan = services_of(experiment_id)
        unstopped = _stop_run(services, plan, experiment_id, dag_id=dag_id, run_id=run_id)
        if unstopped is not None:
            raise unstopped


def _stop_run(
    services: Services, plan: Plan, experiment_id: str, *, dag_id: str, run_id: str
) -> EasyRecAutoMLError | None:
    """A trial of this run that has not ended by now has no task any more that would watch it."""
    trials = services.store.trials(experiment_id)
    mine = [t for t in trials if (t.task.dag_id, t.task.run_id) == (dag_id, run_id)]
    return end_leftovers(services, mine, lambda _: plan, model=plan.model)


def publish_report(services: Services, experiment_id: str) -> Report:
    """Write the report, as it is now, and what belongs to it; it comes back as it was published."""
    plan = plan_of(services.store.experiment(experiment_id).snapshot)
    report = report_of_store(services.store, experiment_id, services.now(), plan=plan)
    objects, url = services.objects, report.prefix + BEST_CONFIG
    if report.best is None:
        objects.delete(url)  # of a trial that was the best before it was cleared
    else:
        try:
            objects.write(url, plan.patched_config(report.best.parameters).encode())
        except ConfigEditError as error:  # features of an fg_json_path are not in the text
            saved = names.saved_pipeline_config(report.best_model_dir)
            log.warning("the best config can't be made here (%s): it is what EasyRec saved, %s", error, saved)
            report = replace(report, best_config=saved)
    text = json.dumps(report.as_dict(), indent=2, ensure_ascii=False)
    objects.write(report.prefix + "report.json", text.encode())
    objects.write(report.prefix + "report.html", to_html(report).encode())
    return report


def _failure(report: Report, experiment: Experiment, plan: Plan) -> str | None:
    failed = [t for t in report.trials if t.state is TrialState.FAILED]
    if experiment.state is ExperimentState.FAILED and experiment.reason in {t.reason for t in failed}:
        return experiment.reason  # a trial found what would fail every other, too
    if report.best is None:
        reasons = sorted({t.reason for t in report.trials if t.reason})
        return f"no trial succeeded ({len(failed)} failed): {'; '.join(reasons[:3]) or 'none was run'}"
    limit = plan.settings.max_failed_trials
    if limit is not None and len(failed) > limit:
        return f"{len(failed)} trials failed, more than max_failed_trials = {limit}"
    return None


def report_of_store(
    store: ExperimentStore,
    experiment_id: str,
    now: datetime | None = None,
    *,
    trials: Sequence[Trial] | None = None,
    steps: Sequence[Step] | None = None,
    plan: Plan | None = None,
) -> Report:
    """The report as it would be now; needs no service. ``trials``, ``steps``, ``plan``: if read already."""
    experiment = store.experiment(experiment_id)
    plan = plan or plan_of(experiment.snapshot)
    return summarize(
        experiment,
        store.trials(experiment_id) if trials is None else trials,
        store.steps(experiment_id) if steps is None else steps,
        store.evaluation_counts(experiment_id),
        store.results(experiment_id) if plan.judges_whole_steps else (),
        plan,
        now or utc_now(),
    )
