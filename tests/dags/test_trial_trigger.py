"""The trial's trigger: what it stops and what it must leave alone (design section 5.3)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest import mock

import pytest
from airflow.configuration import conf
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import TriggerEvent

from easyrec.triggers import trial as module
from easyrec.triggers.trial import TrialTrigger
from include.errors import AccessError, RetryableError
from include.experiments.trial_watcher import TrialWatcher
from include.search.trial import TrialState

RUNNING = SimpleNamespace(state=TrialState.RUNNING, epoch=0)
SUCCEEDED = SimpleNamespace(state=TrialState.SUCCEEDED, epoch=0)


@pytest.fixture
def watcher():
    return mock.create_autospec(TrialWatcher, instance=True)


@pytest.fixture
def trigger(watcher, monkeypatch):
    monkeypatch.setattr(TrialTrigger, "_watcher", lambda self: watcher)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)
    one = TrialTrigger(experiment="movielens-1", trial=3, epoch=0, poll_seconds=0.001)
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="trial", map_index=3)
    one._task_instance = ti
    return one


def test_a_trigger_gives_a_lingering_supervisor_time():
    """Else the scheduler takes the task, which is back already, for one that died (seen in 4 of 12 days)."""
    heartbeat = conf.getint("workers", "min_heartbeat_interval")
    assert heartbeat < module.SETTLE_SECONDS


def on_kill_with(trigger, states):
    with mock.patch.object(RuntimeTaskInstance, "get_task_states", autospec=True, return_value=states):
        asyncio.run(trigger.on_kill())


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed"])
def test_a_users_action_on_the_task_stops_the_job(trigger, watcher, state):
    on_kill_with(trigger, {"run": {"trial_3": state}})

    watcher.cancel.assert_called_once()
    assert state in watcher.cancel.call_args.args[0]


@pytest.mark.parametrize(
    "states",
    [
        *({"run": {"trial_3": state}} for state in ("deferred", "scheduled", "queued", "running", None)),
        {"run": {"trial_3": "up_for_retry"}},
        {"run": {}},
        {},
    ],
)
def test_a_frozen_triggerer_that_comes_back_stops_nothing(trigger, watcher, states):
    """Airflow calls on_kill then, although no user acted: the task is still deferred, goes on by another
    triggerer's event (or was cleared, and stops the older job itself), or can't be known."""
    on_kill_with(trigger, states)

    watcher.cancel.assert_not_called()


def test_a_state_that_can_not_be_asked_for_stops_nothing(trigger, watcher):
    with (
        mock.patch.object(RuntimeTaskInstance, "get_task_states", autospec=True, side_effect=RuntimeError),
        pytest.raises(RuntimeError),
    ):
        asyncio.run(trigger.on_kill())

    watcher.cancel.assert_not_called()


def test_a_cancelled_coroutine_stops_nothing(trigger, watcher):
    """Triggerer shutdown and redistribution: another triggerer goes on with the same job."""
    watcher.poll.return_value = RUNNING

    async def shut_down():
        task = asyncio.ensure_future(anext(aiter(trigger.run())))
        while not watcher.poll.called:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await trigger.cleanup()

    asyncio.run(shut_down())

    watcher.cancel.assert_not_called()


def fired(trigger) -> TriggerEvent:
    return asyncio.run(anext(aiter(trigger.run())))


def test_trouble_that_passes_is_waited_out(trigger, watcher):
    watcher.poll.side_effect = [RetryableError("503"), RUNNING, SUCCEEDED]

    assert fired(trigger).payload == {"experiment": "movielens-1", "trial": 3}


def test_trouble_that_stays_is_handed_to_the_task(trigger, watcher):
    watcher.poll.side_effect = AccessError("the key was revoked")

    assert "revoked" in fired(trigger).payload["error"]
    watcher.cancel.assert_not_called()


def test_an_error_nobody_thought_of_is_handed_to_the_task_too(trigger, watcher):
    """An exception out of run() would fail the task past our code: its job would stay behind."""
    watcher.poll.side_effect = KeyError("a bug")

    assert "KeyError" in fired(trigger).payload["error"]


def test_keys_that_were_renewed_are_read_anew(trigger, watcher, monkeypatch):
    """Temporary keys in a connection end while a trial runs; the client keeps those it was made with."""
    made = []
    monkeypatch.setattr(TrialTrigger, "_watcher", lambda self: made.append(1) or watcher)
    watcher.poll.side_effect = [RUNNING, AccessError("expired"), RUNNING, AccessError("expired"), SUCCEEDED]

    assert "error" not in fired(trigger).payload
    assert len(made) == 3


def test_a_newer_epoch_ends_this_one(trigger, watcher):
    watcher.poll.return_value = SimpleNamespace(state=TrialState.RUNNING, epoch=1)

    assert "error" not in fired(trigger).payload


def test_it_can_be_rebuilt_from_what_airflow_keeps(trigger):
    path, kwargs = trigger.serialize()

    again = TrialTrigger(**kwargs)

    assert path == "easyrec.triggers.trial.TrialTrigger"
    assert again.serialize() == trigger.serialize()


def test_a_persons_stop_does_not_wait_for_a_long_pause_between_polls(trigger, watcher, monkeypatch):
    """Whatever poll_seconds is, it takes effect within ten seconds."""
    assert module._NOTICE_SECONDS < 10 / 2
    monkeypatch.setattr(module, "_NOTICE_SECONDS", 0.001)
    trigger.poll_seconds = 3600.0
    cancelled = SimpleNamespace(state=TrialState.CANCELLED, epoch=0)
    watcher.poll.side_effect = [RUNNING, cancelled]
    watcher.is_over.side_effect = [False, RetryableError("the store is locked"), True]

    event = asyncio.run(asyncio.wait_for(anext(aiter(trigger.run())), timeout=20))

    assert event == TriggerEvent({"experiment": "movielens-1", "trial": 3})
    assert watcher.poll.call_count == 2
