"""
Load for fault tests, and the client's own account of what became of every request.

The clients speak HTTP by hand: a library would repeat, pool or hide just what a test must see.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from mix import Request

_ANSWER_SECONDS = 30  # longer than the server's own deadline
_REACHED_SECONDS = 60
_BETWEEN_PIECES_S = 0.002

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Outcome(StrEnum):
    """What a client learnt of a request that it sent."""

    OK = "ok"
    REFUSED = "refused"
    """4xx: not stored."""
    UNAVAILABLE = "unavailable"
    """503: not known, and said so."""
    FAILED = "failed"
    """Any other answer."""
    CUT = "cut"
    """Reset, or closed before the whole answer was there: not known."""
    TIMEOUT = "timeout"


UNKNOWN = (Outcome.UNAVAILABLE, Outcome.FAILED, Outcome.CUT, Outcome.TIMEOUT)


class Answer(NamedTuple):
    """An answer that came back whole."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Attempt:
    """A request that was sent, and its end."""

    request: Request
    outcome: Outcome
    answer: Answer | None
    port: int
    """The client's, which tells the connection."""


@dataclass
class Ledger:
    """The client's account. What is not in it was never sent."""

    attempts: list[Attempt] = field(default_factory=list)
    refused_connections: int = 0
    """Nothing was sent on these."""

    def count(self, *outcomes: Outcome) -> int:
        return sum(attempt.outcome in outcomes for attempt in self.attempts)

    def requests(self, *outcomes: Outcome) -> list[Request]:
        """Each request that ever ended so, once."""
        found = {a.request.name: a.request for a in self.attempts if a.outcome in outcomes}
        return list(found.values())

    def unknown(self) -> list[Request]:
        """The requests that no attempt brought an answer for: those a client repeats."""
        known = {r.name for r in self.requests(Outcome.OK, Outcome.REFUSED)}
        return [request for request in self.requests(*UNKNOWN) if request.name not in known]


class Load:
    """
    Clients that send requests, each one after the other on a connection of its own.

    They do as a load balancer does: keep the connection until the server says `Connection: close`
    or cuts it, then open another; and end when they are refused one.
    """

    def __init__(self, url: str, key: str, ledger: Ledger) -> None:
        address = urlsplit(url)
        self.ledger = ledger
        self._host = address.hostname or ""
        self._port = address.port or 0
        self._key = key
        self._stopping = False
        self._clients: list[asyncio.Task[None]] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def begin(self, requests: Iterable[Request], *, connections: int) -> None:
        """Let so many connections share the requests."""
        shared = iter(requests)
        for _ in range(connections):
            client = asyncio.create_task(self._client(shared))
            client.add_done_callback(lambda _: self._changed.set())
            self._clients.append(client)

    def stop(self) -> None:
        """Begin no more requests; `ended` waits for those in flight."""
        self._stopping = True
        for client in self._connecting:
            client.cancel()

    async def ended(self) -> None:
        """Wait until every client has come to its end."""
        await asyncio.wait(self._clients)
        for client in self._clients:
            if not client.cancelled():
                client.result()

    async def until(self, reached: Callable[[Ledger], bool], *, what: str) -> None:
        """Wait until the ledger is so. Fails where the clients end before that."""
        async with asyncio.timeout(_REACHED_SECONDS):
            while not reached(self.ledger):
                assert not all(c.done() for c in self._clients), f"the clients ended before {what}"
                self._changed.clear()
                await self._changed.wait()

    async def _client(self, requests: Iterator[Request]) -> None:
        while not self._stopping:
            try:
                streams = await self._connect()
            except ConnectionError:
                self.ledger.refused_connections += 1
                return
            try:
                if not await self._use(streams, requests):
                    return
            finally:
                streams[1].transport.abort()

    async def _connect(self) -> Streams:
        client = asyncio.current_task()
        assert client is not None
        self._connecting.add(client)
        try:
            return await asyncio.open_connection(self._host, self._port)
        finally:
            self._connecting.discard(client)

    async def _use(self, streams: Streams, requests: Iterator[Request]) -> bool:
        """Send on one connection as long as it lasts. Returns whether requests are left."""
        while not self._stopping:
            request = next(requests, None)
            if request is None:
                return False
            attempt = await self._attempt(streams, request)
            self.ledger.attempts.append(attempt)
            self._changed.set()
            answer = attempt.answer
            if answer is None or answer.headers.get("connection") == "close":
                return True
        return False

    async def _attempt(self, streams: Streams, request: Request) -> Attempt:
        reader, writer = streams
        port = writer.get_extra_info("sockname")[1]
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await _send(writer, self._bytes(request), pieces=request.pieces)
                answer = await _receive(reader)
        except TimeoutError:
            return Attempt(request, Outcome.TIMEOUT, None, port)
        except (ConnectionError, asyncio.IncompleteReadError):
            return Attempt(request, Outcome.CUT, None, port)
        return Attempt(request, _outcome(answer.status), answer, port)

    def _bytes(self, request: Request) -> bytes:
        headers = {
            "Host": f"{self._host}:{self._port}",
            "Authorization": f"Bearer {self._key}",
            "Content-Type": request.media,
            "Content-Length": str(len(request.body)),
            **dict(request.headers),
        }
        lines = [f"POST {request.target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + request.body


async def _send(writer: asyncio.StreamWriter, whole: bytes, *, pieces: int) -> None:
    """Write in pieces, each of which arrives alone."""
    size = -(-len(whole) // pieces)
    for start in range(0, len(whole), size):
        if start:
            await asyncio.sleep(_BETWEEN_PIECES_S)
        writer.write(whole[start : start + size])
        await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(status.split()[1]), headers, body)


def _outcome(status: int) -> Outcome:
    """
    >>> _outcome(200), _outcome(413), _outcome(503)
    (<Outcome.OK: 'ok'>, <Outcome.REFUSED: 'refused'>, <Outcome.UNAVAILABLE: 'unavailable'>)
    """
    if status == 200:
        return Outcome.OK
    if status == 503:
        return Outcome.UNAVAILABLE
    return Outcome.REFUSED if 400 <= status < 500 else Outcome.FAILED
