"""MaxCompute's side of the sandbox, through the real pyodps."""

from __future__ import annotations

import json
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from odps import ODPS, errors
from odps.accounts import StsAccount

from include.adapters.pyodps_client import submission_xml
from include.ports import JobPayload
from include.sandbox import Endpoints, Sandbox

from .conftest import connect, control, train, wait_until


def submit(odps: ODPS, guid: str, **parameters: str) -> Any:
    """As our client does it: pyodps's own model knows no Guid; the service does."""
    payload = JobPayload("easy_rec_ext", "algo_public", {"arn": "a", "buckets": "b", **parameters})
    xml = submission_xml(payload, submission_key=guid, token=guid)
    return odps.get_project().instances.create(xml=xml)


# -- who may ----------------------------------------------------------------------------------------


def test_an_existing_project_is_found_and_another_one_is_not(odps: ODPS) -> None:
    assert odps.exist_project("sandbox")
    assert not odps.exist_project("nope")


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_a_wrong_key_or_secret_is_refused_as_the_service_does(endpoints: Endpoints, wrong: str) -> None:
    key = "LTAIwrong" if wrong == "key" else endpoints.access_key_id
    secret = "wrong" if wrong == "secret" else endpoints.access_key_secret
    client = ODPS(key, secret, endpoints.project, endpoints.maxcompute)
    with pytest.raises(errors.ODPSError) as caught:
        client.exist_table("t")
    assert caught.value.status_code == 401
    assert ("ODPS-0410051" if wrong == "key" else "ODPS-0410042") in str(caught.value)


def test_the_newer_signature_is_checked_too(endpoints: Endpoints) -> None:
    assert connect(endpoints, region_name="cn-sandbox").exist_project("sandbox")
    wrong = ODPS(endpoints.access_key_id, "x", "sandbox", endpoints.maxcompute, region_name="cn-sandbox")
    with pytest.raises(errors.ODPSError, match="ODPS-0410042"):
        wrong.exist_table("t")


def test_temporary_credentials_work_until_they_expire(endpoints: Endpoints) -> None:
    def client(seconds: float, token: str | None = None) -> ODPS:
        keys = control(endpoints, "POST", "/sts", {"seconds": seconds})
        account = StsAccount(
            keys["access_key_id"], keys["access_key_secret"], token or keys["security_token"]
        )
        return ODPS(account=account, project=endpoints.project, endpoint=endpoints.maxcompute)

    assert client(60).exist_project("sandbox")
    for bad in (client(-1), client(60, token="other")):
        with pytest.raises(errors.ODPSError, match="ODPS-0410051"):
            bad.exist_table("t")


def test_a_clock_that_is_wrong_by_an_hour_is_refused(odps: ODPS, monkeypatch: pytest.MonkeyPatch) -> None:
    late = time.time() - 3600
    monkeypatch.setattr(
        "odps.utils.formatdate", lambda **_: time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(late))
    )
    with pytest.raises(errors.ODPSError, match="ODPS-0410031"):
        odps.exist_table("t")


# -- jobs -------------------------------------------------------------------------------------------


def test_a_job_succeeds_with_its_training_as_a_sub_instance(odps: ODPS) -> None:
    job = train(odps, model_dir="oss://sandbox-bucket/m/")
    wait_until(job.is_terminated)
    assert job.is_successful()
    subs = odps.get_xflow_sub_instances(job)
    assert list(subs) == ["train"]
    assert subs["train"].get_task_names() == ["train"]
    assert "last words" in subs["train"].get_task_result("train")
    assert odps.get_xflow_results(job)["train"].instance_id == subs["train"].id


def test_a_job_that_exits_with_an_error_fails_and_says_what_it_wrote(odps: ODPS) -> None:
    job = train(odps, code="3")
    with pytest.raises(errors.ODPSError, match="ended with code 3") as caught:
        job.wait_for_success(interval=0.02)
    assert "last words" in str(caught.value)
    assert job.get_task_statuses()["AnonymousXFlowTask"].status.value == "FAILED"


