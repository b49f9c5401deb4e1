"""A poor trial's job is stopped, training part and all, by the poll that sees its poor value."""

from __future__ import annotations

import pytest

from include import names
from include.search.trial import TrialState
from include.store import StepState
from tests.support.sandboxed import control

from .conftest import Installation, World, wait_until

RATE = (
    "train_config.optimizer_config[0].adam_optimizer.learning_rate"
    ".exponential_decay_learning_rate.initial_learning_rate"
)


@pytest.fixture
def good_and_poor(installation: Installation) -> Installation:
    """Trial 0 learns and has ended; trial 1 learns nothing and never ends by itself."""
    installation.change("config.yml", "start_step: 4", "start_step: 1")
    installation.open(trials=2, custom_parameters=({RATE: 0.01}, {RATE: 1e-9}))
    [good] = installation.finish(installation.start(0))
    assert good.state is TrialState.SUCCEEDED
    installation.world.fault(
        service="job", kind="job_hang", path=f"{installation.experiment}_1", options={"step": 25}
    )
    return installation


def test_a_poor_trials_job_and_its_training_part_are_stopped_within_one_poll(
    world: World, good_and_poor: Installation
) -> None:
    trial = good_and_poor.start(1)
    events = names.eval_events_prefix(good_and_poor.steps()[1].model_dir)
    wait_until(lambda: list(good_and_poor.services.objects.list(events)), "the trial is evaluated")

    ended = good_and_poor.watcher(trial).poll()

    assert ended.state is TrialState.EARLY_STOPPED
    assert "median" in ended.reason
    job = good_and_poor.jobs()[1]
    train = world.instance(job["train"])
    assert job["ended"] is not None
    assert (train["status"], train["stopped_by"]) == ("Cancelled", "user")
    assert job["train"] in world.stopped()
    assert good_and_poor.steps()[1].state is StepState.STOPPED
    wait_until(lambda: control(world.endpoints, "health")["running"] == 0, "its process is gone")
    assert good_and_poor.close().best.number == 0
    assert len(good_and_poor.jobs()) == 2
