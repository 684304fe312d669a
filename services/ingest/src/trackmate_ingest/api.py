"""
What is not the hot path: health, readiness, the settings that Segment's browser SDK asks for, and
the documentation of the whole.
"""

import time
from pathlib import Path
from typing import Any

import swagger_ui_bundle
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from trackmate_ingest import problems, sdk, segment
from trackmate_ingest.collect import Collector
from trackmate_ingest.keys import Use
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.openapi import document, refusals
from trackmate_ingest.problems import Answer, Kind, Refused
from trackmate_ingest.request import one_host
from trackmate_ingest.standing import Standing

_KIND = {404: problems.NOT_FOUND, 405: problems.METHOD_NOT_ALLOWED}

router = APIRouter()


class Script(Response):
    """JavaScript, as RFC 9239 names it."""

    media_type = "text/javascript"


def create_api(collector: Collector, metrics: Metrics, standing: Standing) -> FastAPI:
    """Build the app behind the hot path."""
    api = FastAPI(title="Trackmate ingest", docs_url=None, redoc_url=None, openapi_url=None)
    api.state.collector = collector
    api.state.metrics = metrics
    api.state.standing = standing
    api.include_router(router)
    assets = Path(swagger_ui_bundle.swagger_ui_path)
    api.mount("/docs/assets", StaticFiles(directory=assets), name="assets")
    api.add_exception_handler(HTTPException, _not_a_route)
    api.add_exception_handler(Refused, _refused)
    return api


class Health(BaseModel):
    """Whether the process lives: "ok", or why it can only be replaced."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether requests should be sent here."""

    ready: bool
    reason: str


@router.get(
    "/healthz",
    summary="Whether the process lives",
    responses={
        **refusals(400),
        503: {"model": Health, "description": "Replace it; `status` says why"},
    },
)
async def healthz(request: Request, response: Response) -> Health:
    dead = request.app.state.standing.dead()
    if dead:
        response.status_code = 503
    return Health(status=dead or "ok")


@router.get(
    "/readyz",
    summary="Whether requests should be sent here",
    responses={
        **refusals(400),
        503: {"model": Readiness, "description": "Not now; `reason` says why"},
    },
)
async def readyz(request: Request, response: Response) -> Readiness:
    standing: Standing = request.app.state.standing
    fault = standing.fault()
    if request.app.state.metrics.draining:
        fault = "draining: the process was asked to stop"
    if fault:
        response.status_code = 503
    return Readiness(ready=not fault, reason=fault or standing.note())


@router.get(
    "/v1/projects/{key}/settings",
    summary="What Segment's browser SDK asks for at start",
    responses=refusals(400, 401, 414, 421),
)
async def settings(key: str, request: Request) -> dict[str, Any]:
    host = one_host(request.scope)
    ring = request.app.state.collector.directory.ring(host)
    found = ring.find(key.encode())
    now_ms = time.time_ns() // 1_000_000
    if found is None or found[0].use is Use.SERVER or found[0].expired(now_ms):
        raise Refused(
            problems.UNAUTHORIZED,
            "This is no browser key of this host, or it has expired. Copy the key of the "
            "affiliate's page again.",
        )
    return segment.settings(key, host=host.decode("latin-1"), scheme=request.url.scheme)


@router.api_route("/trackmate.js", methods=["GET", "HEAD"], include_in_schema=False)
async def newest(request: Request) -> Response:
    return _script(request, sdk.newest(), f"public, max-age={sdk.NEWEST_S}")


@router.api_route("/trackmate-{version}.js", methods=["GET", "HEAD"], include_in_schema=False)
async def pinned(version: str, request: Request) -> Response:
    found = sdk.scripts().get(version)
    if found is None:
        known = ", ".join(sdk.scripts())
        raise Refused(
            problems.NOT_FOUND,
            f"There is no version {version[:50]!r} of the web SDK here; there is {known}. "
            "/trackmate.js is the newest.",
        )
    return _script(request, found, f"public, max-age={sdk.PINNED_S}, immutable")


def _script(request: Request, script: sdk.Script, kept: str) -> Response:
    headers = {
        "ETag": script.etag,
        "Cache-Control": kept,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if script.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Script(script.content, headers=headers)
    return Script(script.packed, headers={**headers, "Content-Encoding": "gzip"})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(document(request.app))


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Trackmate ingest",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon-32x32.png",
    )


async def _not_a_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as it is registered
    kind = _KIND.get(error.status_code, Kind("http", error.status_code, str(error.detail)))
    detail = f"There is no route {request.method} {request.url.path}. Those there are: /docs"
    allow = (error.headers or {}).get("Allow")
    headers = [(b"allow", allow.encode())] if allow else None
    return _response(Answer.problem(kind, detail, headers=headers))


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - as it is registered
    return _response(error.answer)


def _response(answer: Answer) -> Response:
    headers = {
        name.decode(): value.decode()
        for name, value in answer.headers
        if not name.startswith(b"access-control-")  # added to every answer of the app
    }
    return Response(answer.body, answer.status, headers)
