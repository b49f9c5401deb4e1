"""Exceptions of pyodps, oss2 and requests become errors of ours, here and nowhere else.

Three questions decide: can the same call succeed later, may it have been carried out although its answer
is missing, and who has to do something. The clients' classes are told apart by ``status_code`` and ``code``,
not by name: the same trouble arrives as different classes, so neither client has to be imported here.
"""

from __future__ import annotations

import re
import ssl
from typing import Any, NoReturn
from xml.etree.ElementTree import ParseError

import requests
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from include.adapters.connections import ServiceCredentials
from include.errors import (
    AccessError,
    AlreadyExistsError,
    ConfigError,
    CredentialsError,
    EasyRecAutoMLError,
    NotFoundError,
    OutcomeUnknownError,
    PermanentError,
    RetryableError,
)

_THROTTLED = re.compile(r"throttl|toomanyrequests|flowexceeded|qpslimit|slowdown|requestlimit", re.IGNORECASE)
_ODPS_ACCESS = re.compile(
    r"ODPS-0410|ODPS-0420095|ODPS-0130013|NoPermission|Unauthorized|AuthorizationRequired|SignatureNotMatch"
    r"|AuthenticationRequestExpired|AccessDenied|InvalidAccessKey|SecurityToken"
)
_ODPS_ID = re.compile(r"accessKeyId not found|InvalidAccessKey", re.IGNORECASE)
_ODPS_SIGNATURE = re.compile(r"ODPS-0410042|SignatureNotMatch")
_ODPS_TOKEN = re.compile(r"security ?token", re.IGNORECASE)
_ODPS_CLOCK = re.compile(r"ODPS-0410031|AuthenticationRequestExpired")
_ODPS_TRANSIENT = re.compile(r"ODPS-0010000|InternalServerError|ServiceUnavailable|RequestTimeout")
_OSS_ACCESS = re.compile(r"AccessDenied|AccessKey|Signature|SecurityToken|RequestTimeTooSkewed|Forbidden")
_CLOCK = "check the clock of this machine"
_WRONG_PLACE = "specified endpoint"
_OSS_TRANSIENT = re.compile(r"Timeout|InternalError|ServiceUnavailable")


def raise_maxcompute(
    error: Exception, *, where: str, keys: ServiceCredentials, posted: bool = False
) -> NoReturn:
    """Raise what a failed MaxCompute call means. ``posted``: the call must not be repeated blindly.

    ``keys``: what the call was signed with; they never get into a message. An exception that is neither
    pyodps's nor requests's is raised again as it is.
    """
    _raise(_maxcompute(error, where, posted, keys), error)


def raise_oss(error: Exception, *, where: str, keys: ServiceCredentials, bucket: str) -> NoReturn:
    """Raise what a failed OSS call means; an exception of no client is raised again as it is."""
    _raise(_oss(error, where, bucket, keys), error)


def _raise(ours: EasyRecAutoMLError | None, error: Exception) -> NoReturn:
    if ours is None:
        raise error
    if isinstance(ours, AccessError):
        # A refusal quotes the access key id and what was signed, and a traceback would show it.
        raise ours from None
    raise ours from error


def _maxcompute(error: Any, where: str, posted: bool, keys: ServiceCredentials) -> EasyRecAutoMLError | None:
    lost = OutcomeUnknownError if posted else RetryableError
    if isinstance(error, requests.RequestException):  # also pyodps's own ConnectTimeout
        return _network(error, "MaxCompute", where, lost)
    if isinstance(error, ParseError):
        return lost("MaxCompute's answer is not XML", where=where, hint="a proxy in between?")
    if not hasattr(error, "status_code") or not hasattr(error, "request_id"):
        return None
    status, code = error.status_code, str(error.code or "")
    message = f"MaxCompute: {keys.struck_out(_one_line(error.args[0]))}"
    if error.request_id:
        message += f" [request {error.request_id}]"
    text = f"{type(error).__name__} {code} {message}"
    if status == 429 or _THROTTLED.search(code):
        return RetryableError(message, where=where)
    if status in (401, 403) or _ODPS_ACCESS.search(text):
        return _odps_refusal(text, message, where, f"the MaxCompute connection {keys.connection}".rstrip())
    if status == 404 or "NoSuch" in type(error).__name__:
        return NotFoundError(message, where=where)
    if status is None and "Location header" in message:
        return lost(message, where=where)
    if (status or 0) >= 500 or (status is None and _ODPS_TRANSIENT.search(text)):
        return lost(message, where=where)
    if status == 408:
        return lost(message, where=where)
    return PermanentError(message, where=where)


