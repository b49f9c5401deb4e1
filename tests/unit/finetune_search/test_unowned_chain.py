"""A chain of days whose task is gone is ended, and its next day is never begun."""

from __future__ import annotations

from include.experiments.unowned import end_unowned
from include.search.trial import TrialState


def test_the_day_that_succeeded_is_kept_and_the_next_one_is_not_submitted(chains):
    chains.open(trials=1)
    trial = chains.start()
    chains.train(chains.job())

    found = list(
        end_unowned(chains.services, chains.kept, trial, model="movielens", why="its task is failed")
    )

    assert found
    assert len(chains.jobs.jobs) == 1
    assert chains.store.trial(chains.experiment, 0).state is TrialState.CANCELLED
    assert chains.store.open_steps() == []
    assert chains.store.steps(chains.experiment)[0].state.value == "SUCCEEDED"
