"""
An open-loop load: requests leave on time whatever came of those before, and each one's time counts
from when it was due. Waiting thus shows, where a closed loop would hide it (coordinated omission).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_TICK_S = 0.002


@dataclass
class Result:
    """What came of a load. `seconds` is one figure a request, unsorted."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    at: list[float] = field(default_factory=list)
    """When each answer 200 was there, by time.perf_counter()."""

    def percentile(self, share: float) -> float:
        """In seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, idle: "list[_Connection]", result: Result) -> None:
        self._idle = idle
        self._result = result
        self._due = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._idle.append(self)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._got.endswith(b"}\n"):
            return
        if b" 200 " in self._got[:20]:
            now = time.perf_counter()
            self._result.seconds.append(now - self._due)
            self._result.at.append(now)
        else:
            self._result.refused += 1
        self._got = b""
        self._idle.append(self)

    def close(self) -> None:
        self._transport.close()


async def offer(
    port: int, make: Callable[[int], bytes], *, rate: float, seconds: float, connections: int = 64
) -> Result:
    """Offer `rate` requests a second for `seconds`, each made by its number."""
    result = Result()
    idle: list[_Connection] = []
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(idle, result), "127.0.0.1", port)
    every = list(idle)
    began, sent, total = time.perf_counter(), 0, int(rate * seconds)
    while sent < total:
        due = int((time.perf_counter() - began) * rate) + 1
        while sent < min(due, total) and idle:
            idle.pop().send(make(sent), began + sent / rate)
            sent += 1
        await asyncio.sleep(_TICK_S)
    while len(idle) < connections and time.perf_counter() - began < seconds + 10:  # noqa: ASYNC110 - a poll is cheap at the end
        await asyncio.sleep(_TICK_S)
    for connection in every:
        connection.close()
    return result