def test_parameters_come_to_the_job_as_they_were_given(odps: ODPS, sandbox: Sandbox) -> None:
    odd = '\'<&> "漢字" %26 {a: 1}'
    job = train(odps, edit_config_json=odd, script="oss://b/x.tar.gz")
    wait_until(job.is_terminated)
    seen = json.loads((sandbox.folder / "jobs" / job.id / "job.json").read_bytes())
    assert seen["parameters"]["edit_config_json"] == odd
    assert Path(seen["oss_root"]) == sandbox.buckets.root


def test_the_same_guid_is_the_same_job_and_the_second_body_is_ignored(odps: ODPS, sandbox: Sandbox) -> None:
    guid = str(uuid.uuid4())
    first = submit(odps, guid, model_dir="oss://sandbox-bucket/first/")
    again = submit(odps, guid, model_dir="oss://sandbox-bucket/second/")
    assert again.id == first.id
    assert submit(odps, str(uuid.uuid4())).id != first.id
    trained = control(sandbox.endpoints, "GET", "/books")["instances"]
    assert [each["parameters"].get("model_dir") for each in trained if each["guid"] == guid] == [
        "oss://sandbox-bucket/first/"
    ]


def test_a_service_that_ignores_guids_can_be_imitated(odps: ODPS, endpoints: Endpoints) -> None:
    control(endpoints, "POST", "/settings", {"guid_dedup": False})
    guid = str(uuid.uuid4())
    assert submit(odps, guid).id != submit(odps, guid).id


def test_a_job_can_be_found_by_the_settings_it_was_sent_with(odps: ODPS) -> None:
    token = str(uuid.uuid4())
    hints = {"settings": json.dumps({"EXT_TASK_ID": token})}
    parameters = {"arn": "a", "buckets": "b"}
    job = odps.run_xflow("easy_rec_ext", "algo_public", parameters=parameters, hints=hints)
    assert token.encode() in odps.get_project().xflows.get_xflow_source(job)


def test_an_unknown_xflow_or_a_missing_parameter_is_refused_before_anything_runs(
    odps: ODPS, endpoints: Endpoints
) -> None:
    with pytest.raises(errors.NoSuchObject, match="XFlow not found"):
        odps.run_xflow("easy_rec", "algo_public", parameters={"arn": "a", "buckets": "b"})
    with pytest.raises(errors.ODPSError, match="arn") as caught:
        odps.run_xflow("easy_rec_ext", "algo_public", parameters={"buckets": "b"})
    assert caught.value.status_code == 400
    with pytest.raises(errors.ODPSError, match="maxTrainingTimeInHour"):
        train(odps, maxTrainingTimeInHour="soon")
    assert control(endpoints, "GET", "/books")["instances"] == []


def test_an_instance_nobody_knows_is_not_found(odps: ODPS) -> None:
    with pytest.raises(errors.NoSuchObject):
        odps.get_instance("20240101000000000gdeadbeef").reload()


def test_every_question_of_pyodps_about_an_instance_has_an_answer(odps: ODPS, tmp_path: Path) -> None:
    job = train(odps, gate=str(tmp_path / "gate"))
    sub = wait_until(lambda: odps.get_xflow_sub_instances(job).get("train"))
    assert sub.get_task_detail("train")["Instance"] == "Running"
    assert sub.get_task_detail2("train")
    assert "Cost" in sub.get_task_summary("train")
    assert "train" in str(sub.get_task_progress("train").get_stage_progress_formatted_string())
    wait_until(lambda: "training in process" in sub.get_worker_log("x", "stdout"))
    assert job.status.value == "Running"
    (tmp_path / "gate").touch()
    assert [name for name, _ in odps.iter_xflow_sub_instances(job, interval=0.02)] == ["train"]


def test_a_logview_link_shows_the_log_without_a_signature(odps: ODPS, endpoints: Endpoints) -> None:
    job = train(odps)
    wait_until(job.is_terminated)

    def link(hours: float) -> str:
        # pyodps remembers the first LogView host that its process ever saw.
        made = odps.get_logview_address(job.id, hours, use_legacy=True)
        return endpoints.maxcompute.replace("/api", "/logview-host/logview/?") + made.partition("?")[2]

    assert "last words" in requests.get(link(1), timeout=10).text
    assert requests.get(link(1)[:-8], timeout=10).status_code == 401
    assert requests.get(link(-1), timeout=10).status_code == 401


