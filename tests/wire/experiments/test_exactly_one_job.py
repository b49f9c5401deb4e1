"""A submit whose answer is lost costs exactly one job; the books of the service are the witness."""

from __future__ import annotations

from unittest import mock

import pytest

from include.errors import RetryableError
from include.search.trial import TrialState
from include.store import ExperimentStore
from tests.support.sandboxed import control

from .conftest import Installation, World

SUBMIT = {"service": "odps", "method": "POST", "path": r"/instances\b"}


@pytest.fixture
def waiting(world: World) -> World:
    """A cloud without a free place: jobs are accepted and wait."""
    world.set(capacity=0)
    return world


@pytest.fixture
def opened(waiting: World) -> Installation:
    installation = waiting.install()
    installation.open(trials=1)
    return installation


@pytest.fixture(params=[True, False], ids=["the service knows Guid", "the service ignores Guid"])
def guid(waiting: World, request: pytest.FixtureRequest) -> bool:
    waiting.set(guid_dedup=request.param)
    return bool(request.param)


def submits(installation: Installation) -> list[str]:
    """What the service's ledger says of this installation's submits."""
    guids = {job["guid"] for job in installation.jobs()}
    return [e["event"] for e in installation.world.books()["ledger"] if e.get("guid") in guids]


def injected(world: World) -> dict[str, int]:
    """What really went wrong: a fault that hits nothing proves nothing."""
    found: dict[str, int] = control(world.endpoints, "faults")["injected"]
    return found


def check_the_one_job(installation: Installation) -> None:
    [job], [step] = installation.jobs(), installation.steps()
    assert step.job_id == job["id"]
    assert step.submission_key == job["guid"]
    assert installation.store.trial(installation.experiment, 0).state is TrialState.SUBMITTED


def test_an_answer_lost_after_the_job_began_is_looked_up(opened: Installation, guid: bool) -> None:
    opened.world.fault(**SUBMIT, kind="reset_after_commit")

    opened.start()

    assert injected(opened.world) == {"odps.reset_after_commit": 1}
    check_the_one_job(opened)
    assert submits(opened) == ["submitted"]  # found, not sent again


def test_a_request_lost_before_the_job_began_is_sent_again(opened: Installation, guid: bool) -> None:
    opened.world.fault(**SUBMIT, kind="reset_before")

    opened.start()

    assert injected(opened.world) == {"odps.reset_before": 1}
    check_the_one_job(opened)
    assert submits(opened) == ["submitted"]


def test_a_gateways_error_after_which_nobody_knows_is_looked_up(opened: Installation, guid: bool) -> None:
    opened.world.fault(**SUBMIT, kind="status", status=504, body="<html>Gateway Time-out</html>")

    opened.start()

    assert injected(opened.world) == {"odps.status": 1}
    check_the_one_job(opened)


def test_a_process_that_dies_before_it_has_the_answer_leaves_one_job(
    opened: Installation, guid: bool
) -> None:
    with (
        mock.patch.object(ExperimentStore, "record_job", autospec=True, side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        opened.start()
    assert opened.steps()[0].job_id is None

    opened.start()

    check_the_one_job(opened)
    assert submits(opened) == ["submitted"]


def test_a_service_that_never_answers_is_retryable_and_the_next_try_finds_the_job(
    opened: Installation, guid: bool
) -> None:
    """All answers are lost and the look-ups fail too: the worst case."""
    opened.world.fault(**SUBMIT, kind="reset_after_commit", count=9)
    opened.world.fault(service="odps", method="GET", path="/instances", kind="status", count=30)
    with pytest.raises(RetryableError):
        opened.start()
    control(opened.world.endpoints, "faults", method="DELETE")
    assert len(opened.jobs()) == 1

    opened.start()

    check_the_one_job(opened)
