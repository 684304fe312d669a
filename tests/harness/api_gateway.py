"""
A gateway in front of an API server, as a cloud has one, that a test can make refuse, dawdle, or let
the watches that are open fall silent though their connections live.

Its limits: it speaks plain HTTP and goes to the server as the administrator, whoever asks; there is
no upgrade of a connection (`exec`, `port-forward`).
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from cluster_access import Cluster

_HOP = {"host", "connection", "transfer-encoding", "content-length", "content-encoding"}
_REFUSED = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "message": "Too many requests, please try again later.",
    "reason": "TooManyRequests",
    "code": 429,
}


class Gateway:
    """What a test sets takes effect at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ready = threading.Event()
        self._ended: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._silent_before = 0
        self._watches = 0
        self.port = 0
        self.refuses = False
        """
        All are answered with 429 but watches that are open and Leases, which have a priority level
        of their own.
        """
        self.late_s = 0.0
        """How long each request waits."""
        self.refused = 0
        self.held_back = 0
        """Bytes of watches that did not get through: that the fault bit."""

    def silence(self) -> None:
        """Nothing comes any more on the watches that are open."""
        self._silent_before = self._watches

    def kubeconfig(self, folder: Path) -> Path:
        """Of whoever comes this way."""
        file = folder / "gateway.kubeconfig"
        url = f"http://127.0.0.1:{self.port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "g", "cluster": {"server": url}}],
            "users": [{"name": "g", "user": {}}],
            "contexts": [{"name": "g", "context": {"cluster": "g", "user": "g"}}],
            "current-context": "g",
        }
        file.write_text(yaml.safe_dump(content))
        return file

    def run(self) -> None:
        """On a thread of its own."""
        asyncio.run(self._serve())

    def end(self) -> None:
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)

    def wait(self) -> None:
        assert self._ready.wait(10), "the gateway listens"

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        trust = ssl.create_default_context(cafile=self._cluster.ca_file)
        trust.load_cert_chain(self._cluster.certificate_file, self._cluster.key_file)
        app = web.Application(client_max_size=1 << 24)
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

            async def pass_on(request: web.Request) -> web.StreamResponse:
                return await self._pass_on(session, request)

            app.router.add_route("*", "/{path:.*}", pass_on)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._ended.wait()
            await runner.cleanup()

    async def _pass_on(
        self, session: aiohttp.ClientSession, request: web.Request
    ) -> web.StreamResponse:
        is_watch = "watch" in request.query
        if self.refuses and "/leases" not in request.path:
            self.refused += 1
            return web.json_response(_REFUSED, status=429, headers={"Retry-After": "1"})
        await asyncio.sleep(self.late_s)
        self._watches += is_watch
        number = self._watches
        url = f"{self._cluster.url}{request.raw_path}"
        body = await request.read() or None
        sent: dict[str, Any] = {"data": body, "headers": _passing(request.headers)}
        timeout = aiohttp.ClientTimeout(total=None)
        async with session.request(request.method, url, timeout=timeout, **sent) as answer:
            response = web.StreamResponse(status=answer.status, headers=_passing(answer.headers))
            response.enable_chunked_encoding()
            with suppress(ConnectionError, aiohttp.ClientError):  # whoever asked is gone
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    if is_watch and number <= self._silent_before:
                        self.held_back += len(piece)
                    else:
                        await response.write(piece)
                await response.write_eof()
            return response


def _passing(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}


@contextmanager
def gateway(cluster: Cluster) -> Iterator[Gateway]:
    found = Gateway(cluster)
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    found.wait()
    try:
        yield found
    finally:
        found.end()
        thread.join(10)
