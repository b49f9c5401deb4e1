"""HTTP for the stand-ins: requests in, responses out, faults in between.

A service sees a parsed ``Request`` and returns a ``Response``; it knows no sockets. Keep-alive, chunked
bodies and many clients at once are handled here.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from include.sandbox.faults import Fault, FaultBook

log = logging.getLogger(__name__)

_STOP_POLL_S = 0.02


@dataclass(frozen=True)
class Request:
    """``path`` is decoded, ``target`` is the request line's path and query as they came."""

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @classmethod
    def parse(cls, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(method, target, unquote(parts.path), query, lower, body)


@dataclass(frozen=True)
class Response:
    """``length`` is what a HEAD request's answer announces without sending it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/xml"
    length: int | None = None


class ServiceError(Exception):
    """An error as the real service reports it: HTTP status, its code, its message."""

    def __init__(self, status: int, code: str, message: str = "", **details: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code
        self.details = details


class Service(Protocol):
    name: str

    def handle(self, request: Request) -> Response:
        """Raises ServiceError."""
        ...

    def render_error(self, error: ServiceError, request: Request) -> Response: ...


@dataclass(frozen=True)
class Served:
    """One request that was answered, for whoever counts them."""

    service: str
    method: str
    path: str
    status: int
    seconds: float


class ServiceServer(ThreadingHTTPServer):
    """One service on one loopback port. ``start`` serves from a thread, ``stop`` drops all connections."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, service: Service, port: int, faults: FaultBook, served: deque[Served]) -> None:
        self.service = service
        self.faults = faults
        self.served = served
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        name = f"sandbox-{self.service.name}"
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_STOP_POLL_S,), name=name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client was quicker
                continue
        self._thread.join(5)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request
        log.debug("%s: %s broke the connection", self.service.name, client_address, exc_info=True)

    def respond(self, request: Request) -> Response:
        try:
            return self.service.handle(request)
        except ServiceError as error:
            return self.service.render_error(error, request)
        except Exception:
            log.exception("the sandbox's %s failed at %s %s", self.service.name, request.method, request.path)
            return self.service.render_error(
                ServiceError(500, "InternalError", "the sandbox failed, see its log"), request
            )


class _Handler(BaseHTTPRequestHandler):
    server: ServiceServer
    protocol_version = "HTTP/1.1"
    # One packet per answer: a small write after another waits for the peer's delayed ACK (40 ms).
    wbufsize = -1
    disable_nagle_algorithm = True

    def version_string(self) -> str:
        return f"easyrec-automl-sandbox-{self.server.service.name}"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in ``served``: query strings can hold signatures."""

    def handle_expect_100(self) -> bool:
        accepted = super().handle_expect_100()
        self.wfile.flush()
        return accepted

    def _answer(self) -> None:
        started = time.monotonic()
        request = Request.parse(self.command, self.path, dict(self.headers.items()), self._read_body())
        fault = self.server.faults.take(self.server.service.name, request.method, request.target)
        response = self._answer_with_fault(request, fault) if fault else self.server.respond(request)
        status = 0
        if response is not None:
            status = response.status
            self._send(response)
        seconds = time.monotonic() - started
        self.server.served.append(
            Served(self.server.service.name, request.method, request.path, status, seconds)
        )

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = _answer

    def _answer_with_fault(self, request: Request, fault: Fault) -> Response | None:
        """The response to send, or None when the connection is gone."""
        if fault.seconds:
            self.server.stopping.wait(fault.seconds)
        if fault.kind == "reset_before":
            self._reset()
            return None
        if fault.kind == "status":
            if fault.body:
                return Response(fault.status, fault.body.encode(), content_type="text/html")
            error = ServiceError(fault.status, fault.code, fault.message)
            return self.server.service.render_error(error, request)
        response = self.server.respond(request)
        if fault.kind == "reset_after_commit":
            self._reset()
            return None
        if fault.kind == "cut_body":
            self._send(response, cut=True)
            self.close_connection = True
            return None
        return response

    def _reset(self) -> None:
        self.close_connection = True
        # Linger 0: the kernel sends RST instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile.flush()
        self.connection.close()

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        size = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(size) if size else b""

    def _send(self, response: Response, *, cut: bool = False) -> None:
        bodiless = response.status in (204, 304)
        self.send_response(response.status)
        headers = {
            "Content-Type": response.content_type,
            f"x-{self.server.service.name}-request-id": uuid.uuid4().hex.upper()[:24],
            **response.headers,
        }
        if not bodiless:
            length = len(response.body) if response.length is None else response.length
            headers["Content-Length"] = str(length)
        for name, value in headers.items():
            # http.client and http.server speak Latin-1; OSS metadata may be UTF-8.
            self.send_header(name, value.encode().decode("latin-1"))
        self.end_headers()
        if self.command != "HEAD" and not bodiless:
            self.wfile.write(response.body[: len(response.body) // 2] if cut else response.body)
        self.wfile.flush()
