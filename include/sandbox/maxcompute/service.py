"""MaxCompute on the wire: routes, and instances in and out of XML. State is in ``instances``."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from email.utils import formatdate
from xml.etree.ElementTree import Element

from include.errors import NotFoundError, StateError
from include.sandbox import xml
from include.sandbox.maxcompute import sql
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
            and (not query.get("status") or query["status"] == _status(each))
            and (query.get("onlyowner") == "no" or each.owner == account.owner)
        ]
        size = min(int(query.get("maxitems") or self.page_size), self.page_size)
        by_id = {each.id: each for each in found}
        page, marker = paged(list(by_id), query.get("marker", ""), size)
        rows = "".join(
            xml.element(
                "Instance",
                xml.text("Name", each.id),
                xml.text("Owner", each.owner),
                xml.text("StartTime", _date(each.started)),
                xml.text("EndTime", _date(each.ended)),
                xml.text("Status", _status(each)),
            )
            for each in (by_id[name] for name in page)
        )
        return _xml(
            xml.element("Instances", xml.text("Marker", marker), xml.text("MaxItems", len(page)), rows)
        )

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
        headers = {
            "x-odps-owner": instance.owner,
            "x-odps-start-time": _date(instance.started),
            "x-odps-end-time": _date(instance.ended),
        }
        if "downloads" in query or "downloadid" in query:
            return self._download(request, instance)
        if "taskstatus" in query:
            return _xml(xml.element("Instance", _status_xml(instance), _tasks(instance)), headers)
        if "xresult" in query:
            return _xml(xml.element("Xinstance", xml.element("Actions", *self._actions(instance))))
        if "xsource" in query:
            if instance.kind is not Kind.XFLOW:
                message = "ODPS-0420061: Invalid parameter in HTTP request - not an xflow instance"
                raise ServiceError(400, "InvalidArgument", message)
            return Response(body=instance.source.encode())
        if "source" in query:
            return Response(body=_job_source(instance).encode())
        if "result" in query:
            return _xml(xml.element("Instance", _result(instance)))
        if "instancesummary" in query:
            cost = json.dumps({"Cost": {"CPU": 0, "Memory": 0, "Input": 0}})
            return _json({"Instance": {"JsonSummary": cost, "Summary": instance.result[-500:]}})
        if "instancedetail" in query or "detail" in query:
            return _json({"mapReduce": {"jobs": []}, "Instance": _status(instance)})
        if "instanceprogress" in query:
            return _xml(_progress(instance))
        if "log" in query:
            return _text(self._instances.log(instance))
        if "info" in query:
            return _text(instance.settings)
        return _xml(xml.element("Instance", _status_xml(instance)), headers)

    def _actions(self, instance: Instance) -> list[str]:
        """Sub-instances, the training only once it has started."""
        if not instance.train:
            return []
        nodes = [("Local", "", "DataProcess"), ("Instance", instance.train, "train")]
        return [
            xml.element(
                "Action",
                xml.text("InstanceId", instance_id),
                xml.text("Name", name),
                '<Result Format="text"/>',
                NodeType=kind,
            )
            for kind, instance_id, name in nodes
        ]

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


def _status(instance: Instance) -> str:
    return "Terminated" if instance.is_terminated else "Running"


def _status_xml(instance: Instance) -> str:
    return xml.text("Status", _status(instance))


def _tasks(instance: Instance) -> str:
    task = xml.element(
        "Task",
        xml.text("Name", instance.task),
        xml.text("StartTime", _date(instance.started)),
        xml.text("EndTime", _date(instance.ended)),
        xml.text("Status", instance.status.value),
        "<Histories/>",
        Type=instance.kind.value,
    )
    return xml.element("Tasks", task)


def _result(instance: Instance) -> str:
    encoded = base64.b64encode(instance.result.encode()).decode()
    is_table = instance.kind is Kind.SQL and instance.status.value == "Success"
    kind = "csv" if is_table else "text"
    task = xml.element(
        "Task",
        xml.text("Name", instance.task),
        f'<Result Transform="Base64" Format="{kind}"><![CDATA[{encoded}]]></Result>',
        xml.text("Status", instance.status.value),
        Type=instance.kind.value,
    )
    return xml.element("Tasks", task)


def _job_source(instance: Instance) -> str:
    match = re.search(r"<Job>.*</Job>", instance.source, re.DOTALL)
    if match is not None:
        return match[0]
    task = xml.element(instance.kind.value, xml.text("Name", instance.task))
    return xml.element("Job", "<Name/>", xml.element("Tasks", task))


def _progress(instance: Instance) -> str:
    running = 0 if instance.is_terminated else 1
    counts = {
        "BackupWorkers": 0,
        "TerminatedWorkers": 1 - running,
        "RunningWorkers": running,
        "TotalWorkers": 1,
        "InputRecords": 0,
        "OutputRecords": 0,
        "FinishedPercentage": 100 * (1 - running),
    }
    stage = xml.element("Stage", *(xml.text(name, count) for name, count in counts.items()), ID="train")
    return xml.element("Progress", stage)


def _date(seconds: float | None) -> str:
    return formatdate(seconds, usegmt=True) if seconds is not None else ""


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
