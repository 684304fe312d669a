"""
The console of `trackmate dev`: the live page and the demo shop, and in front of them and of the API
the check that this machine asks. They show keys and events, so they answer loopback hosts only.
"""

from html import escape
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response

from trackmate.dev import api, insights_api, paste
from trackmate.dev.instance import Instance
from trackmate_consume.sink import Down
from trackmate_ingest.keys import Use, is_loopback

_ADDRESSES = ("/", "/insights", "/demo")
_BELOW = ("/api/", "/pages/")
_PAGES = (Path(str(files("trackmate"))) / "pages").resolve()
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def has(path: str) -> bool:
    """
    Whether the console answers at this address.

    >>> has("/demo"), has("/api/affiliates"), has("/v1/events"), has("//v1/events")
    (True, True, False, False)
    """
    return path in _ADDRESSES or path.startswith(_BELOW)


def create_console(instance: Instance, url: str) -> FastAPI:
    """Build the console; `url` is where this process answers."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.instance = instance
    app.state.url = url
    app.include_router(api.router)
    app.include_router(api.manifests)
    app.include_router(insights_api.router)
    app.add_exception_handler(Down, _down)

    @app.middleware("http")
    async def only_this_machine(request: Request, call_next: RequestResponseEndpoint) -> Response:
        refusal = _refusal(request)
        if refusal:
            return JSONResponse({"detail": refusal}, 403, _HEADERS)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/")
    async def console() -> FileResponse:
        return FileResponse(str(_PAGES / "console.html"))

    @app.get("/insights")
    async def insights() -> FileResponse:
        return FileResponse(str(_PAGES / "insights.html"))

    @app.get("/demo")
    async def demo() -> HTMLResponse:
        running = next(iter(instance.affiliates.values()), None)
        key = paste.pick(running.keys, Use.BROWSER) if running else None
        page = (_PAGES / "demo.html").read_text("utf-8")
        return HTMLResponse(page.replace("{{key}}", escape(key.value if key else "")))

    @app.get("/pages/{path:path}")
    async def page(path: str) -> FileResponse:
        file = (_PAGES / path).resolve()  # an absolute path would lead away from the pages
        if not (file.is_relative_to(_PAGES) and file.is_file()):
            raise HTTPException(404, f"No page {path!r}.")
        return FileResponse(str(file))

    return app


async def _down(_: Request, fault: Exception) -> Response:
    return JSONResponse({"detail": f"{fault}. What was stored is safe; ask again."}, 503)


def _refusal(request: Request) -> str | None:
    """Why a request is not from this machine's own pages or commands; None when it is."""
    host = (request.url.hostname or "").lower()
    if not is_loopback(host):
        return f"The console answers on this machine only, not to {host!r}."  # DNS rebinding
    origin = request.headers.get("origin")
    if request.method != "GET" and origin and origin != f"http://{request.url.netloc}":
        return f"A page of {origin!r} may not change anything here."
    return None
