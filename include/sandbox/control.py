"""The sandbox's own door (``/_sandbox``): faults, switches and books. Loopback only, never signed."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import asdict
from typing import Any

from include.errors import ConfigError
from include.sandbox.faults import CONTROL, Fault, FaultBook
from include.sandbox.jobs import Jobs
from include.sandbox.ledger import Ledger
from include.sandbox.maxcompute.instances import Instances
from include.sandbox.maxcompute.service import MaxComputeService
from include.sandbox.server import Request, Response, Served, ServiceError
from include.sandbox.signatures import Accounts

PREFIX = CONTROL
_SWITCHES: dict[str, type] = {"capacity": int, "guid_dedup": bool, "page_size": int}


class WithControl:
    """MaxCompute's service with the control door beside it, on one port."""

    name = "odps"

    def __init__(
        self,
        service: MaxComputeService,
        *,
        instances: Instances,
        jobs: Jobs,
        faults: FaultBook,
        accounts: Accounts,
        ledger: Ledger,
        served: deque[Served],
    ) -> None:
        self._service = service
        self._instances = instances
        self._jobs = jobs
        self._faults = faults
        self._accounts = accounts
        self._ledger = ledger
        self._served = served

    def handle(self, request: Request) -> Response:
        if not request.path.startswith(PREFIX + "/"):
            return self._service.handle(request)
        try:
            return self._control(request, request.path.removeprefix(PREFIX))
        except (ConfigError, json.JSONDecodeError, TypeError, ValueError) as error:
            body = json.dumps({"error": str(error)}).encode()
            return Response(400, body, content_type="application/json")

    def render_error(self, error: ServiceError, request: Request) -> Response:
        return self._service.render_error(error, request)

    def _control(self, request: Request, path: str) -> Response:
        given = json.loads(request.body or b"{}")
        route = (request.method, path)
        if route == ("GET", "/health"):
            return _json(self._jobs.counts())
        if route == ("GET", "/books"):
            return _json(self.books())
        if route == ("GET", "/requests"):
            return _json([asdict(each) for each in list(self._served)])
        if route == ("DELETE", "/requests"):
            self._served.clear()
            return _json({})
        if route == ("GET", "/faults"):
            return _json(self._faults.state())
        if route == ("POST", "/faults"):
            for fault in given if isinstance(given, list) else [given]:
                self._faults.add(Fault.parse(fault))
            return _json(self._faults.state())
        if route == ("DELETE", "/faults"):
            self._faults.clear()
            return _json(self._faults.state())
        if route == ("POST", "/settings"):
            return _json(self._switch(given))
        if route == ("POST", "/sts"):
            account = self._accounts.issue_temporary(float(given.get("seconds", 3600)))
            return _json(
                {
                    "access_key_id": account.key_id,
                    "access_key_secret": account.secret,
                    "security_token": account.token,
                    "expires": account.expires,
                }
            )
        body = json.dumps({"error": f"no such control: {request.method} {request.path}"}).encode()
        return Response(404, body, content_type="application/json")

    def books(self) -> dict[str, Any]:
        """Instances, the ledger, and how many jobs ever trained in each model_dir."""
        instances = self._instances.books()
        entries = self._ledger.read()
        started = Counter(entry["instance"] for entry in entries if entry["event"] == "started")
        trained: Counter[str] = Counter()
        for instance in instances:
            if model_dir := instance["parameters"].get("model_dir"):
                trained[model_dir] += started[instance["id"]]
        return {"instances": instances, "trained": trained, "ledger": entries, "jobs": self._jobs.counts()}

    def _switch(self, given: dict[str, Any]) -> dict[str, Any]:
        for name, value in given.items():
            if name not in _SWITCHES:
                raise ConfigError(f"there is no setting {name!r}", hint=f"known: {', '.join(_SWITCHES)}")
            if type(value) is not _SWITCHES[name]:
                raise ConfigError(f"{name} is {value!r}", hint=f"give a {_SWITCHES[name].__name__}")
        if "capacity" in given:
            self._jobs.capacity = given["capacity"]
        if "guid_dedup" in given:
            self._instances.guid_dedup = given["guid_dedup"]
        if "page_size" in given:
            self._service.page_size = given["page_size"]
        return {
            "capacity": self._jobs.capacity,
            "guid_dedup": self._instances.guid_dedup,
            "page_size": self._service.page_size,
        }


def _json(content: object) -> Response:
    return Response(body=json.dumps(content).encode(), content_type="application/json")
