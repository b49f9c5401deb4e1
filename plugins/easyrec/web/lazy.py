"""The app as Airflow's plugin gets it: built at the first request, since every component loads plugins.

Scheduler, triggerer, workers and the DAG processor never serve it, and FastAPI with our routes costs them
memory and time at start.
"""

from __future__ import annotations

import threading
from typing import Any

from easyrec.web.address import PREFIX, page_path


class LazyApp:
    """An ASGI app that makes the real one when it is first needed."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    @property
    def app(self) -> Any:
        with self._lock:
            if self._app is None:
                from easyrec.web.app import make_app

                self._app = make_app()
        return self._app


FASTAPI_APPS = [{"app": LazyApp(), "url_prefix": PREFIX, "name": "EasyRec"}]


def external_views() -> list[dict[str, str]]:
    """Airflow's menu entry and the tabs of a DAG and of a run. It takes their addresses as they are."""
    page = page_path()
    places = {
        "nav": ("easyrec", "/"),
        "dag": ("easyrec-dag", "/dags/{DAG_ID}"),
        "dag_run": ("easyrec-run", "/dags/{DAG_ID}/runs/{RUN_ID}"),
    }
    return [
        {"name": "EasyRec", "href": page + path, "destination": place, "url_route": route}
        for place, (route, path) in places.items()
    ]
