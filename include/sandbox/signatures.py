"""Who sent a request: accounts, and the signatures of MaxCompute (V2, V4) and OSS (V1, V4, URLs).

Written from the vendor's descriptions and checked against pyodps, oss2 and alibabacloud-oss-v2.
Secrets and string-to-sign never go into a log or an answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from include.sandbox.server import Request, ServiceError

MAX_SKEW_S = 15 * 60
Clock = Callable[[], float]

# Query parameters that take part in OSS's V1 signature.
# fmt: off
_V1_SUBRESOURCES = frozenset(
    [
        "acl", "append", "bucketInfo", "callback", "callback-var", "comp", "continuation-token",
        "cors", "delete", "encryption", "endTime", "inventory", "inventoryId", "lifecycle", "live",
        "location", "logging", "objectInfo", "objectMeta", "partNumber", "policy", "position",
        "qos", "qosInfo", "referer", "replication", "requestPayment", "response-cache-control",
        "response-content-disposition", "response-content-encoding", "response-content-language",
        "response-content-type", "response-expires", "restore", "security-token", "sequential",
        "startTime", "stat", "status", "symlink", "tagging", "uploadId", "uploads", "versionId",
        "versioning", "versions", "vod", "website", "worm", "wormExtend", "wormId", "x-oss-process",
        "x-oss-request-payer", "x-oss-traffic-limit",
    ]
)
# fmt: on


@dataclass(frozen=True)
class Account:
    """``token`` is set for temporary (STS) credentials, which end at ``expires`` (epoch seconds)."""

    key_id: str
    secret: str = field(repr=False)
    owner: str = "ALIYUN$sandbox"
    token: str = field(default="", repr=False)
    expires: float = 0.0


class Accounts:
    """Every key that the stand-ins know."""

    def __init__(self, *accounts: Account, clock: Clock = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._known = {account.key_id: account for account in accounts}

    def find(self, key_id: str) -> Account | None:
        with self._lock:
            return self._known.get(key_id)

    def issue_temporary(self, seconds: float) -> Account:
        """New STS credentials of the first account's owner."""
        with self._lock:
            owner = next(iter(self._known.values())).owner
            account = Account(
                f"STS.{secrets.token_hex(8)}",
                secrets.token_hex(16),
                owner,
                secrets.token_hex(24),
                self.clock() + seconds,
            )
            self._known[account.key_id] = account
        return account


# -- MaxCompute -------------------------------------------------------------------------------------


def check_odps(request: Request, base: str, accounts: Accounts) -> Account:
    """The account that signed the request; ``base`` is the endpoint's path (``/api``).

    Raises ServiceError with the code and status that MaxCompute documents for the case.
    """
    match = re.fullmatch(r"ODPS ([^:]+):(.+)", request.headers.get("authorization", ""))
    if match is None:
        message = "ODPS-0410001: Missing authentication parameters - the Authorization header is missing"
        raise ServiceError(400, "MissingAuthorization", message)
    key_id, *scope = match[1].split("/")
    account = accounts.find(key_id)
    if account is None:
        raise ServiceError(401, "Unauthorized", "ODPS-0410051: Invalid credentials - accessKeyId not found")
    date = request.headers.get("date", "")
    if not _is_fresh(_http_date(date), accounts.clock()):
        message = "ODPS-0410031: Authentication request expired - the expire time interval exceeds 15 minutes"
        raise ServiceError(400, "AuthenticationRequestExpired", message)
    key = account.secret.encode()
    if scope:  # V4: key/date/region/odps/aliyun_v4_request
        key = scope[-1].removesuffix("_request").encode() + key
        for part in scope:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    wanted = hmac.new(key, _odps_text(request, base, date).encode(), hashlib.sha1).digest()
    if not hmac.compare_digest(base64.b64encode(wanted).decode(), match[2]):
        message = "ODPS-0410042: Invalid signature value - the request signature we calculated does not match"
        raise ServiceError(401, "Unauthorized", message)
    _check_token(
        account,
        request.headers.get("authorization-sts-token", ""),
        accounts.clock(),
        ServiceError(401, "Unauthorized", "ODPS-0410051: Invalid credentials - invalid security token"),
        ServiceError(401, "Unauthorized", "ODPS-0410051: Invalid credentials - security token expired"),
    )
    return account


