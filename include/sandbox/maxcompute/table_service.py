"""MaxCompute's tables on the wire: description, partitions, download sessions."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

from include.errors import ConfigError, NotFoundError
from include.sandbox import xml
from include.sandbox.maxcompute import tunnel
from include.sandbox.maxcompute.sql import ResultSet
from include.sandbox.server import Request, Response, ServiceError
from include.sandbox.tables import PartitionInfo, TableSchema, TableStorage, format_spec, parse_spec

_MAX_SESSIONS = 64


class Downloads:
    """Open download sessions, the oldest forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, ResultSet] = OrderedDict()

    def open(self, result: ResultSet) -> Response:
        session = secrets.token_hex(16)
        with self._lock:
            self._sessions[session] = result
            while len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return _describe_session(session, result)

    def serve(self, request: Request) -> Response:
        session = request.query["downloadid"]
        with self._lock:
            result = self._sessions.get(session)
        if result is None:
            raise ServiceError(404, "NoSuchDownload", "The specified download session does not exist")
        if "data" not in request.query:
            return _describe_session(session, result)
        if "arrow" in request.query:
            raise ServiceError(501, "NotImplemented", "The sandbox's tunnel has no Arrow format")
        match = re.fullmatch(r"\((\d+),(\d+)\)", request.query.get("rowrange", ""))
        if match is None:
            raise ServiceError(400, "InvalidRowRange", "The specified row range is invalid")
        columns, rows = list(result.columns), list(result.rows)[int(match[1]) :][: int(match[2])]
        if request.query.get("columns"):
            # The client counts the chosen columns from 1 again.
            names = [column.name for column in columns]
            asked = request.query["columns"].lower().split(",")
            if not set(asked) <= set(names):
                raise ServiceError(400, "InvalidColumn", "The specified columns do not exist")
            chosen = [names.index(name) for name in asked]
            columns = [columns[index] for index in chosen]
            rows = [tuple(row[index] for index in chosen) for row in rows]
        data = tunnel.encode(columns, rows)
        return Response(body=data, content_type="application/octet-stream")


