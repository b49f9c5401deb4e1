"""The page's API within this process: its routes and what they read of a request, without Airflow's login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
from airflow.api_fastapi.core_api.security import get_user

from easyrec.web import access, control_routes
from easyrec.web.app import make_app
from include.experiments.control import Control


class PageClient:
    """Its requests may do all. An exception that the app lets out is an answer with status 500."""

    def __init__(self, control: Callable[[], Control], *, root_path: str = "") -> None:
        """``control``: the store and Airflow, asked for anew by each request. ``root_path``: where the app lies."""
        app = make_app()
        app.dependency_overrides = {
            access.store: lambda: control().store,
            access.workflow: lambda: control().workflow,
            access.Rights: _anyone,
            access.refuse_forgery: lambda: None,
            control_routes.acting: control,
            get_user: _anyone,
        }
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False, root_path=root_path)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, content: bytes, kind: str = "application/json") -> httpx.Response:
        return self.request("POST", path, content=content, headers={"Content-Type": kind})

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def answer() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://page") as client:
                return await client.request(method, path, **options)

        return asyncio.run(answer())


def _anyone() -> Any:
    def may(*_: Any) -> bool:
        return True

    rights = ("may_read", "may_change", "check_read", "check_read_one_of", "check_change")
    return SimpleNamespace(name="test", **dict.fromkeys(rights, may))
