"""
The HTTP server: uvicorn, with what its stock lacks. A deadline for slow requests, refusals that a
browser can read, and a drain that resets nobody.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import re
import select
import socket
import struct
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trackmate_ingest import problems
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.problems import Answer, retry_after

_HEADER_SECONDS = 10.0
_ANSWER_SECONDS = 15.0
_MAX_HEADER_BYTES = 32 * 1024
_MAX_FIELDS = 256  # of headers and trailers together
_KEEP_ALIVE_SECONDS = 75  # more than a proxy keeps an idle connection: the proxy closes first
_BACKLOG = 4096
QUIET_SECONDS = 0.25  # without traffic a draining server is done
AT_THE_DOOR_SECONDS = 0.05
_EMPTIED_SECONDS = 1
_SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h

_log = logging.getLogger("trackmate.ingest")


class Connection(HttpToolsProtocol):
    """One connection, and what it waits for."""

    since: float | None = None
    """When the request being received began; None between requests."""
    asked: float | None = None
    """When the request being answered was complete; None between requests."""
    _unfinished = 0
    _begun = 0
    _lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = _Gentle(self, transport)  # type: ignore[assignment]
        self.since = self.loop.time()  # a silent connection is a slow request

    def data_received(self, data: bytes) -> None:
        if b"pgrade:" in data and not self._is_in_body():
            data = _without_upgrade(data)
        self._unfinished += len(data)  # what begins a request, and what is body, sets it back
        self._begun = 0
        was_idle = self.since is None or self.scope is None
        super().data_received(data)
        if self.since is not None:
            if was_idle and self._begun == 1 and not self._is_in_body():
                self._unfinished = len(data)  # all of it one head, and not its end
            self._check_fields()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.since = self.loop.time()
        self._unfinished = 0
        self._begun += 1

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.since = None
        if not self.cycle.response_complete:
            self.asked = self.loop.time()
        super().on_message_complete()
        if self._lingering:
            self.transport.close()

    def wants_more(self) -> bool:
        """Whether a request is answered and not all here."""
        cycle = self.cycle
        return self.since is not None and cycle is not None and cycle.response_complete

    def linger(self) -> None:
        """
        Say that this was the last answer, and let the rest of the request come (RFC 9112 9.6).

        A connection closed before all that was sent to it is read is reset, and the client loses
        the answer with it.
        """
        self._lingering = True
        self.transport.write_eof()

    def on_response_complete(self) -> None:
        self.asked = None
        super().on_response_complete()

    def _is_in_body(self) -> bool:
        return self.since is not None and self.scope is not None and "path" in self.scope

    def _check_fields(self) -> None:
        """Bound what endless headers, or trailers behind a body, may keep in memory."""
        if self.scope is None or self.transport.is_closing():
            return
        if self._unfinished > _MAX_HEADER_BYTES or len(self.headers) > _MAX_FIELDS:
            detail = f"The headers are over {_MAX_HEADER_BYTES} bytes. Send fewer or shorter ones."
            self._refuse(Answer.problem(problems.HEADERS_TOO_LARGE, detail))

    def send_400_response(self, msg: str) -> None:
        detail = "The request is not well-formed HTTP/1.1 (RFC 9112). Send it with an HTTP library."
        self._refuse(Answer.problem(problems.BAD_REQUEST, detail))

    def check_deadline(self, now: float) -> None:
        """End a request that takes too long to arrive; one that never spoke just closes."""
        if self.asked is not None and now - self.asked > _ANSWER_SECONDS:
            self._give_up()
        if self.since is None:
            return
        seconds = _HEADER_SECONDS
        if self.scope is not None and "path" in self.scope:
            seconds = self.scope.get("body_timeout_s", seconds)  # type: ignore[assignment]
        if now - self.since < seconds:
            return
        if self.scope is None or self._lingering:
            self.since = None
            self.transport.close()
            return
        detail = (
            f"The request was not complete after {seconds:g} s. Send it again, faster or smaller."
        )
        self._refuse(Answer.problem(problems.TOO_SLOW, detail))

    def _give_up(self) -> None:
        """Whatever the app waits for, nobody waits for ever. A stream that has begun goes on."""
        if self.cycle.response_started:
            return
        detail = "Not confirmed in time. Repeat the same request with the same ids: that is safe."
        self._refuse(Answer.problem(problems.UNAVAILABLE, detail, headers=retry_after(1)))

    def _refuse(self, answer: Answer) -> None:
        self.since = self.asked = None
        started = self.cycle is not None and self.cycle.response_started
        if not self._lingering and (not started or self.cycle.response_complete):
            self.transport.write(answer.raw())
        self.transport.close()


_UPGRADE = re.compile(rb"(?im)^upgrade:")


def _without_upgrade(data: bytes) -> bytes:
    """
    Pass over an offer to speak another protocol, as RFC 9110 7.8 allows: the parser would stop
    before the body, which curl and Java send behind an offer of h2c.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"x-offered:", head) + end + rest


