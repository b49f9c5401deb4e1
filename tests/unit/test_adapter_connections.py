"""Credentials as Airflow connections carry them, and errors of the clients as ours."""

from __future__ import annotations

import pytest
import requests

from include.adapters.connections import MaxComputeCredentials, OssCredentials
from include.adapters.errors import raise_maxcompute, raise_oss
from include.errors import (
    AccessError,
    ConfigError,
    EasyRecAutoMLError,
    NotFoundError,
    OutcomeUnknownError,
    PermanentError,
    RetryableError,
)

KEYS = {"access_key_id": "my-id", "access_key_secret": "my-secret"}


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
            raise_maxcompute(error, where="here", posted=posted)
        assert type(caught.value) is expected
        assert caught.value.__cause__ is error


def test_an_exception_of_no_client_is_not_dressed_up() -> None:
    for raise_ours in (
        lambda e: raise_maxcompute(e, where="here"),
        lambda e: raise_oss(e, where="here", bucket="b"),
    ):
        with pytest.raises(ZeroDivisionError):
            raise_ours(ZeroDivisionError())