def _odps_refusal(text: str, message: str, where: str, connection: str) -> AccessError:
    if _ODPS_CLOCK.search(text):
        return CredentialsError(message, where=where, hint=_CLOCK)
    for pattern, what in (
        (_ODPS_TOKEN, "security_token"),
        (_ODPS_SIGNATURE, "access_key_secret"),
        (_ODPS_ID, "access_key_id"),
    ):
        if pattern.search(text):
            return CredentialsError(message, where=where, hint=f"check {what} of {connection}")
    return AccessError(message, where=where, hint=f"check the keys and permissions of {connection}")


def _oss_refusal(code: str, message: str, where: str, bucket: str, connection: str) -> AccessError:
    if code == "RequestTimeTooSkewed":
        return CredentialsError(message, where=where, hint=_CLOCK)
    for pattern, what in (
        ("SecurityToken", "security_token"),
        ("Signature", "access_key_secret"),
        ("AccessKey", "access_key_id"),
    ):
        if pattern in code:
            return CredentialsError(message, where=where, hint=f"check {what} of {connection}")
    what = "the endpoint" if _WRONG_PLACE in message else f"the keys and their rights on bucket {bucket}"
    return AccessError(message, where=where, hint=f"check {what} of {connection}")


def _oss(error: Any, where: str, bucket: str, keys: ServiceCredentials) -> EasyRecAutoMLError | None:
    cause = getattr(error, "exception", error)  # oss2 wraps what requests raises
    if isinstance(cause, requests.RequestException):
        return _network(cause, "OSS", where, RetryableError)
    if not hasattr(error, "request_id") or not hasattr(error, "status"):
        return None
    status, code = error.status, str(error.code or "")
    message = f"OSS: {code or status} {keys.struck_out(_one_line(error.message or error.body))}".rstrip()
    if error.request_id:
        message += f" [request {error.request_id}]"
    if status >= 500 or status in (408, 429) or _THROTTLED.search(code) or _OSS_TRANSIENT.search(code):
        return RetryableError(message, where=where)
    if "InconsistentError" in type(error).__name__:
        return RetryableError(f"OSS: what arrived is damaged: {message}", where=where)
    if code == "NoSuchBucket":
        return NotFoundError(
            f"OSS bucket {bucket} does not exist", where=where, hint="check the bucket's name"
        )
    if status == 404:
        return NotFoundError("no such object", where=where)
    if status in (401, 403) or _OSS_ACCESS.search(code):
        connection = f"the OSS connection {keys.connection}".rstrip()
        return _oss_refusal(code, message, where, bucket, connection)
    if code == "FileAlreadyExists":
        return AlreadyExistsError("the object exists", where=where)
    return PermanentError(message, where=where)


def _network(
    error: requests.RequestException, service: str, where: str, lost: type[RetryableError]
) -> EasyRecAutoMLError:
    # The exception's text is not shown: it holds URLs with signatures.
    kind = type(error).__name__
    bad_address = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
    )
    if isinstance(error, bad_address):
        return ConfigError(
            f"the endpoint of {service} is not an address", where=where, hint="http(s)://<host>"
        )
    if isinstance(error, requests.exceptions.SSLError):
        if _is_certificate(error):
            return PermanentError(
                f"{service}'s certificate was not accepted",
                where=where,
                hint="check the endpoint and its proxy",
            )
        return lost(f"the secure connection to {service} broke ({kind})", where=where)
    if _never_sent(error):
        return RetryableError(
            f"{service} can't be reached ({kind})", where=where, hint="check the endpoint and the network"
        )
    return lost(f"{service} gave no complete answer ({kind})", where=where)


def _is_certificate(error: BaseException | None) -> bool:
    """Whether a certificate was refused; all other trouble of TLS is trouble of the network."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        error = getattr(error, "reason", None) if isinstance(error, MaxRetryError) else inner
    return False


def _never_sent(error: requests.RequestException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = error.args[0] if error.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _one_line(text: object) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return " ".join(str(text).split())[:500]
