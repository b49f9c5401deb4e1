"""The pyodps client behind ``maxcompute``: what goes over the wire, and what pyodps must not do by itself.

Importing this takes two seconds (pyodps and what it imports): ``maxcompute`` does it with the first request.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

from odps import ODPS, serializers
from odps.accounts import StsAccount
from odps.models.core import XMLRemoteModel
from odps.rest import RestClient

from include.adapters.connections import MaxComputeCredentials
from include.adapters.errors import raise_maxcompute
from include.adapters.retries import TIMEOUTS, Retries, quiet_clients
from include.ports import JobPayload

Result = TypeVar("Result")

_SETTING = "EXT_TASK_ID"


class _Rest(RestClient):  # type: ignore[misc]
    """Our time-outs, and none of pyodps's own repetitions: ``Retries`` decides."""

    def request(self, url: str, method: str, stream: bool = False, **options: Any) -> Any:
        options.setdefault("timeout", TIMEOUTS)
        return super().request(url, method, stream=stream, **options)

    def upload_survey_log(self) -> None:
        """pyodps would report its usage with a request of its own."""


class _Odps(ODPS):  # type: ignore[misc]
    """A client whose constructor sends nothing: hosts of links are looked up when a link is asked for."""

    def get_logview_host(self) -> Any:
        return None

    def get_job_insight_host(self) -> Any:
        return None

    @property
    def logview_host(self) -> Any:
        return super().get_logview_host()

    @property
    def job_insight_host(self) -> Any:
        return super().get_job_insight_host()


class _XflowInstance(XMLRemoteModel):  # type: ignore[misc]
    """As pyodps's own, with the ``Guid`` that makes the service answer the same key with the same job."""

    _root = "XflowInstance"
    # The elements are written in this order, which is the one of the vendor's Java SDK.
    __slots__ = ("xflow_project", "xflow_name", "parameters", "guid", "properties")  # noqa: RUF023
    xflow_project = serializers.XMLNodeField("Project")
    xflow_name = serializers.XMLNodeField("Xflow")
    parameters = serializers.XMLNodePropertiesField(
        "Parameters", "Parameter", key_tag="Key", value_tag="Value", required=True
    )
    guid = serializers.XMLNodeField("Guid")
    properties = serializers.XMLNodePropertiesField("Config", "Property", key_tag="Name", value_tag="Value")


class _Submission(XMLRemoteModel):  # type: ignore[misc]
    _root = "Instance"
    instance = serializers.XMLNodeReferenceField(_XflowInstance, "XflowInstance")


class _InstanceAnswer(XMLRemoteModel):  # type: ignore[misc]
    _root = "Instance"
    status = serializers.XMLNodeField("Status")


class Client:
    """One project through one pyodps client; every call is bounded and raises only errors of ours."""

    def __init__(self, credentials: MaxComputeCredentials, retries: Retries) -> None:
        quiet_clients()
        keys = credentials
        options: dict[str, Any] = {
            "project": keys.project,
            "endpoint": keys.endpoint,
            "rest_client_cls": _Rest,
            "rest_client_kwargs": {"retry_enabled": False},
            "overwrite_global": False,
        }
        if keys.security_token:
            account = StsAccount(keys.access_key_id, keys.access_key_secret, keys.security_token)
            self.odps: Any = _Odps(account=account, **options)
        else:
            self.odps = _Odps(keys.access_key_id, keys.access_key_secret, **options)
        self.keys = keys
        self.project = self.odps.get_project()
        self.retries = retries

    def call(self, where: str, attempt: Callable[[], Result]) -> Result:
        return self.retries.call(lambda: self.once(where, attempt))

    def once(self, where: str, attempt: Callable[[], Result], *, posted: bool = False) -> Result:
        try:
            return attempt()
        except Exception as error:  # noqa: BLE001 - raised again as ours, or as it is
            raise_maxcompute(error, where=where, posted=posted, keys=self.keys)

    def instance_status(self, instance: Any) -> tuple[str, Any]:
        """Status of an instance and the answer's headers, in one request."""
        response = self.odps.rest.get(instance.resource())
        status = _InstanceAnswer.parse(self.odps.rest, response).status
        if not status:
            raise ParseError("no status")
        return status, response.headers

    def setting_of(self, source: bytes) -> str | None:
        """The token a job was submitted with, from its source; None for a job that is not like ours."""
        try:
            submitted = _Submission.parse(self.odps.rest, source.decode("utf-8")).instance
            settings = json.loads((submitted.properties or {}).get("settings") or "{}")
            token = settings.get(_SETTING)
        except (ParseError, ValueError, AttributeError):
            return None
        return token if isinstance(token, str) else None


def submission_xml(payload: JobPayload, *, submission_key: str, token: str) -> str:
    """The request that starts a job."""
    submission = _Submission(
        instance=_XflowInstance(
            xflow_project=payload.xflow_project,
            xflow_name=payload.xflow_name,
            parameters=OrderedDict(payload.parameters),
            guid=submission_key,
            properties=OrderedDict(settings=json.dumps({_SETTING: token})),
        )
    )
    xml: str = submission.serialize()
    return xml