def test_own_jobs_are_listed_page_by_page_and_by_start_time(odps: ODPS, endpoints: Endpoints) -> None:
    control(endpoints, "POST", "/settings", {"page_size": 2})
    jobs = [train(odps).id for _ in range(5)]
    for job in jobs:
        wait_until(odps.get_instance(job).is_terminated)
    since = int(time.time()) - 60
    listed = [each.id for each in odps.list_instances(start_time=since, only_owner=True)]
    assert [each for each in listed if each in jobs] == jobs
    assert len(listed) == len(set(listed)) == 10
    assert list(odps.list_instances(start_time=since + 3600, only_owner=True)) == []
    assert list(odps.list_instances(end_time=datetime.fromtimestamp(since), only_owner=True)) == []
    assert list(odps.list_instances(start_time=since, status="Running", only_owner=True)) == []


# -- tables -----------------------------------------------------------------------------------------


@pytest.fixture
def tables(sandbox: Sandbox) -> Sandbox:
    store = sandbox.tables
    columns = [("metric", "string"), ("value", "double"), ("step", "bigint"), ("best", "boolean")]
    store.create_table("sandbox", "metrics", columns, ["dt", "hour"])
    rows = {"metric": ["auc", "漢字"], "value": [0.5, None], "step": [-1, 2**40], "best": [True, None]}
    store.add_partition("sandbox", "metrics", "dt=20240101/hour=00", rows)
    store.add_partition("sandbox", "metrics", "dt=20240101/hour=01", rows)
    store.add_partition("sandbox", "metrics", "dt=20240102/hour=00", rows)
    store.create_table("sandbox", "flat", [("a", "bigint")])
    store.add_partition("sandbox", "flat", "", {"a": range(5)})
    return sandbox


def test_tables_and_partitions_exist_or_not(odps: ODPS, tables: Sandbox, endpoints: Endpoints) -> None:
    control(endpoints, "POST", "/settings", {"page_size": 1})
    assert odps.exist_table("metrics")
    assert not odps.exist_table("nosuch")
    table = odps.get_table("metrics")
    assert table.exist_partition("dt=20240101,hour=01")
    assert not table.exist_partition("dt=20240103,hour=00")
    assert not table.exist_partition("dt=20240101")
    assert [partition.name for partition in table.partitions] == [
        "dt='20240101',hour='00'",
        "dt='20240101',hour='01'",
        "dt='20240102',hour='00'",
    ]
    assert [column.name for column in table.table_schema.simple_columns] == [
        "metric",
        "value",
        "step",
        "best",
    ]
    assert {table.name for table in odps.list_tables()} == {"metrics", "flat"}


def test_rows_come_through_the_tunnel_with_their_types_and_nulls(odps: ODPS, tables: Sandbox) -> None:
    spec = "dt=20240102,hour=00"
    with odps.get_table("metrics").open_reader(partition=spec) as reader:
        assert [record.values for record in reader] == [["auc", 0.5, -1, True], ["漢字", None, 2**40, None]]
    with odps.get_table("metrics").open_reader(partition=spec, columns=["step"]) as reader:
        assert [record.values for record in reader] == [[-1], [2**40]]
    with odps.get_table("flat").open_reader() as reader:
        assert [record.values for record in reader[1:3]] == [[1], [2]]


def test_a_small_select_works_through_the_tunnel_and_without(odps: ODPS, tables: Sandbox) -> None:
    query = "select step, metric from metrics where dt='20240101' and metric='漢字' limit 1;"
    job = odps.execute_sql(query)
    with job.open_reader(tunnel=True) as reader:
        assert [record.values for record in reader] == [[2**40, "漢字"]]
    with job.open_reader(tunnel=False) as reader:
        assert [record.values for record in reader] == [[str(2**40), "漢字"]]
    with odps.execute_sql("SELECT COUNT(*) FROM sandbox.metrics").open_reader(tunnel=False) as reader:
        assert int(next(iter(reader))[0]) == 6


def test_a_bad_select_fails_with_the_services_code(odps: ODPS, tables: Sandbox) -> None:
    with pytest.raises(errors.NoSuchTable):
        odps.execute_sql("select a from nosuch")
    with pytest.raises(errors.ParseError):
        odps.execute_sql("drop table flat")
