"""Trouble of encrypted connections: what may pass, what a person must put right. And what a client costs."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
import requests
from urllib3.exceptions import MaxRetryError
from urllib3.exceptions import SSLError as Urllib3SSLError

from include.adapters.connections import MaxComputeCredentials, OssCredentials
from include.adapters.errors import raise_maxcompute, raise_oss
from include.adapters.maxcompute import MaxComputeJobs
from include.adapters.oss import OssObjects
from include.adapters.retries import Retries
from include.errors import OutcomeUnknownError, PermanentError, RetryableError
from include.ports import JobPayload
from tests.support.stores import output, run_python

ONCE = Retries(attempts=1)
KEYS = {"access_key_id": "id", "access_key_secret": "secret"}


@pytest.fixture
def hanging_up() -> Iterator[str]:
    """An https address whose server (a load balancer that restarts, say) hangs up in the handshake."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                length = int.from_bytes(connection.recv(5, socket.MSG_WAITALL)[3:5], "big")
                connection.recv(length, socket.MSG_WAITALL)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(timeout=5)


def test_a_handshake_that_was_cut_off_may_succeed_later(hanging_up: str) -> None:
    jobs = MaxComputeJobs(MaxComputeCredentials(f"{hanging_up}/api", **KEYS, project="p"), retries=ONCE)
    objects = OssObjects(OssCredentials(hanging_up, **KEYS), retries=ONCE)

    with pytest.raises(RetryableError, match="secure connection"):
        jobs.status("20240101000000000g")
    with pytest.raises(OutcomeUnknownError):
        jobs.submit(JobPayload("x", "p", {}), submission_key="k", store_uuid="u")
    with pytest.raises(RetryableError, match="secure connection"):
        objects.read("oss://bucket/key")


def test_a_certificate_that_is_not_trusted_needs_a_person() -> None:
    cause = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    keys = OssCredentials("http://oss", **KEYS)
    refused = requests.exceptions.SSLError(MaxRetryError(None, "/", Urllib3SSLError(cause)))  # type: ignore[arg-type]

    with pytest.raises(PermanentError, match="certificate was not accepted"):
        raise_maxcompute(refused, where="here", keys=keys, posted=True)
    with pytest.raises(PermanentError, match="certificate was not accepted"):
        raise_oss(refused, where="here", bucket="b", keys=keys)


def test_a_client_that_sends_nothing_does_not_load_pyodps():
    """It takes two seconds of each Airflow task, and half of a day's tasks ask MaxCompute nothing."""
    code = (
        "import json, sys; from include.adapters.connections import MaxComputeCredentials as Credentials; "
        "from include.adapters.maxcompute import MaxComputeJobs, MaxComputeTables; "
        "keys = Credentials.from_extra('c', json.loads(sys.argv[1])); "
        "MaxComputeJobs(keys), MaxComputeTables(keys); print(json.dumps('odps' in sys.modules))"
    )
    extra = {**KEYS, "project": "p", "endpoint": "http://127.0.0.1:9/api"}
    assert output(run_python(code, json.dumps(extra))) is False
