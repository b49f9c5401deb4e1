"""Credentials as Airflow connections carry them, in the shape of the Alibaba provider's extras."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.errors import ConfigError


@dataclass(frozen=True)
class ServiceCredentials:
    """Keys and address of one service. The repr shows no secret."""

    endpoint: str
    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)
    connection: str = ""
    """Id of the Airflow connection they come from, for messages."""

    def struck_out(self, text: str) -> str:
        """``text`` without these keys: services quote them when they refuse a request."""
        for key in (self.access_key_secret, self.security_token, self.access_key_id):
            text = text.replace(key, "***") if key else text
        return text


@dataclass(frozen=True)
class MaxComputeCredentials(ServiceCredentials):
    project: str = ""

    @classmethod
    def from_extra(cls, conn_id: str, extra: Mapping[str, Any]) -> MaxComputeCredentials:
        """From the extra of a ``maxcompute`` connection.

        Raises ConfigError naming the connection and every field that is missing.
        """
        _require(conn_id, extra, "access_key_id", "access_key_secret", "project", "endpoint")
        return cls(project=_text(conn_id, extra, "project"), **_common(conn_id, extra, "endpoint"))


@dataclass(frozen=True)
class OssCredentials(ServiceCredentials):
    region: str = ""
    """``cn-beijing``; empty when it is not known: then requests are signed the old way (V1)."""

    @classmethod
    def from_extra(cls, conn_id: str, extra: Mapping[str, Any]) -> OssCredentials:
        """From the extra of an ``oss`` connection; ``oss_endpoint`` wins over ``endpoint``.

        Region and endpoint follow from each other for OSS's own addresses; one of them must be there.
        Raises ConfigError naming the connection and every field that is missing.
        """
        kind = extra.get("auth_type", "AK")
        if kind != "AK":
            raise ConfigError(
                f"auth_type is {kind!r}", where=f"connection {conn_id}", hint="only AK (access key) works"
            )
        region = _text(conn_id, extra, "region").removeprefix("oss-")
        address = "oss_endpoint" if extra.get("oss_endpoint") else "endpoint"
        if not extra.get(address) and region:
            extra = {**extra, address: f"https://oss-{region}.aliyuncs.com"}
        _require(conn_id, extra, "access_key_id", "access_key_secret", address)
        common = _common(conn_id, extra, address)
        return cls(region=region or _region_of(common["endpoint"]), **common)


def _region_of(endpoint: str) -> str:
    match = re.search(r"//oss-([a-z]{2}-[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com", endpoint)
    return match[1] if match else ""


def _common(conn_id: str, extra: Mapping[str, Any], address: str) -> dict[str, str]:
    endpoint = _text(conn_id, extra, address)
    if "//" not in endpoint:
        endpoint = f"http://{endpoint}"
    return {
        "endpoint": endpoint,
        "access_key_id": _text(conn_id, extra, "access_key_id"),
        "access_key_secret": _text(conn_id, extra, "access_key_secret"),
        "security_token": _text(conn_id, extra, "security_token"),
        "connection": conn_id,
    }


def _require(conn_id: str, extra: Mapping[str, Any], *names: str) -> None:
    missing = [name for name in names if not extra.get(name)]
    if missing:
        raise ConfigError(
            f"the connection's extra lacks {', '.join(missing)}",
            where=f"connection {conn_id}",
            hint="set it in Airflow's Admin > Connections",
        )


def _text(conn_id: str, extra: Mapping[str, Any], name: str) -> str:
    value = extra.get(name) or ""
    if not isinstance(value, str):
        # the value is not shown: it may be a key
        raise ConfigError(f"{name} in the extra is not text", where=f"connection {conn_id}")
    return value.strip()