class _Gentle:
    """
    What uvicorn needs of a transport; closes gently where the answer came before the request.

    Of the connection and not of each request: that would be a reference cycle a request, and the
    search for those is dear.
    """

    __slots__ = ("_connection", "_transport", "is_closing", "write", "write_eof")

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self.is_closing = transport.is_closing
        self.write = transport.write
        self.write_eof = transport.write_eof

    def close(self) -> None:
        if self._connection.wants_more():
            self._connection.linger()
        else:
            self._transport.close()


class Server(uvicorn.Server):
    """
    Serves one ASGI app on sockets that are bound already.

    On SIGTERM it goes on accepting, with `Connection: close` on every answer, until nothing comes
    any more or `drain_seconds` have passed. A load balancer that still sends here is served.
    """

    def __init__(self, app: Any, metrics: Metrics, *, drain_seconds: float = 10.0) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                access_log=False,  # ours is in logs.py, and never shows a query string
                log_config=None,
                server_header=False,
                proxy_headers=False,  # who a client is, no header of its own may say
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=int(drain_seconds),
            )
        )
        self._metrics = metrics
        self._drain_seconds = drain_seconds
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # else a line for each bad byte

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _look_for_garbage_less()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self._connections()):
                connection.check_deadline(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._metrics.draining = True
        _log.info("draining", extra={"fields": {"seconds": self._drain_seconds}})
        self.server_state.default_headers.append((b"connection", b"close"))
        for connection in self._connections():
            if connection.cycle is not None:  # begun with the headers of before
                connection.cycle.keep_alive = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                await self._quiet()
        await _accept_the_rest(sockets or [])
        for server in self.servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._answered()
        await super().shutdown(sockets)
        self._captured_signals.clear()  # a drain that succeeded ends the process with 0

    async def _quiet(self) -> None:
        """Return when no request came for a while and none is under way."""
        seen, since = -1, 0.0
        loop = asyncio.get_running_loop()
        while True:
            state = self.server_state
            if state.total_requests != seen or state.tasks or self._receiving():
                seen, since = state.total_requests, loop.time()
            if loop.time() - since >= QUIET_SECONDS:
                return
            await asyncio.sleep(0.01)

    async def _answered(self) -> None:
        """Return when every accepted connection has had its answer."""
        while self.server_state.tasks or self._receiving():  # noqa: ASYNC110 - uvicorn tells no event
            await asyncio.sleep(0.01)

    def _receiving(self) -> bool:
        return any(connection.since is not None for connection in self._connections())

    def _connections(self) -> set[Connection]:
        return self.server_state.connections  # type: ignore[return-value]


def _look_for_garbage_less() -> None:
    """
    Measured at one event a request: Python's search for cycles took 12 of 56 µs, as it went through
    all that start-up had made, for each 700 objects. Requests make few cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _accept_the_rest(sockets: list[socket.socket]) -> None:
    """
    Let nobody new in, and everybody who is at the door.

    Closing a listening socket resets connections that wait to be accepted, and those whose
    handshake is not complete. A packet filter that drops every first packet (Linux, socket(7))
    keeps newcomers out while the loop accepts the rest; they try again and then meet a closed
    port, which is no answer to a request.

    The loop accepts one connection a turn (libuv 1.45 and newer), so the time alone says nothing:
    a process that gets no processor may have had one turn in it.
    """
    door = select.poll()
    for listener in sockets:
        door.register(listener, select.POLLIN)
        if sys.platform == "linux":
            keep_newcomers_out(listener)
    await asyncio.sleep(AT_THE_DOOR_SECONDS)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_EMPTIED_SECONDS):
            while door.poll(0):  # noqa: ASYNC110 - the loop accepts unseen, and tells no event
                await asyncio.sleep(0)
    await asyncio.sleep(0)  # the last of them becomes a connection


_DROP_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of TCP's flags
        (0x54, 0, 0, 0x12),  # of them SYN and ACK
        (0x15, 0, 1, 0x02),  # SYN alone opens a connection:
        (0x06, 0, 0, 0),  # drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # else keep all
    )
)
"""A program for the kernel's classic packet filter; what is no newcomer completes its handshake."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def keep_newcomers_out(listener: socket.socket) -> None:
    instructions = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    program = _Program(len(_DROP_SYN) // 8, ctypes.addressof(instructions))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))
