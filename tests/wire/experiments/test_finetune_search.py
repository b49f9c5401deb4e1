"""A finetune search with the real clients and the real trainer: chains of days after a begin search."""

from __future__ import annotations

import statistics

import pytest

from include import names
from include.experiments.chain_plan import ChainPlan
from include.experiments.opening import OpenRequest
from include.finetune_search.opening import open_finetune_search
from include.jobs.edits import CHECKPOINT_KEY
from include.pipeline_config import values_at
from include.search.trial import TrialState

from .conftest import DAG, Installation


def test_two_trials_train_three_days_each_from_the_day_before(installation: Installation) -> None:
    installation.configure(finetune={"pipeline_config": "origin"})
    installation.open(trials=1)
    installation.run()
    origin = installation.close().best_model_dir

    days = sorted(
        spec.removeprefix("dt=")
        for spec in installation.world.sandbox.tables.partitions("sandbox", "ratings_daily")
    )
    installation.opened = open_finetune_search(
        installation.services,
        ChainPlan.load(installation.folder),
        OpenRequest(trials=2),
        start=days[0],
        end=days[2],
        dag_id=DAG,
        run_id="finetune",
        by="test",
    )
    trials = installation.run()

    # The two run side by side: the assessor may stop whichever is behind.
    assert {t.state for t in trials} <= {TrialState.SUCCEEDED, TrialState.EARLY_STOPPED}, [
        t.reason for t in trials
    ]
    whole = [t for t in trials if t.state is TrialState.SUCCEEDED]
    assert whole
    assert len(installation.jobs()) == 1 + len(installation.store.steps(installation.experiment))
    for trial in whole:
        steps = installation.store.steps(installation.experiment, trial.number)
        assert len(steps) == 3
        before = origin
        for step in steps:
            saved = installation.services.objects.read(names.saved_pipeline_config(step.model_dir)).decode()
            assert str(values_at(saved, CHECKPOINT_KEY)[0]).rpartition("/")[0] == before
            before = step.model_dir
        row = next(r for r in installation.close().trials if r.number == trial.number)
        assert list(row.days) == [f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in days[:3]]
        assert trial.metric == pytest.approx(statistics.fmean(v for v in row.days.values() if v is not None))
