"""Every JobService behaves so: the fake that other tests use, and pyodps against the sandbox's MaxCompute."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from odps import ODPS

from include.adapters.maxcompute import MaxComputeJobs
from include.errors import (
    AccessError,
    NotFoundError,
    OutcomeUnknownError,
    PermanentError,
    RetryableError,
)
from include.ports import JobPayload, JobService, JobState, JobStatus
from include.sandbox import Endpoints
from tests.support.fakes import MemoryJobs
from tests.support.sandboxed import QUICK, control, maxcompute_credentials, running_sandbox

THEIRS = str(uuid.uuid4())


def just_now() -> datetime:
    """The service tells times to the second."""
    return datetime.now(timezone.utc) - timedelta(seconds=1)


class MemoryWorld:
    def __init__(self, folder: Path) -> None:
        self.fake = MemoryJobs()
        self.jobs: JobService = self.fake
        self.store, self.since = str(uuid.uuid4()), just_now()

    def payload(self) -> JobPayload:
        return JobPayload("easy_rec_ext", "algo_public", {"cmd": "train"})

    def hold(self) -> None:
        """Jobs submitted from now on wait for room."""

    def make_room(self) -> None:
        for job_id in self.fake.jobs:
            self.fake.run(job_id)

    def started(self, job_id: str) -> None:
        self.fake.run(job_id)

    def succeed(self, job_id: str) -> None:
        self.fake.succeed(job_id)

    def fail(self, job_id: str) -> None:
        self.fake.fail(job_id)

    def lose_answer(self) -> None:
        self.fake.lose_answer()

    def lose_request(self) -> None:
        self.fake.lose_request()

    def count(self) -> int:
        return len(self.fake.jobs)

    def running(self) -> list[str]:
        return []


class SandboxWorld:
    def __init__(self, folder: Path, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.folder = folder
        self.jobs: JobService = MaxComputeJobs(maxcompute_credentials(endpoints), retries=QUICK)
        self.store, self.since = str(uuid.uuid4()), just_now()
        self.numbers = iter(range(100))
        self.before = self._xflows()

    def payload(self) -> JobPayload:
        number = next(self.numbers)
        parameters = {
            "cmd": "train",
            "arn": "acs:ram::1:role/x",
            "buckets": f"oss://{self.endpoints.bucket}/",
            "model_dir": f"oss://{self.endpoints.bucket}/{self.folder.name}/{number}",
            "gate": str(self.folder / f"gate{number}"),
            "cluster": '{"worker":{"count":3}}',
            "odd": "<&>\"' 中文",
        }
        return JobPayload("easy_rec_ext", "algo_public", parameters)

    def hold(self) -> None:
        control(self.endpoints, "settings", {"capacity": 0})

    def make_room(self) -> None:
        control(self.endpoints, "settings", {"capacity": 4})

    def started(self, job_id: str) -> None:
        """It starts by itself."""

    def succeed(self, job_id: str) -> None:
        self._open(job_id, "0")

    def fail(self, job_id: str) -> None:
        self._open(job_id, "3")

    def lose_answer(self) -> None:
        self._fault("reset_after_commit")

    def lose_request(self) -> None:
        self._fault("reset_before")

    def count(self) -> int:
        return self._xflows() - self.before

    def running(self) -> list[str]:
        return [i["id"] for i in self._instances() if i["status"] == "Running"]

    def _open(self, job_id: str, code: str) -> None:
        [gate] = [i["parameters"]["gate"] for i in self._instances() if i["id"] == job_id]
        Path(gate).with_suffix(".new").write_text(code)
        Path(gate).with_suffix(".new").rename(gate)

    def _fault(self, kind: str) -> None:
        control(
            self.endpoints,
            "faults",
            {"service": "odps", "kind": kind, "method": "POST", "path": "/instances"},
        )

    def _xflows(self) -> int:
        return sum(1 for i in self._instances() if i["parameters"])

    def _instances(self) -> list[dict]:
        found: list[dict] = control(self.endpoints, "books")["instances"]
        return found


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    with running_sandbox(tmp_path_factory.mktemp("mc")) as sandbox:
        yield sandbox.endpoints


@pytest.fixture
def real(endpoints: Endpoints, tmp_path: Path) -> Iterator[SandboxWorld]:
    control(endpoints, "faults", method="DELETE")
    control(endpoints, "settings", {"capacity": 4, "guid_dedup": True, "page_size": 50})
    world = SandboxWorld(tmp_path, endpoints)
    yield world
    control(endpoints, "faults", method="DELETE")
    for job_id in world.running():
        world.jobs.stop(job_id)


@pytest.fixture(params=["memory", "pyodps"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryWorld | SandboxWorld:
    if request.param == "memory":
        return MemoryWorld(tmp_path)
    sandbox: SandboxWorld = request.getfixturevalue("real")
    return sandbox


def submit(
    world: MemoryWorld | SandboxWorld, key: str = "", payload: JobPayload | None = None, store: str = ""
) -> str:
    return world.jobs.submit(
        payload or world.payload(), submission_key=key or str(uuid.uuid4()), store_uuid=store or world.store
    )


def wait_for(world: MemoryWorld | SandboxWorld, job_id: str, state: JobState) -> JobStatus:
    deadline = time.monotonic() + 20
    while (status := world.jobs.status(job_id)).state is not state:
        assert not status.state.is_terminal, status
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    return status


def test_a_check_names_the_project_and_starts_nothing(world: MemoryWorld | SandboxWorld) -> None:
    assert world.jobs.check() == "sandbox"
    assert world.count() == 0


def test_a_job_waits_runs_and_succeeds(world: MemoryWorld | SandboxWorld) -> None:
    world.hold()
    job_id = submit(world)
    waiting = world.jobs.status(job_id)
    assert waiting.state is JobState.WAITING
    assert waiting.ended_at is None
    world.make_room()
    running = wait_for(world, job_id, JobState.RUNNING)
    assert "train" in running.sub_instances
    world.succeed(job_id)
    done = wait_for(world, job_id, JobState.SUCCEEDED)
    assert done.ended_at is not None
    assert done.message == ""


def test_the_time_in_the_queue_is_no_training_time(world: MemoryWorld | SandboxWorld) -> None:
    world.hold()
    job_id = submit(world)
    submitted = datetime.now(timezone.utc)
    while (room := datetime.now(timezone.utc).replace(microsecond=0)) <= submitted:
        time.sleep(0.02)  # the service tells times to the second
    world.make_room()
    started = wait_for(world, job_id, JobState.RUNNING).started_at
    assert started is not None
    assert started >= room
    world.succeed(job_id)
    assert wait_for(world, job_id, JobState.SUCCEEDED).started_at == started
    if isinstance(world, SandboxWorld):  # somebody who comes later learns the same
        assert MaxComputeJobs(maxcompute_credentials(world.endpoints)).status(job_id).started_at == started


def test_a_job_that_fails_says_why(world: MemoryWorld | SandboxWorld) -> None:
    job_id = submit(world)
    world.started(job_id)
    world.fail(job_id)
    assert wait_for(world, job_id, JobState.FAILED).message


def test_the_same_key_never_starts_a_second_job(world: MemoryWorld | SandboxWorld) -> None:
    key = str(uuid.uuid4())
    first, second = submit(world, key), submit(world, key)
    assert first == second
    assert submit(world) != first
    assert world.count() == 2


def test_a_lost_answer_is_resolved_by_look_up(world: MemoryWorld | SandboxWorld) -> None:
    key, since = str(uuid.uuid4()), world.since
    payload = world.payload()
    world.lose_answer()
    with pytest.raises(OutcomeUnknownError):
        submit(world, key, payload)
    found = world.jobs.find(submission_key=key, store_uuid=world.store, since=since)
    assert found is not None
    assert submit(world, key, payload) == found
    assert world.count() == 1


def test_a_request_that_never_arrived_leaves_nothing_to_find(world: MemoryWorld | SandboxWorld) -> None:
    key = str(uuid.uuid4())
    world.lose_request()
    with pytest.raises(OutcomeUnknownError):
        submit(world, key)
    assert world.jobs.find(submission_key=key, store_uuid=world.store, since=world.since) is None
    assert world.count() == 0


def test_a_job_is_found_by_its_key_store_and_time_only(world: MemoryWorld | SandboxWorld) -> None:
    key = str(uuid.uuid4())
    job_id = submit(world, key)
    jobs, future = world.jobs, datetime.now(timezone.utc) + timedelta(hours=1)
    assert jobs.find(submission_key=key, store_uuid=world.store, since=world.since) == job_id
    assert jobs.find(submission_key=key, store_uuid=THEIRS, since=world.since) is None
    assert jobs.find(submission_key=str(uuid.uuid4()), store_uuid=world.store, since=world.since) is None
    assert jobs.find(submission_key=key, store_uuid=world.store, since=future) is None


def test_stopping_ends_the_job_and_its_parts_and_may_be_repeated(
    world: MemoryWorld | SandboxWorld,
) -> None:
    job_id = submit(world)
    world.started(job_id)
    wait_for(world, job_id, JobState.RUNNING)
    world.jobs.stop(job_id)
    assert world.jobs.status(job_id).state is JobState.CANCELLED
    assert world.running() == []
    world.jobs.stop(job_id)
    assert world.jobs.status(job_id).state is JobState.CANCELLED


def test_a_waiting_job_can_be_stopped(world: MemoryWorld | SandboxWorld) -> None:
    world.hold()
    job_id = submit(world)
    world.jobs.stop(job_id)
    world.make_room() if isinstance(world, SandboxWorld) else None
    assert world.jobs.status(job_id).state is JobState.CANCELLED


def test_stopping_what_has_succeeded_changes_nothing(world: MemoryWorld | SandboxWorld) -> None:
    job_id = submit(world)
    world.started(job_id)
    world.succeed(job_id)
    wait_for(world, job_id, JobState.SUCCEEDED)
    world.jobs.stop(job_id)
    assert world.jobs.status(job_id).state is JobState.SUCCEEDED


def test_only_this_stores_jobs_are_listed(world: MemoryWorld | SandboxWorld) -> None:
    key = str(uuid.uuid4())
    mine, other = submit(world, key), submit(world, store=THEIRS)
    world.started(mine)
    wait_for(world, mine, JobState.RUNNING)
    owned = {j.job_id: j for j in world.jobs.list_owned(store_uuid=world.store, since=world.since)}
    assert other not in owned
    assert (owned[mine].submission_key, owned[mine].state) == (key, JobState.RUNNING)
    assert owned[mine].started_at is not None
    world.jobs.stop(other)


def test_only_jobs_that_have_not_ended_are_listed_when_asked(world: MemoryWorld | SandboxWorld) -> None:
    world.hold()
    waiting, stopped = submit(world), submit(world)
    world.jobs.stop(stopped)

    def listed(**wanted: bool) -> set[str]:
        found = world.jobs.list_owned(store_uuid=world.store, since=world.since, **wanted)
        return {job.job_id for job in found}

    assert listed() == {waiting, stopped}
    assert listed(unended=True) == {waiting}
    world.jobs.stop(waiting)


def test_links_are_given_for_the_job_and_its_parts(world: MemoryWorld | SandboxWorld) -> None:
    job_id = submit(world)
    world.started(job_id)
    wait_for(world, job_id, JobState.RUNNING)
    links = world.jobs.logview(job_id, hours=2)
    assert set(links) == {"job", "train"}
    assert job_id in links["job"]


def test_an_unknown_job_is_not_found(world: MemoryWorld | SandboxWorld) -> None:
    for call in (world.jobs.status, world.jobs.stop, world.jobs.logview):
        with pytest.raises(NotFoundError):
            call("20240101000000000gnosuchjob")


# What only the real client can show.


def fault(real: SandboxWorld, kind: str, **options: object) -> None:
    control(real.endpoints, "faults", {"service": "odps", "kind": kind, "path": "^/api/", **options})


def test_a_service_that_ignores_guids_is_covered_by_the_look_up(real: SandboxWorld) -> None:
    control(real.endpoints, "settings", {"guid_dedup": False, "page_size": 2})
    key = str(uuid.uuid4())
    for _ in range(3):
        submit(real)
    real.lose_answer()
    with pytest.raises(OutcomeUnknownError):
        submit(real, key)
    assert real.jobs.find(submission_key=key, store_uuid=real.store, since=real.since) is not None
    assert real.count() == 4


def test_the_payload_arrives_as_it_was_rendered(real: SandboxWorld) -> None:
    payload = real.payload()
    job_id = submit(real, payload=payload)
    [got] = [i for i in control(real.endpoints, "books")["instances"] if i["id"] == job_id]
    assert got["parameters"] == payload.parameters
    e = real.endpoints
    odps = ODPS(e.access_key_id, e.access_key_secret, e.project, e.maxcompute, overwrite_global=False)
    source = odps.get_project().xflows.get_xflow_source(odps.get_instance(job_id)).decode()
    places = [source.index(f"<{name}>") for name in ("Project", "Xflow", "Parameters", "Guid", "Config")]
    assert places == sorted(places)


@pytest.mark.parametrize("kind", ["status", "throttle", "reset_before", "reset_after_commit", "cut_body"])
@pytest.mark.parametrize("call", ["status", "find", "stop", "list_owned"])
def test_passing_trouble_is_waited_out(real: SandboxWorld, call: str, kind: str) -> None:
    key = str(uuid.uuid4())
    job_id = submit(real, key)
    fault(real, kind, count=2)
    calls = {
        "status": lambda: real.jobs.status(job_id),
        "find": lambda: real.jobs.find(submission_key=key, store_uuid=real.store, since=real.since),
        "stop": lambda: real.jobs.stop(job_id),
        "list_owned": lambda: real.jobs.list_owned(store_uuid=real.store, since=real.since),
    }
    calls[call]()
    assert control(real.endpoints, "faults")["waiting"] == []


@pytest.mark.parametrize("kind", ["status", "reset_before", "reset_after_commit"])
def test_a_submit_whose_outcome_is_unknown_is_never_sent_again(real: SandboxWorld, kind: str) -> None:
    fault(real, kind, method="POST", path="/instances", count=5)
    with pytest.raises(OutcomeUnknownError):
        submit(real)
    assert sum(control(real.endpoints, "faults")["injected"].values()) == 1


def test_a_submit_that_was_refused_for_its_rate_is_sent_again(real: SandboxWorld) -> None:
    fault(real, "throttle", method="POST", path="/instances", count=2)
    submit(real)
    assert real.count() == 1


def test_trouble_that_stays_is_retryable_after_a_few_attempts(real: SandboxWorld) -> None:
    job_id = submit(real)
    fault(real, "status", count=50)
    with pytest.raises(RetryableError, match=job_id):
        real.jobs.status(job_id)
    assert control(real.endpoints, "faults")["injected"] == {"odps.status": QUICK.attempts}
    control(real.endpoints, "faults", method="DELETE")


def test_an_unknown_xflow_is_permanent(real: SandboxWorld) -> None:
    with pytest.raises(PermanentError) as caught:
        submit(real, payload=JobPayload("no_such_xflow", "algo_public", {"cmd": "train"}))
    assert "no_such_xflow" in str(caught.value)


@pytest.mark.parametrize("change", ["access_key_id", "access_key_secret"])
def test_a_wrong_key_is_an_access_error_that_shows_no_key(real: SandboxWorld, change: str) -> None:
    jobs = MaxComputeJobs(maxcompute_credentials(real.endpoints, **{change: "wrong-key"}), retries=QUICK)
    with pytest.raises(AccessError, match=f"check {change} of the MaxCompute connection") as caught:
        jobs.submit(real.payload(), submission_key=str(uuid.uuid4()), store_uuid=real.store)
    assert "wrong-key" not in str(caught.value)
    with pytest.raises(AccessError):
        jobs.find(submission_key="x", store_uuid=real.store, since=real.since)


def test_a_check_finds_a_wrong_project_and_keys_that_may_list_nothing(real: SandboxWorld) -> None:
    elsewhere = MaxComputeJobs(maxcompute_credentials(real.endpoints, project="nowhere"), retries=QUICK)
    with pytest.raises(NotFoundError, match=r"maxcompute_default.*no MaxCompute project nowhere"):
        elsewhere.check()
    fault(real, "status", path="/instances", status=403, code="NoPermission", message="ODPS-0420095: no")
    with pytest.raises(AccessError, match="list of instances"):
        real.jobs.check()


def test_temporary_keys_work(real: SandboxWorld) -> None:
    keys = {k: str(v) for k, v in control(real.endpoints, "sts", {}).items() if k != "expires"}
    jobs = MaxComputeJobs(maxcompute_credentials(real.endpoints, **keys), retries=QUICK)
    assert jobs.list_owned(store_uuid=str(uuid.uuid4()), since=real.since) == []


def test_a_dead_endpoint_costs_nothing_until_it_is_used_and_nothing_was_sent(real: SandboxWorld) -> None:
    dead = maxcompute_credentials(real.endpoints, endpoint="http://127.0.0.1:9/api")
    jobs = MaxComputeJobs(dead, retries=QUICK)
    with pytest.raises(RetryableError, match="can't be reached") as caught:
        jobs.submit(real.payload(), submission_key=str(uuid.uuid4()), store_uuid=real.store)
    assert not isinstance(caught.value, OutcomeUnknownError)


def test_a_poll_of_a_running_job_costs_two_requests(real: SandboxWorld) -> None:
    job_id = submit(real)
    wait_for(real, job_id, JobState.RUNNING)
    control(real.endpoints, "requests", method="DELETE")
    real.jobs.status(job_id)
    asked = [r["path"] for r in control(real.endpoints, "requests") if r["path"].startswith("/api/")]
    assert len(asked) == 2, asked


def test_training_begins_when_the_part_that_trains_does_not_when_the_job_was_queued(
    real: SandboxWorld,
) -> None:
    real.hold()
    job_id = submit(real)
    queued = books(real)[job_id]["started"]
    deadline = time.monotonic() + 5
    while int(time.time()) <= int(queued) and time.monotonic() < deadline:  # times are told in seconds
        time.sleep(0.02)
    real.make_room()

    running = wait_for(real, job_id, JobState.RUNNING)
    real.succeed(job_id)
    ended = wait_for(real, job_id, JobState.SUCCEEDED)

    began = int(books(real)[running.sub_instances["train"]]["started"])
    assert running.started_at == ended.started_at == datetime.fromtimestamp(began, timezone.utc)
    unseen = MaxComputeJobs(maxcompute_credentials(real.endpoints), retries=QUICK).status(job_id)
    assert unseen.started_at == ended.started_at


def books(real: SandboxWorld) -> dict[str, dict]:
    return {i["id"]: i for i in control(real.endpoints, "books")["instances"]}
