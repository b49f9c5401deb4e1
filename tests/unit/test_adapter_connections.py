"""Credentials as Airflow connections carry them, and errors of the clients as ours."""

from __future__ import annotations

import traceback

import oss2
import pytest
import requests

from include.adapters.connections import MaxComputeCredentials, OssCredentials
from include.adapters.errors import raise_maxcompute, raise_oss
from include.errors import (
    AccessError,
    ConfigError,
    CredentialsError,
    EasyRecAutoMLError,
    NotFoundError,
    OutcomeUnknownError,
    PermanentError,
    RetryableError,
)

KEYS = {"access_key_id": "my-id", "access_key_secret": "my-secret"}
CREDENTIALS = OssCredentials.from_extra("my_conn", {**KEYS, "security_token": "my-token", "region": "cn-x"})


def test_a_maxcompute_connection() -> None:
    credentials = MaxComputeCredentials.from_extra(
        "mc", {**KEYS, "project": "p", "endpoint": " http://h/api ", "security_token": "my-token"}
    )
    assert (credentials.project, credentials.endpoint) == ("p", "http://h/api")
    assert "my-" not in repr(credentials)
    assert "my-" not in str(credentials)


def test_everything_that_a_connection_lacks_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        MaxComputeCredentials.from_extra("maxcompute_default", {"access_key_id": "my-id", "project": ""})
    assert "connection maxcompute_default" in str(caught.value)
    assert "lacks access_key_secret, project, endpoint" in str(caught.value)
    with pytest.raises(ConfigError, match=r"connection oss.*lacks endpoint"):
        OssCredentials.from_extra("oss", KEYS)
    with pytest.raises(ConfigError, match="access_key_secret in the extra is not text"):
        OssCredentials.from_extra("oss", {**KEYS, "access_key_secret": 5, "region": "cn-x"})


@pytest.mark.parametrize(
    ("extra", "endpoint", "region"),
    [
        ({"region": "cn-beijing"}, "https://oss-cn-beijing.aliyuncs.com", "cn-beijing"),
        ({"region": "oss-cn-beijing"}, "https://oss-cn-beijing.aliyuncs.com", "cn-beijing"),
        ({"endpoint": "oss-cn-hangzhou-internal.aliyuncs.com"}, None, "cn-hangzhou"),
        ({"endpoint": "http://x/api", "oss_endpoint": "http://127.0.0.1:1"}, "http://127.0.0.1:1", ""),
    ],
)
def test_region_and_endpoint_of_oss_follow_from_each_other(
    extra: dict[str, str], endpoint: str | None, region: str
) -> None:
    credentials = OssCredentials.from_extra("oss", {**KEYS, **extra})
    assert credentials.endpoint == (endpoint or f"http://{extra['endpoint']}")
    assert credentials.region == region


def test_only_access_keys_are_supported() -> None:
    with pytest.raises(ConfigError, match="auth_type is 'ECS'"):
        OssCredentials.from_extra("oss", {**KEYS, "region": "cn-x", "auth_type": "ECS"})


class FromService(Exception):
    """Looks as pyodps's exceptions do."""

    def __init__(self, status_code: int | None, code: str | None, text: str = "text") -> None:
        super().__init__(text)
        self.status_code, self.code, self.request_id = status_code, code, "R1"


@pytest.mark.parametrize(
    ("error", "on_get", "on_post"),
    [
        (FromService(503, "ServiceUnavailable"), RetryableError, OutcomeUnknownError),
        (FromService(500, "InternalServerError"), RetryableError, OutcomeUnknownError),
        (FromService(429, "TooManyRequests"), RetryableError, RetryableError),
        (FromService(403, "NoPermission"), AccessError, AccessError),
        (FromService(401, None), AccessError, AccessError),
        (FromService(400, "InvalidParameter", "ODPS-0410051: no such key"), AccessError, AccessError),
        (FromService(404, "NoSuchObject"), NotFoundError, NotFoundError),
        (FromService(400, "ParseError"), PermanentError, PermanentError),
        (FromService(None, None, "Location header required"), RetryableError, OutcomeUnknownError),
        (requests.ReadTimeout("x"), RetryableError, OutcomeUnknownError),
        (requests.ConnectionError("reset"), RetryableError, OutcomeUnknownError),
        (requests.exceptions.ChunkedEncodingError("cut"), RetryableError, OutcomeUnknownError),
        (requests.ConnectTimeout("x"), RetryableError, RetryableError),
        (requests.exceptions.MissingSchema("x"), ConfigError, ConfigError),
    ],
    ids=str,
)
def test_what_a_failed_maxcompute_call_means(
    error: Exception, on_get: type[EasyRecAutoMLError], on_post: type[EasyRecAutoMLError]
) -> None:
    for posted, expected in ((False, on_get), (True, on_post)):
        with pytest.raises(expected) as caught:
            raise_maxcompute(error, where="here", posted=posted, keys=CREDENTIALS)
        assert type(caught.value) is expected
        assert caught.value.__cause__ is (None if expected is AccessError else error)


REFUSALS = {
    "ODPS-0410042: Invalid signature value": "check access_key_secret of the MaxCompute connection my_conn",
    "ODPS-0410051: Invalid credentials - accessKeyId not found": "check access_key_id of the MaxCompute",
    "ODPS-0410051: Invalid credentials - security token expired": "check security_token of the MaxCompute",
    "ODPS-0410031: Authentication request expired": "check the clock",
}


@pytest.mark.parametrize("text", REFUSALS)
def test_what_is_wrong_with_the_keys_is_told_apart(text: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        raise_maxcompute(FromService(401, "Unauthorized", text), where="here", keys=CREDENTIALS)
    assert REFUSALS[text] in str(caught.value)


def test_a_refusal_shows_no_key_in_message_or_traceback() -> None:
    """Services quote the id, the signature and what was signed."""
    quoted = "accessKeyId not found: my-id, my-secret, my-token"
    denied = oss2.exceptions.AccessDenied(403, {}, b"", {"Message": quoted, "OSSAccessKeyId": "my-id"})
    for raise_ours in (  # without the keys in it: a traceback shows this text, too
        lambda: raise_maxcompute(FromService(401, "Unauthorized", quoted), where="x", keys=CREDENTIALS),
        lambda: raise_oss(denied, where="x", bucket="b", keys=CREDENTIALS),
    ):
        try:
            raise_ours()
        except AccessError:
            shown = traceback.format_exc()
        assert "***" in shown
        assert "my-id" not in shown
        assert "my-secret" not in shown
        assert "my-token" not in shown


def test_a_bucket_elsewhere_is_told_from_missing_rights() -> None:
    message = "The bucket you are attempting to access must be addressed using the specified endpoint."
    error = oss2.exceptions.AccessDenied(403, {}, b"", {"Code": "AccessDenied", "Message": message})
    with pytest.raises(AccessError, match="check the endpoint of the OSS connection my_conn"):
        raise_oss(error, where="x", bucket="b", keys=CREDENTIALS)


def test_an_exception_of_no_client_is_not_dressed_up() -> None:
    for raise_ours in (
        lambda e: raise_maxcompute(e, where="here", keys=CREDENTIALS),
        lambda e: raise_oss(e, where="here", bucket="b", keys=CREDENTIALS),
    ):
        with pytest.raises(ZeroDivisionError):
            raise_ours(ZeroDivisionError())
