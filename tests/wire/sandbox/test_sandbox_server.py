"""The servers under requests that no good client sends, and the sandbox's own door."""

from __future__ import annotations

import socket
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from include.errors import StateError
from include.sandbox import Endpoints, Sandbox

from .conftest import control


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic eDp5",
        "OSS",
        "OSS a",
        "OSS :",
        "OSS4-HMAC-SHA256",
        "OSS4-HMAC-SHA256 Credential=a/b,Signature=c",
        "OSS4-HMAC-SHA256 Credential=KEY/20240101/r/oss/aliyun_v4_request,Signature=c",
        "ODPS",
        "ODPS a",
        "ODPS KEY:c",
        "ODPS KEY/1/2:c",
    ],
)
def test_a_malformed_signature_is_refused_and_never_a_server_error(
    endpoints: Endpoints, authorization: str
) -> None:
    headers = {
        "Authorization": authorization.replace("KEY", endpoints.access_key_id),
        "Date": formatdate(usegmt=True),
    }
    for address in (endpoints.oss + "/sandbox-bucket/a", endpoints.maxcompute + "/projects/sandbox"):
        assert requests.get(address, headers=headers, timeout=10).status_code in (400, 401, 403)


def test_what_is_said_about_the_sandbox_holds_no_secret(endpoints: Endpoints) -> None:
    assert endpoints.access_key_secret not in repr(endpoints)
    requests.get(endpoints.oss + "/b/k?Signature=abc&OSSAccessKeyId=def", timeout=10)
    seen = control(endpoints, "GET", "/requests")
    assert seen[-1]["path"] == "/b/k"
    assert "abc" not in str(seen)


def test_one_connection_serves_many_requests_and_chunked_bodies(endpoints: Endpoints) -> None:
    with requests.Session() as session:
        for _ in range(3):
            answer = session.post(
                endpoints.control + "/settings", data=iter([b'{"cap', b'acity": 3}']), timeout=10
            )
            assert answer.json()["capacity"] == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"capactiy": 1}, "capactiy"), ({"capacity": "many"}, "give a int"), ({"guid_dedup": 1}, "give a bool")],
)
def test_a_setting_that_makes_no_sense_changes_nothing(
    endpoints: Endpoints, settings: dict[str, Any], says: str
) -> None:
    answer = requests.post(endpoints.control + "/settings", json={"page_size": 5, **settings}, timeout=10)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert control(endpoints, "POST", "/settings", {})["page_size"] == 100


def test_an_unknown_control_is_not_found(endpoints: Endpoints) -> None:
    assert requests.get(endpoints.control + "/nosuch", timeout=10).status_code == 404
    assert requests.post(endpoints.control + "/faults", data=b"{", timeout=10).status_code == 400


def test_a_taken_port_is_told_and_nothing_is_left_behind(tmp_path: Path, endpoints: Endpoints) -> None:
    taken = urlsplit(endpoints.oss).port
    assert taken is not None
    folder = tmp_path / "another"
    with pytest.raises(StateError, match=f"port {taken}"):
        Sandbox(folder, ports=(0, taken)).start()
    with Sandbox(folder) as other:
        assert urlsplit(other.oss).port != taken


def test_a_last_port_that_somebody_else_has_now_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "moving"
    with Sandbox(folder) as before:
        pass
    with socket.create_server(("127.0.0.1", urlsplit(before.oss).port or 0)), Sandbox(folder) as after:
        assert after.maxcompute == before.maxcompute
        assert after.oss != before.oss
