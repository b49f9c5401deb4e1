"""Faults on request, many clients at once, and Airflow's own hooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import oss2
import pytest
import requests
from odps import ODPS, errors

from include.sandbox import Endpoints, Sandbox

from .conftest import connect, control, train, wait_until


def test_a_server_error_happens_as_often_as_asked(bucket: oss2.Bucket, inject: Callable[..., Any]) -> None:
    bucket.put_object("a", b"x")
    inject(service="oss", kind="status", status=503, code="ServiceUnavailable", path="/a", count=2)
    for _ in range(2):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.get_object("a")
        assert (caught.value.status, caught.value.code) == (503, "ServiceUnavailable")
    assert bucket.get_object("a").read() == b"x"


def test_the_sandboxs_own_door_knows_no_faults(
    odps: ODPS, endpoints: Endpoints, inject: Callable[..., Any]
) -> None:
    inject(service="odps", kind="reset_before")
    assert control(endpoints, "GET", "/books")["instances"] == []
    with pytest.raises(requests.ConnectionError):
        train(odps)


def test_throttling_comes_as_each_service_says_it(
    bucket: oss2.Bucket, odps: ODPS, inject: Callable[..., Any]
) -> None:
    inject(service="oss", kind="throttle")
    inject(service="odps", kind="throttle", path="/tables/t")
    with pytest.raises(oss2.exceptions.ServerError, match="QpsLimitExceeded"):
        bucket.put_object("a", b"x")
    with pytest.raises(errors.ODPSError) as caught:
        odps.exist_table("t")
    assert caught.value.status_code == 429


def test_a_submit_whose_answer_is_lost_has_started_a_job(
    odps: ODPS, endpoints: Endpoints, inject: Callable[..., Any]
) -> None:
    inject(service="odps", kind="reset_after_commit", method="POST", path="/instances")
    with pytest.raises(requests.ConnectionError):
        train(odps)
    assert len(control(endpoints, "GET", "/books")["instances"]) >= 1


def test_a_submit_that_is_reset_before_it_arrives_has_started_nothing(
    odps: ODPS, endpoints: Endpoints, inject: Callable[..., Any]
) -> None:
    inject(service="odps", kind="reset_before", method="POST", path="/instances")
    with pytest.raises(requests.ConnectionError):
        train(odps)
    assert control(endpoints, "GET", "/books")["instances"] == []


def test_a_put_whose_answer_is_lost_has_written_the_object(
    bucket: oss2.Bucket, inject: Callable[..., Any]
) -> None:
    inject(service="oss", kind="reset_after_commit", method="PUT")
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object("a", b"x", headers={"x-oss-forbid-overwrite": "true"})
    with pytest.raises(oss2.exceptions.ServerError, match="FileAlreadyExists"):
        bucket.put_object("a", b"x", headers={"x-oss-forbid-overwrite": "true"})


def test_a_body_can_be_cut_and_an_answer_can_be_slow(
    endpoints: Endpoints, bucket: oss2.Bucket, inject: Callable[..., Any]
) -> None:
    bucket.put_object("a", b"x" * 100_000)
    inject(service="oss", kind="cut_body", method="GET")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="50000 bytes read"):
        bucket.get_object("a").read()
    inject(service="oss", kind="slow", seconds=30, method="GET")
    impatient = oss2.Bucket(
        bucket.auth, endpoints.oss, endpoints.bucket, region="cn-sandbox", connect_timeout=0.2
    )
    with pytest.raises(oss2.exceptions.RequestError, match="timed out"):
        impatient.get_object("a")


def test_a_gateways_html_page_can_stand_in_for_an_answer(odps: ODPS, inject: Callable[..., Any]) -> None:
    page = "<html><h1>502 Bad Gateway</h1></html>"
    inject(service="odps", kind="status", status=500, body=page, path="/tables/t")
    with pytest.raises(errors.ODPSError, match="Bad Gateway"):
        odps.exist_table("t")


def test_injected_faults_are_counted_and_can_be_taken_back(
    endpoints: Endpoints, bucket: oss2.Bucket, inject: Callable[..., Any]
) -> None:
    inject(service="oss", kind="throttle", count=3)
    with pytest.raises(oss2.exceptions.ServerError):
        bucket.get_object("a")
    state = control(endpoints, "GET", "/faults")
    assert state["injected"] == {"oss.status": 1}
    assert state["waiting"][0]["count"] == 2
    assert control(endpoints, "DELETE", "/faults") == {"injected": {}, "waiting": []}
    bucket.put_object("a", b"x")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"service": "oss", "kind": "slo", "seconds": 1}, "did you mean slow"),
        ({"service": "os", "kind": "slow"}, "did you mean oss"),
        ({"service": "oss", "kind": "slow", "secnds": 1}, "did you mean seconds"),
        ({"service": "oss", "kind": "slow", "path": "("}, "regular expression"),
        ({"service": "oss", "kind": "slow", "count": 0}, "1 or more"),
        ({"service": "oss", "kind": "slow", "seconds": "1"}, "give a float"),
        ({"service": ["oss"], "kind": "slow"}, "give a str"),
        ({"kind": "slow"}, "needs a service"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_the_nearest_word(
    endpoints: Endpoints, fault: dict[str, Any], says: str
) -> None:
    answer = requests.post(endpoints.control + "/faults", json=fault, timeout=10)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_job_faults_reach_the_trainer_of_the_right_job(
    odps: ODPS, sandbox: Sandbox, inject: Callable[..., Any]
) -> None:
    inject(service="job", kind="job_fail", path="/bad/", options={"step": 5})
    good, bad, later = (
        train(odps, model_dir=f"oss://sandbox-bucket/{name}/") for name in ("good", "bad", "bad")
    )
    for job in (good, bad, later):
        wait_until(job.is_terminated)

    def given(job: Any) -> Any:
        return json.loads((sandbox.folder / "jobs" / job.id / "job.json").read_bytes())["faults"]

    assert (given(good), given(bad), given(later)) == ([], [{"kind": "job_fail", "step": 5}], [])


def test_fifty_clients_at_once_are_served(endpoints: Endpoints) -> None:
    everyone = threading.Barrier(50)

    def work(number: int) -> bytes:
        client = connect(endpoints)
        auth = oss2.AuthV4(endpoints.access_key_id, endpoints.access_key_secret)
        bucket = oss2.Bucket(auth, endpoints.oss, endpoints.bucket, region="cn-sandbox")
        everyone.wait(30)
        for _ in range(3):
            assert client.exist_project("sandbox")
            bucket.put_object(f"k/{number}", str(number).encode())
        found: bytes = bucket.get_object(f"k/{number}").read()
        return found

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(work, range(50))) == [str(number).encode() for number in range(50)]


def test_concurrent_appends_and_conditional_puts_have_one_winner(endpoints: Endpoints) -> None:
    everyone = threading.Barrier(8)
    auth = oss2.AuthV4(endpoints.access_key_id, endpoints.access_key_secret)

    def work(number: int) -> list[int]:
        bucket = oss2.Bucket(auth, endpoints.oss, endpoints.bucket, region="cn-sandbox")
        everyone.wait(30)
        once = {"x-oss-forbid-overwrite": "true"}
        calls: list[Callable[[], Any]] = [
            lambda: bucket.append_object("log", 0, b"x"),
            lambda: bucket.put_object("marker", b"x", headers=once),
        ]
        return [status_of(call) for call in calls]

    def status_of(call: Callable[[], Any]) -> int:
        try:
            return int(call().status)
        except oss2.exceptions.ServerError as error:
            return int(error.status)

    with ThreadPoolExecutor(8) as pool:
        appends, puts = zip(*pool.map(work, range(8)), strict=True)
    assert sorted(appends) == sorted(puts) == [200] + [409] * 7


# -- Airflow's hooks --------------------------------------------------------------------------------


@pytest.fixture
def connections(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"access_key_id": endpoints.access_key_id, "access_key_secret": endpoints.access_key_secret}
    maxcompute = {**keys, "project": endpoints.project, "endpoint": endpoints.maxcompute}
    oss = {**keys, "auth_type": "AK", "region": "cn-sandbox", "endpoint": endpoints.oss}
    for name, extra in {"maxcompute": maxcompute, "oss": oss}.items():
        value = json.dumps({"conn_type": name, "extra": extra})
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", value)


@pytest.mark.usefixtures("connections")
def test_the_providers_maxcompute_hook_runs_and_stops_jobs(odps: ODPS, tmp_path: Path) -> None:
    hooks = pytest.importorskip("airflow.providers.alibaba.cloud.hooks.maxcompute")
    hook = hooks.MaxComputeHook()
    client = hook.get_client(project=hook.project, endpoint=hook.endpoint)
    assert client.exist_project("sandbox")
    job = train(odps, gate=str(tmp_path / "never"))
    assert not hook.get_instance(instance_id=job.id).is_terminated()
    hook.stop_instance(instance_id=job.id)
    assert hook.get_instance(instance_id=job.id).is_terminated()


@pytest.mark.usefixtures("connections")
def test_the_providers_oss_hook_reads_and_writes(endpoints: Endpoints, tmp_path: Path) -> None:
    hooks = pytest.importorskip("airflow.providers.alibaba.cloud.hooks.oss")
    hook = hooks.OSSHook()
    hook.load_string("a/b.txt", "text", endpoints.bucket)
    assert hook.object_exists("a/b.txt", endpoints.bucket)
    assert not hook.object_exists("a/c.txt", endpoints.bucket)
    assert hook.read_key(endpoints.bucket, "a/b.txt") in ("text", b"text")
    hook.append_string(endpoints.bucket, "abc", "log", 0)
    hook.download_file("a/b.txt", str(tmp_path / "b.txt"), endpoints.bucket)
    assert (tmp_path / "b.txt").read_text() == "text"
    hook.delete_objects(["a/b.txt", "log"], endpoints.bucket)
    assert not hook.key_exist(endpoints.bucket, "a/b.txt")
