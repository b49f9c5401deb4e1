"""MaxCompute on the wire: routes. State is in ``instances``, its XML in ``wire``."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from email.utils import formatdate
from xml.etree.ElementTree import Element

from include.errors import NotFoundError, StateError
from include.sandbox import xml
from include.sandbox.maxcompute import sql, wire
from include.sandbox.maxcompute.instances import Instance, Instances, Kind, SqlError
from include.sandbox.maxcompute.table_service import Downloads, TableService, paged
from include.sandbox.server import Request, Response, ServiceError
from include.sandbox.signatures import Account, Accounts, check_odps
from include.sandbox.tables import TableStorage

BASE = "/api"
LOGVIEW = "/logview-host"
XFLOWS = {("algo_public", "easy_rec_ext")}
REQUIRED_PARAMETERS = ("arn", "buckets")
_TIME_LIMIT = "maxTrainingTimeInHour"
_CREATED = formatdate(1704067200, usegmt=True)


class MaxComputeService:
    """One project's MaxCompute over ``Instances`` and a ``TableStorage``. All requests must be signed."""

    name = "odps"

    def __init__(
        self,
        projects: tuple[str, ...],
        instances: Instances,
        tables: TableStorage,
        accounts: Accounts,
        *,
        page_size: int = 100,
    ) -> None:
        self._projects = projects
        self._instances = instances
        self._tables = tables
        self._accounts = accounts
        self._owner = "ALIYUN$sandbox"
        self._downloads = Downloads()
        self._table_service = TableService(tables, self._downloads, self._owner, page_size)
        self._page_size = page_size
        self._tokens: dict[str, float] = {}

    @property
    def page_size(self) -> int:
        """Entries per page of a list, where the client doesn't say."""
        return self._page_size

    @page_size.setter
    def page_size(self, size: int) -> None:
        self._page_size = self._table_service.page_size = size

    def handle(self, request: Request) -> Response:
        if request.path.startswith(LOGVIEW + "/"):
            return self._logview(request)
        account = check_odps(request, BASE, self._accounts)
        path = request.path.removeprefix(BASE)
        if path == "/logview/host":
            return _text("http://" + request.headers.get("host", "") + LOGVIEW)
        if path == "/tenants":
            return _json(_TENANT)
        match = re.fullmatch(r"/projects/([^/]+)(?:/([^/]+)(?:/([^/]+))?)?", path)
        if match is None:
            raise _not_found(f"The requested resource {path} is not found")
        project, area, name = match[1], match[2] or "", match[3] or ""
        if project not in self._projects:
            raise _not_found(f"Project not found - '{project}'")
        if area == "instances":
            return self._handle_instances(request, project, name, account)
        if area == "tables":
            return self._table_service.handle(request, project, name)
        if not area:
            return self._project(project)
        if area == "tunnel":
            return _text(request.headers.get("host", "") + BASE)
        if area == "logs":
            return Response()
        if area == "authorization" and "sign_bearer_token" in request.query:
            return self._authorize(request)
        raise _not_found(f"The requested resource {path} is not found")

    def render_error(self, error: ServiceError, request: Request) -> Response:
        body = xml.HEAD + xml.element(
            "Error",
            xml.text("Code", error.code),
            f"<Message><![CDATA[{error.message.replace(']]>', ']] >')}]]></Message>",
            xml.text("RequestId", "SANDBOX"),
            xml.text("HostId", "http://" + request.headers.get("host", "")),
        )
        return Response(error.status, body.encode())

    def _project(self, project: str) -> Response:
        body = xml.element(
            "Project",
            xml.text("Name", project),
            xml.text("Type", "managed"),
            "<Comment/>",
            xml.text("State", "AVAILABLE"),
            xml.text("Region", "cn-sandbox"),
            "<Properties/>",
        )
        headers = {
            "x-odps-owner": self._owner,
            "x-odps-creation-time": _CREATED,
            "Last-Modified": _CREATED,
        }
        return _xml(body, headers)

    def _authorize(self, request: Request) -> Response:
        """A bearer token for a LogView link."""
        try:
            hours = float(json.loads(request.body)["expires_in_hours"])
        except (ValueError, KeyError, TypeError):
            raise ServiceError(400, "InvalidArgument", "ODPS-0420061: Invalid parameter - policy") from None
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self._accounts.clock() + hours * 3600
        return _xml(xml.element("Authorization", xml.text("Result", token)))

    def _logview(self, request: Request) -> Response:
        """What a link shows: who has the token needs no key."""
        expires = self._tokens.get(request.query.get("token", ""), 0.0)
        if expires < self._accounts.clock():
            raise ServiceError(401, "Unauthorized", "ODPS-0410051: Invalid credentials - token expired")
        try:
            instance = self._instances.get(request.query.get("p", ""), request.query.get("i", ""))
        except NotFoundError:
            raise _not_found("Instance not found") from None
        return _text(self._instances.log(instance))

    # -- instances ----------------------------------------------------------------------------------

    def _handle_instances(self, request: Request, project: str, name: str, account: Account) -> Response:
        if not name:
            if request.method == "POST":
                return self._create(request, project, account)
            return self._list(request, project, account)
        try:
            instance = self._instances.get(project, name)
        except NotFoundError:
            raise _not_found(f"Instance not found - {name}") from None
        if request.method == "PUT" and "info" not in request.query:
            return self._stop(request, instance)
        return self._show(request, instance)

    def _create(self, request: Request, project: str, account: Account) -> Response:
        root = xml.parse(request.body)
        source = request.body.decode(errors="replace")
        xflow = root.find("XflowInstance")
        if xflow is not None:
            instance, new = self._submit_xflow(project, account, xflow, source)
        elif (task := root.find("Job/Tasks/SQL")) is not None:
            query = (task.findtext("Query") or "").strip()
            instance, new = self._instances.submit_sql(
                project,
                account.owner,
                task.findtext("Name") or "AnonymousSQLTask",
                source,
                (root.findtext("Job/Guid") or "").strip(),
                lambda: sql.select(self._tables, project, query).to_csv(),
            )
        else:
            raise ServiceError(400, "InvalidArgument", "ODPS-0420061: Invalid parameter - no known task")
        host = request.headers.get("host", "")
        location = f"http://{host}{BASE}/projects/{project}/instances/{instance.id}"
        return Response(201 if new else 200, headers={"Location": location})

    def _submit_xflow(
        self, project: str, account: Account, xflow: Element, source: str
    ) -> tuple[Instance, bool]:
        owner, name = xflow.findtext("Project") or "", xflow.findtext("Xflow") or ""
        if (owner, name) not in XFLOWS:
            raise _not_found(f"XFlow not found - {owner}.{name}")
        parameters = {
            node.findtext("Key") or "": node.findtext("Value") or ""
            for node in xflow.iterfind("Parameters/Parameter")
        }
        missing = [each for each in REQUIRED_PARAMETERS if not parameters.get(each)]
        if missing:
            message = f"ODPS-0420041: Missing parameter in HTTP request - {', '.join(missing)}"
            raise ServiceError(400, "MissingParameter", message)
        config = {
            node.findtext("Name") or "": node.findtext("Value") or ""
            for node in xflow.iterfind("Config/Property")
        }
        return self._instances.submit_xflow(
            project,
            account.owner,
            parameters=parameters,
            source=source,
            guid=(xflow.findtext("Guid") or "").strip(),
            settings=config.get("settings", ""),
            max_seconds=_max_seconds(parameters),
        )

    def _list(self, request: Request, project: str, account: Account) -> Response:
        query = request.query
        low, _, high = query.get("daterange", "").partition(":")
        if any(part and not part.isdigit() for part in (low, high, query.get("maxitems", ""))):
            raise ServiceError(400, "InvalidArgument", "ODPS-0420061: Invalid parameter - not a number")
        found = [
            each
            for each in self._instances.of_project(project)
            if (not low or each.started >= int(low))
            and (not high or each.started <= int(high))
            and (not query.get("status") or query["status"] == wire.state(each))
            and (query.get("onlyowner") == "no" or each.owner == account.owner)
        ]
        size = min(int(query.get("maxitems") or self.page_size), self.page_size)
        by_id = {each.id: each for each in found}
        page, marker = paged(list(by_id), query.get("marker", ""), size)
        return _xml(wire.listing([by_id[name] for name in page], marker))

    def _stop(self, request: Request, instance: Instance) -> Response:
        wanted = xml.parse(request.body).findtext("Status") or ""
        if wanted.strip() != "Terminated":
            raise ServiceError(400, "InvalidArgument", f"ODPS-0420061: Invalid parameter - status {wanted}")
        try:
            self._instances.stop(instance.project, instance.id)
        except StateError:
            message = "ODPS-0430082: Invalid state setting - the instance is already terminated"
            raise ServiceError(409, "InvalidStateSetting", message) from None
        return Response()

    def _show(self, request: Request, instance: Instance) -> Response:
        query = request.query
        headers = wire.headers(instance)
        if "downloads" in query or "downloadid" in query:
            return self._download(request, instance)
        if "taskstatus" in query:
            return _xml(wire.task_status(instance), headers)
        if "xresult" in query:
            return _xml(wire.sub_instances(instance))
        if "xsource" in query:
            if instance.kind is not Kind.XFLOW:
                message = "ODPS-0420061: Invalid parameter in HTTP request - not an xflow instance"
                raise ServiceError(400, "InvalidArgument", message)
            return Response(body=instance.source.encode())
        if "source" in query:
            return Response(body=wire.job_source(instance).encode())
        if "result" in query:
            return _xml(wire.result(instance))
        if "instancesummary" in query:
            return _json(wire.summary(instance))
        if "instancedetail" in query or "detail" in query:
            return _json(wire.detail(instance))
        if "instanceprogress" in query:
            return _xml(wire.progress(instance))
        if "log" in query:
            return _text(self._instances.log(instance))
        if "info" in query:
            return _text(instance.settings)
        return _xml(wire.status(instance), headers)

    def _download(self, request: Request, instance: Instance) -> Response:
        if "downloadid" in request.query:
            return self._downloads.serve(request)
        task = xml.parse(instance.source.encode()).findtext("Job/Tasks/SQL/Query") if instance.source else ""
        if instance.kind is not Kind.SQL or not task:
            raise ServiceError(400, "InstanceTypeNotSupported", "The instance is not a select")
        try:
            return self._downloads.open(sql.select(self._tables, instance.project, task))
        except SqlError as error:
            raise ServiceError(400, "InstanceTypeNotSupported", str(error)) from None


def _max_seconds(parameters: Mapping[str, str]) -> float:
    text = parameters.get(_TIME_LIMIT, "") or "0"
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < 1e6:
        message = f"ODPS-0420061: Invalid parameter in HTTP request - {_TIME_LIMIT}: {text}"
        raise ServiceError(400, "InvalidArgument", message)
    return hours * 3600


def _not_found(message: str) -> ServiceError:
    return ServiceError(404, "NoSuchObject", f"ODPS-0420111: {message}")


def _xml(content: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body=(xml.HEAD + content).encode(), headers=headers or {})


def _text(content: str) -> Response:
    return Response(body=content.encode(), content_type="text/plain")


def _json(content: object) -> Response:
    return Response(body=json.dumps(content).encode(), content_type="application/json")


_TENANT = {
    "Tenant": {
        "Name": "sandbox",
        "TenantId": "1",
        "OwnerId": "1",
        "TenantState": "NORMAL",
        "Parameters": {"odps.namespace.schema": "false"},
        "TenantMeta": {},
    }
}
