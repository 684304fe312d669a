"""
The web between a page and ingest: it serves the pages of a site, passes all else on to a real
`trackmate dev`, and does to requests of events what a test asks: refuses, dawdles, resets, answers
like a proxy that knows nothing of Trackmate.

It counts what came, by method, and keeps every body byte for byte; what was stored, only the
instance itself knows.
"""

import asyncio
import json
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET, create_server
from typing import Any

import aiohttp
from aiohttp import web

_HOP = {"host", "connection", "transfer-encoding", "content-length", "content-encoding"}
_EVENTS = "/v1/events"
_TURNS_TO_ACCEPT = 4  # of the loop: asyncio (3.11) never closes what is half accepted at the end


@dataclass(frozen=True)
class Fault:
    """What becomes of a request of events."""

    status: int = 0
    """0: it is passed on to ingest."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: bool = False
    """The connection is reset, before ingest hears of it; or after it, if it is `stored`."""
    stored: bool = False
    """It is passed on, and the answer is lost."""
    late_s: float = 0.0
    event: int | None = None
    """Which one of the batch it is about."""
    problem: str = ""
    """The kind, where it is Trackmate's own answer (RFC 9457), which any page may read."""


@dataclass(frozen=True)
class Came:
    """A request of events."""

    query: Mapping[str, str]
    body: bytes
    method: str


PASS = Fault()


class WebGateway:
    """`judge` is asked for each request of events; what a test sets takes effect at once."""

    def __init__(self, ingest: str) -> None:
        self._ingest = ingest
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        """HTML and headers, by path."""
        self.judge: Callable[[Came], Fault] = lambda _: PASS
        self.methods: Counter[str] = Counter()
        """Of requests to `/v1/`."""
        self.got: Counter[str] = Counter()
        """Requests, by path."""
        self.came: list[Came] = []
        self.slow: dict[str, float] = {}
        """Seconds that requests of other paths take, by the path; `methods` counts them by it."""
        self.hurt = 0
        """Requests that did not go as they should: that the fault bit."""
        self.port = 0
        self._ready = threading.Event()
        self._ended: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hurts(self, fault: Fault, *, times: int | None = None) -> None:
        """Each request of events from now on, or so many."""
        left = [times]

        def judge(_: Came) -> Fault:
            if left[0] is None:
                return fault
            if left[0] == 0:
                return PASS
            left[0] -= 1
            return fault

        self.judge = judge

    def heals(self) -> None:
        self.judge = lambda _: PASS

    def run(self) -> None:
        """On a thread of its own."""
        asyncio.run(self._serve())

    def wait(self) -> None:
        assert self._ready.wait(10), "the gateway listens"

    def end(self) -> None:
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 24)
        async with aiohttp.ClientSession(auto_decompress=False) as session:

            async def answer(request: web.Request) -> web.StreamResponse:
                return await self._answer(session, request)

            app.router.add_route("*", "/{path:.*}", answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            listening = create_server(("127.0.0.1", 0))
            await web.SockSite(runner, listening).start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._ended.wait()
            self._loop.remove_reader(listening)
            for _ in range(_TURNS_TO_ACCEPT):
                await asyncio.sleep(0)
            await runner.cleanup()

    async def _answer(
        self, session: aiohttp.ClientSession, request: web.Request
    ) -> web.StreamResponse:
        page = self.pages.get(request.path)
        self.got[request.path] += 1
        if page is not None:
            text, headers = page
            return web.Response(text=text, content_type="text/html", headers=headers)
        if request.path == "/favicon.ico":
            return web.Response(status=204)
        body = await request.read()
        if request.path in self.slow:
            self.methods[request.path.strip("/")] += 1
            await asyncio.sleep(self.slow[request.path])
            return web.Response()
        if not request.path.startswith("/v1/"):
            return await self._pass_on(session, request, body)
        self.methods[request.method] += 1
        came = Came(request.query, body, request.method)
        if request.path != _EVENTS or request.method != "POST":
            return await self._pass_on(session, request, body)
        self.came.append(came)
        return await self._hurt(session, request, body, self.judge(came))

    async def _hurt(
        self, session: aiohttp.ClientSession, request: web.Request, body: bytes, fault: Fault
    ) -> web.StreamResponse:
        if fault == PASS:
            return await self._pass_on(session, request, body)
        self.hurt += 1
        await asyncio.sleep(fault.late_s)
        if fault.stored or (not fault.status and not fault.reset):
            passed = await self._pass_on(session, request, body)
            if not fault.reset:
                return passed
        if fault.reset:
            _reset(request)
            return web.Response(status=500)
        headers = dict(fault.headers)
        if fault.problem:
            headers["Access-Control-Allow-Origin"] = "*"
            headers["Content-Type"] = "application/problem+json"
            headers["Access-Control-Expose-Headers"] = "Retry-After"
            said: dict[str, Any] = {
                "type": f"urn:trackmate:problem:{fault.problem}",
                "title": "As asked",
            }
            said |= {"status": fault.status, "detail": "As a test asked."}
            said |= {} if fault.event is None else {"event": fault.event}
            return web.Response(
                status=fault.status, body=json.dumps(said).encode(), headers=headers
            )
        return web.Response(status=fault.status, body=fault.body, headers=headers)

    async def _pass_on(
        self, session: aiohttp.ClientSession, request: web.Request, body: bytes
    ) -> web.StreamResponse:
        headers = {n: v for n, v in request.headers.items() if n.lower() not in _HOP}
        url = f"{self._ingest}{request.raw_path}"
        sent: dict[str, Any] = {"data": body or None, "headers": headers}
        try:
            async with session.request(request.method, url, **sent) as answer:
                kept = {n: v for n, v in answer.headers.items() if n.lower() not in _HOP}
                packed = answer.headers.get("Content-Encoding")
                if packed:
                    kept["Content-Encoding"] = packed
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except aiohttp.ClientError:
            return web.Response(status=502, text="<h1>Bad gateway</h1>", content_type="text/html")


def _reset(request: web.Request) -> None:
    if request.transport is None:
        return
    socket = request.transport.get_extra_info("socket")
    with suppress(OSError):
        socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


@contextmanager
def web_gateway(ingest: str) -> Iterator[WebGateway]:
    found = WebGateway(ingest)
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    found.wait()
    try:
        yield found
    finally:
        found.end()
        thread.join(10)