def _odps_text(request: Request, base: str, date: str) -> str:
    # The client decodes the whole URL before it splits the query, so a value's "%26" counts as "&".
    parts = urlsplit(unquote(request.target.removeprefix(base)), allow_fragments=False)
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    resource = parts.path
    if parts.query:
        resource += "?" + "&".join(key + (f"={params[key]}" if params[key] else "") for key in sorted(params))
    signed = {"content-md5": "", "content-type": "", "date": date}
    for name, value in [*request.headers.items(), *params.items()]:
        if name.startswith("x-odps-") or name in ("content-md5", "content-type"):
            signed[name] = value
    lines = [
        f"{name}:{signed[name]}" if name.startswith("x-odps-") else signed[name] for name in sorted(signed)
    ]
    return "\n".join([request.method, *lines, resource])


# -- OSS --------------------------------------------------------------------------------------------


def check_oss(request: Request, bucket: str, key: str, accounts: Accounts) -> Account:
    """The account that signed the request, by header or by URL. Raises ServiceError as OSS does."""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith("OSS4-HMAC-SHA256"):
        items = authorization.removeprefix("OSS4-HMAC-SHA256").split(",")
        given = dict(item.strip().split("=", 1) for item in items if "=" in item)
        return _check_v4(request, bucket, key, accounts, given, request.headers.get("x-oss-date", ""))
    if authorization.startswith("OSS "):
        key_id, _, signature = authorization.removeprefix("OSS ").partition(":")
        date = request.headers.get("x-oss-date") or request.headers.get("date", "")
        _require_fresh(_http_date(date), accounts)
        return _check_v1(request, bucket, key, accounts, key_id, signature, date)
    if "x-oss-signature" in request.query:
        query = request.query
        given = {
            "Credential": query.get("x-oss-credential", ""),
            "AdditionalHeaders": query.get("x-oss-additional-headers", ""),
            "Signature": query["x-oss-signature"],
        }
        return _check_v4(request, bucket, key, accounts, given, query.get("x-oss-date", ""))
    if "OSSAccessKeyId" in request.query:
        query = request.query
        expires = query.get("Expires", "0")
        if not expires.isdigit() or int(expires) < accounts.clock():
            raise ServiceError(403, "AccessDenied", "Request has expired.")
        return _check_v1(
            request, bucket, key, accounts, query["OSSAccessKeyId"], query.get("Signature", ""), expires
        )
    message = "You have no right to access this object because of bucket acl."
    raise ServiceError(403, "AccessDenied", message)


def _check_v1(
    request: Request, bucket: str, key: str, accounts: Accounts, key_id: str, signature: str, date: str
) -> Account:
    account = _oss_account(key_id, accounts)
    headers = request.headers
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-oss-"))
    params = sorted((name, value) for name, value in request.query.items() if name in _V1_SUBRESOURCES)
    query = "&".join(name + (f"={value}" if value else "") for name, value in params)
    resource = f"/{bucket}/{key}" if bucket else "/"
    resource += f"?{query}" if query else ""
    md5, kind = headers.get("content-md5", ""), headers.get("content-type", "")
    text = "\n".join([request.method, md5, kind, date, own + resource])
    wanted = hmac.new(account.secret.encode(), text.encode(), hashlib.sha1).digest()
    _require_equal(base64.b64encode(wanted).decode(), signature)
    token = headers.get("x-oss-security-token") or request.query.get("security-token", "")
    _check_oss_token(account, token, accounts)
    return account


