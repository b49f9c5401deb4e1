"""What people are told of a search."""

from __future__ import annotations

import json

from include.experiments.report import Report
from include.experiments.services import Services
from include.notices import Kind, Notice, number
from include.search.trial import TrialState

TOLD = "end_told"
"""Event of an experiment: people were told of its end."""
_REASONS = 3


def tell_of_end(services: Services, report: Report, *, dag_id: str, run_id: str, by: str) -> None:
    """Tell how a search ended that has a best trial, unless the same was told before.

    So a cleared or repeated close says nothing twice, and an extension says what it changed.
    """
    best = report.best
    if best is None:
        return
    told = [e.data for e in services.store.events(report.experiment) if e.kind == TOLD]
    counts = {state.value: report.count(state) for state in TrialState if report.count(state)}
    said = {"best": best.number, "metric": best.metric, "trials": counts}
    if told and told[-1] == said:
        return
    before = (told[-1]["best"], told[-1]["metric"]) if told else None
    services.tell(_ended(report, is_new=before != (best.number, best.metric), run=(dag_id, run_id)))
    services.store.record_event(report.experiment, None, TOLD, by=by, data=said)


def _ended(report: Report, *, is_new: bool, run: tuple[str, str]) -> Notice:
    best = report.best
    assert best is not None
    compared = f"; the config as it is: {number(report.baseline.metric)}" if report.baseline else ""
    failed = [t for t in report.trials if t.state is TrialState.FAILED]
    reasons = sorted({t.reason for t in failed if t.reason})[:_REASONS]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return Notice(
        Kind.SEARCH_ENDED,
        report.model,
        title=f"{'new best' if is_new else 'still the best'}: trial {best.number}, {number(best.metric)}",
        lines=(
            f"experiment: {report.experiment}, {len(report.trials)} trials",
            f"failed trials: {len(failed)}{why}",
            f"best metric: {number(best.metric)} ({report.optimize_mode}){compared}",
            f"parameters: {json.dumps(dict(best.parameters), ensure_ascii=False)}",
            f"config: {report.best_config}",
            f"report: {report.prefix}report.html",
            "to do: use this config, or give the search more trials (form field experiment)",
        ),
        run=run,
    )