class TableService:
    """Requests below ``/projects/P/tables``."""

    def __init__(self, tables: TableStorage, downloads: Downloads, owner: str, page_size: int) -> None:
        self.page_size = page_size
        self._tables = tables
        self._downloads = downloads
        self._owner = owner

    def handle(self, request: Request, project: str, name: str) -> Response:
        if "downloadid" in request.query:
            return self._downloads.serve(request)
        if not name:
            return self._list(project)
        try:
            schema = self._tables.schema(project, name)
        except NotFoundError:
            message = f"ODPS-0130131: Table not found - table {project}.{name} cannot be resolved"
            raise ServiceError(404, "NoSuchTable", message) from None
        try:
            if "downloads" in request.query:
                return self._open_download(request, schema)
            if "partitions" in request.query:
                return self._partitions(request, schema)
            if request.query.get("partition"):
                return self._partition(request, schema)
        except ConfigError as error:
            raise ServiceError(400, "InvalidPartitionSpec", str(error)) from error
        except NotFoundError:
            message = "ODPS-0110031: The specified partition does not exist"
            raise ServiceError(404, "NoSuchPartition", message) from None
        return self._table(request, schema)

    def _list(self, project: str) -> Response:
        rows = "".join(
            xml.element("Table", xml.text("Name", name), xml.text("Owner", self._owner))
            for name in self._tables.tables(project)
        )
        return _xml(xml.element("Tables", "<Marker/>", xml.text("MaxItems", 1000), rows))

    def _table(self, request: Request, schema: TableSchema) -> Response:
        infos = self._infos(schema)
        changed = int(max([info.modified for info in infos] or [schema.created]))
        body: dict[str, Any] = {
            "columns": [_column(column.name, column.type) for column in schema.columns],
            "partitionKeys": [_column(key, "string") for key in schema.partition_keys],
            "createTime": int(schema.created),
            "lastDDLTime": int(schema.created),
            "lastModifiedTime": changed,
            "tableName": schema.name,
            "owner": self._owner,
            "isVirtualView": False,
            "size": sum(info.size for info in infos),
            "comment": schema.comment,
        }
        if "extended" in request.query:
            rows = sum(info.rows for info in infos)
            body |= {"IsArchived": False, "PhysicalSize": body["size"], "FileNum": len(infos)}
            body |= {"Reserved": "{}", "recordNum": rows}
        created, modified = (formatdate(moment, usegmt=True) for moment in (schema.created, changed))
        table = xml.element(
            "Table",
            xml.text("Name", schema.name),
            xml.text("TableId", schema.name),
            f'<Schema format="Json">{_cdata(body)}</Schema>',
            xml.text("Owner", self._owner),
            xml.text("CreationTime", created),
            xml.text("LastModifiedTime", modified),
        )
        return _xml(table)

    def _infos(self, schema: TableSchema) -> list[PartitionInfo]:
        if schema.partition_keys:
            specs = self._tables.partitions(schema.project, schema.name)
            return [self._tables.partition_info(schema.project, schema.name, spec) for spec in specs]
        try:
            return [self._tables.partition_info(schema.project, schema.name, "")]
        except NotFoundError:  # a table without rows
            return []

    def _partition(self, request: Request, schema: TableSchema) -> Response:
        info = self._tables.partition_info(schema.project, schema.name, self._full_spec(request, schema))
        changed = int(info.modified)
        body: dict[str, Any] = {
            "createTime": changed,
            "lastDDLTime": changed,
            "lastModifiedTime": changed,
            "partitionSize": info.size,
            "partitionRecordNum": info.rows,
        }
        if "extended" in request.query:
            body |= {"IsArchived": False, "IsExstore": False, "LifeCycle": -1, "PhysicalSize": info.size}
            body |= {"FileNum": 1, "Reserved": "{}"}
        return _xml(xml.element("Partition", f"<Schema>{_cdata(body)}</Schema>"))

    def _partitions(self, request: Request, schema: TableSchema) -> Response:
        given = request.query.get("partition", "")
        specs = self._tables.partitions(schema.project, schema.name, given)
        page, marker = paged(specs, request.query.get("marker", ""), self.page_size)
        parts = []
        for spec in page:
            info = self._tables.partition_info(schema.project, schema.name, spec)
            levels = "".join(
                f'<Column Name="{key}" Value="{value}"/>' for key, value in parse_spec(spec).items()
            )
            moments = ("CreationTime", "LastDDLTime", "LastModifiedTime")
            times = "".join(xml.text(moment, int(info.modified)) for moment in moments)
            size = xml.text("PartitionSize", info.size) + xml.text("PartitionRecordCount", info.rows)
            parts.append(xml.element("Partition", levels, times, size))
        head = xml.text("Marker", marker) + xml.text("MaxItems", self.page_size)
        return _xml(xml.element("Partitions", head, *parts))

    def _open_download(self, request: Request, schema: TableSchema) -> Response:
        spec = ""
        if schema.partition_keys:
            if not request.query.get("partition"):
                raise ServiceError(400, "MissingPartitionSpec", "The specified partition spec is missing")
            spec = self._full_spec(request, schema)
            self._tables.partition_info(schema.project, schema.name, spec)
        rows = self._tables.read_rows(schema.project, schema.name, spec)
        return self._downloads.open(ResultSet(schema.columns, rows))

    def _full_spec(self, request: Request, schema: TableSchema) -> str:
        levels = parse_spec(request.query["partition"])
        if set(levels) != set(schema.partition_keys):
            raise NotFoundError("no such partition")
        return format_spec({key: levels[key] for key in schema.partition_keys})


def paged(items: Sequence[str], marker: str, size: int) -> tuple[Sequence[str], str]:
    """One page and the marker of the next one, empty at the end."""
    if marker and not marker.isdigit():
        raise ServiceError(400, "InvalidArgument", "The marker is invalid")
    start = int(marker or 0)
    return items[start : start + size], str(start + size) if start + size < len(items) else ""


def _column(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "comment": "", "isNullable": True}


def _describe_session(session: str, result: ResultSet) -> Response:
    columns = [
        {"name": column.name, "type": column.type, "comment": "", "nullable": True}
        for column in result.columns
    ]
    body = {
        "DownloadID": session,
        "Status": "normal",
        "RecordCount": len(result.rows),
        "Schema": {"IsVirtualView": False, "columns": columns, "partitionKeys": []},
    }
    return Response(body=json.dumps(body).encode(), content_type="application/json")


def _cdata(body: dict[str, Any]) -> str:
    return f"<![CDATA[{json.dumps(body)}]]>"


def _xml(content: str) -> Response:
    return Response(body=(xml.HEAD + content).encode())