def _check_v4(
    request: Request, bucket: str, key: str, accounts: Accounts, given: dict[str, str], stamp: str
) -> Account:
    key_id, *scope = given.get("Credential", "").split("/")
    if len(scope) != 4:
        raise ServiceError(400, "AuthorizationHeaderMalformed", "The credential is malformed.")
    account = _oss_account(key_id, accounts)
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        signed_at = None
    if "x-oss-expires" in request.query:
        lifetime = request.query["x-oss-expires"]
        if not lifetime.removeprefix("-").isdigit():
            raise ServiceError(400, "AuthorizationQueryParametersError", "Invalid expires value.")
        if signed_at is None or accounts.clock() > signed_at + int(lifetime):
            raise ServiceError(403, "AccessDenied", "Request has expired.")
    else:
        _require_fresh(signed_at, accounts)
    text = _v4_text(request, bucket, key, given.get("AdditionalHeaders", ""))
    digest = hashlib.sha256(text.encode()).hexdigest()
    to_sign = "\n".join(["OSS4-HMAC-SHA256", stamp, "/".join(scope), digest])
    signing_key = f"aliyun_v4{account.secret}".encode()
    for part in scope:
        signing_key = hmac.new(signing_key, part.encode(), hashlib.sha256).digest()
    wanted = hmac.new(signing_key, to_sign.encode(), hashlib.sha256).hexdigest()
    _require_equal(wanted, given.get("Signature", ""))
    token = request.headers.get("x-oss-security-token") or request.query.get("x-oss-security-token", "")
    _check_oss_token(account, token, accounts)
    return account


def _v4_text(request: Request, bucket: str, key: str, additional: str) -> str:
    headers = request.headers
    extra = {name for name in additional.split(";") if name}
    signed = "".join(
        f"{name}:{headers[name].strip()}\n"
        for name in sorted(headers)
        if name in ("content-type", "content-md5") or name.startswith("x-oss-") or name in extra
    )
    params = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in request.query.items()
        if name != "x-oss-signature"
    )
    query = "&".join(name + (f"={value}" if value else "") for name, value in params)
    resource = quote(f"/{bucket}/{key}" if bucket else "/", safe="/-_.~")
    payload = headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD")
    return "\n".join([request.method, resource, query, signed, additional, payload])


def _oss_account(key_id: str, accounts: Accounts) -> Account:
    account = accounts.find(key_id)
    if account is None:
        message = "The OSS Access Key Id you provided does not exist in our records."
        raise ServiceError(403, "InvalidAccessKeyId", message, OSSAccessKeyId=key_id)
    return account


def _check_oss_token(account: Account, token: str, accounts: Accounts) -> None:
    _check_token(
        account,
        token,
        accounts.clock(),
        ServiceError(403, "InvalidSecurityToken", "The security token you provided is invalid."),
        ServiceError(403, "SecurityTokenExpired", "The security token you provided has expired."),
    )


# -- both -------------------------------------------------------------------------------------------


def _check_token(
    account: Account, token: str, now: float, invalid: ServiceError, expired: ServiceError
) -> None:
    if not hmac.compare_digest(token.encode(), account.token.encode()):
        raise invalid
    if account.expires and now > account.expires:
        raise expired


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _is_fresh(signed_at: float | None, now: float) -> bool:
    return signed_at is not None and abs(now - signed_at) <= MAX_SKEW_S


def _require_fresh(signed_at: float | None, accounts: Accounts) -> None:
    if not _is_fresh(signed_at, accounts.clock()):
        message = "The difference between the request time and the current time is too large."
        raise ServiceError(403, "RequestTimeTooSkewed", message)


def _require_equal(wanted: str, given: str) -> None:
    if not hmac.compare_digest(wanted.encode(), given.encode()):
        message = (
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method."
        )
        raise ServiceError(403, "SignatureDoesNotMatch", message)
