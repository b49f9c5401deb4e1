"""A DingTalk group's robot on loopback: keeps what arrives, answers what the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "4f1d0b7a9c2e86435d"
ACCEPTED = b'{"errcode":0,"errmsg":"ok"}'


@dataclass
class Robot:
    url: str = ""
    status: int = 200
    answer: bytes = ACCEPTED
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    """Answers its first bytes only, and then nothing until the test is over."""
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Every request as (path, body), in order."""
    over: threading.Event = field(default_factory=threading.Event)

    def connection(self, **changes: Any) -> str:
        """For ``AIRFLOW_CONN_<ID>``."""
        return json.dumps({"conn_type": "dingding", "host": self.url, "password": TOKEN, **changes})

    def texts(self) -> list[str]:
        return [body["markdown"]["text"] for _, body in self.requests]


@contextmanager
def running_robot() -> Iterator[Robot]:
    robot = Robot()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            robot.requests.append((self.path, json.loads(body)))
            if robot.silent:
                self.wfile.write(b"HTTP/1.1 ")
                robot.over.wait()
                return
            self.send_response(robot.status)
            for name, value in {"Content-Length": str(len(robot.answer)), **robot.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(robot.answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    robot.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield robot
    finally:
        robot.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
