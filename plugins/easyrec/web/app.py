"""The FastAPI app: pages, API, static files, and what every answer carries."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel
from starlette.middleware.gzip import GZipMiddleware

from easyrec.web import control_routes, job_routes, routes
from easyrec.web.address import PREFIX
from include.errors import ConfigError, EasyRecAutoMLError, NotFoundError, RetryableError, StateError

_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
"""Plotly writes style elements and draws to blobs; scripts come from us alone."""
_STATUS: tuple[tuple[type[EasyRecAutoMLError], int], ...] = (
    (NotFoundError, status.HTTP_404_NOT_FOUND),
    (ConfigError, 422),
    (StateError, status.HTTP_409_CONFLICT),
    (RetryableError, status.HTTP_503_SERVICE_UNAVAILABLE),
)

_MOST_LISTED, _LONGEST_NAME = 10, 200
"""Of what is wrong with a request."""

LoggedIn = Annotated[Any, Depends(get_user)]


class Refusal(BaseModel):
    """Why something was not done. ``hint``: what to do, where that is known."""

    detail: str
    hint: str = ""


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "nobody is logged in"},
    403: {"model": Refusal, "description": "no access to the DAG, or the request comes from another site"},
    404: {"model": Refusal, "description": "there is no such thing"},
    409: {"model": Refusal, "description": "it makes no sense in the present state"},
    422: {"model": Refusal, "description": "the request makes no sense"},
    502: {"model": Refusal, "description": "MaxCompute or OSS refused"},
    503: {"model": Refusal, "description": "something is away for now: ask again"},
}


def make_app() -> FastAPI:
    app = FastAPI(
        title="EasyRec AutoML",
        description="What the page shows, for scripts: log in with POST /auth/token, then send "
        "`Authorization: Bearer …`.",
        version="1",
        docs_url=None,  # they would load their scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(GZipMiddleware, minimum_size=2000)
    app.middleware("http")(_whole_addresses)
    app.middleware("http")(_safe_headers)
    app.add_exception_handler(EasyRecAutoMLError, _explain)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(status.HTTP_401_UNAUTHORIZED, _log_in)
    app.mount("/static/plotly", StaticFiles(directory=_plotly()), name="plotly")
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    for part in (routes, job_routes, control_routes):
        app.include_router(part.router, prefix="/api", responses=REFUSALS)
    _add_pages(app)
    return app


def _add_pages(app: FastAPI) -> None:
    templates = Jinja2Templates(directory=_HERE / "templates")

    def page(request: Request, _user: LoggedIn) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        return templates.TemplateResponse(request, "page.html", {"root": root})

    for path in (
        "/",
        "/experiments/{experiment}",
        "/experiments/{experiment}/trials/{number}",
        "/task",
        "/models/{model}/days",
        "/dags/{dag_id}",
        "/dags/{dag_id}/runs/{run_id:path}",
    ):
        app.add_api_route(path, page, response_class=HTMLResponse, include_in_schema=False)

    def openapi(request: Request, _user: LoggedIn) -> Any:
        return {**app.openapi(), "servers": [{"url": request.scope.get("root_path") or "/"}]}

    app.add_api_route("/openapi.json", openapi, include_in_schema=False)


def _plotly() -> Path:
    """Where the pip package keeps plotly.min.js; found without importing it."""
    import importlib.util

    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ConfigError("the package plotly is not installed", hint="pip install -r requirements.lock")
    return Path(spec.origin).parent / "package_data"


async def _safe_headers(request: Request, call_next: Any) -> Response:
    answer: Response = await call_next(request)
    answer.headers.setdefault("Content-Security-Policy", _POLICY)
    answer.headers.setdefault("X-Content-Type-Options", "nosniff")
    answer.headers.setdefault("Referrer-Policy", "same-origin")
    static = "/static/" in request.url.path
    answer.headers.setdefault("Cache-Control", "public, max-age=300" if static else "no-store")
    return answer


async def _whole_addresses(request: Request, call_next: Any) -> Response:
    """A zero byte is in no name, and a database refuses to look for one."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        return _answer(status.HTTP_400_BAD_REQUEST, "the address holds a zero byte")
    answer: Response = await call_next(request)
    return answer


def _explain(_request: Request, error: Exception) -> JSONResponse:
    """Our errors in the words they carry."""
    code = next((code for kind, code in _STATUS if isinstance(error, kind)), 502)
    return _answer(code, str(error), getattr(error, "hint", ""))


def _refuse(_request: Request, error: Exception) -> JSONResponse:
    """A request of other fields or types, in words. What came is not repeated: JSON may not be able to hold it."""
    assert isinstance(error, RequestValidationError)
    wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
    shown = [f"{where[:_LONGEST_NAME]}: {message}" for where, message in wrong[:_MOST_LISTED]]
    if len(wrong) > len(shown):
        shown.append(f"and {len(wrong) - len(shown)} more")
    return _answer(422, "; ".join(shown))


def _answer(code: int, detail: str, hint: str = "") -> JSONResponse:
    """``detail`` may quote what a request brought: half of a surrogate pair, which no answer can carry, too."""
    texts = {"detail": detail, "hint": hint}
    return JSONResponse({k: text.encode("utf-8", "replace").decode() for k, text in texts.items()}, code)


def _log_in(request: Request, error: Exception) -> Response:
    """401 for everybody who isn't logged in; in words where a person looks."""
    detail = error.detail if isinstance(error, HTTPException) else "Not authenticated"
    if "text/html" not in request.headers.get("Accept", ""):
        return JSONResponse({"detail": detail}, status_code=401)
    airflow = request.scope.get("root_path", "").removesuffix(PREFIX)
    return HTMLResponse(
        '<!doctype html><meta charset="utf-8"><title>EasyRec</title>'
        "<p>Please log in to Airflow first. 请先登录 Airflow。"
        f'<p><a href="{html.escape(airflow)}/auth/login?next={airflow}/plugin/easyrec">Log in 登录</a>',
        status_code=401,
    )
