"""
What the program and its workers say to each other, over a socket that nobody else has.

Python's own pickles: both ends are one program, and the socket is made for one child before it
runs.
"""

import asyncio
import pickle
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from trackmate_ingest.configuration import Configuration
from trackmate_ingest.kafka_figures import KafkaFigures
from trackmate_ingest.metrics import Metrics

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class InForce:
    """To a worker: go on with this."""

    configuration: Configuration
    fault: str
    """Why nothing may be taken, in words; "" when it may."""
    note: str


@dataclass(frozen=True)
class Ask:
    """To a worker: tell your figures. Which it does as long as its loop turns."""


@dataclass(frozen=True)
class Drain:
    """To a worker: be asked to stop. It takes requests on until it is told to close, or so long."""

    seconds: float


@dataclass(frozen=True)
class Close:
    """To a worker: all have become quiet, or it is time."""


@dataclass(frozen=True)
class Quiet:
    """From a worker that drains: no request came for a while."""


@dataclass(frozen=True)
class Figures:
    """From a worker: what it counted."""

    metrics: Metrics = field(default_factory=Metrics)
    kafka: KafkaFigures | None = None
    dead: str = ""
    """Why it can only be replaced."""


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def on(cls, end: socket.socket) -> "Channel":
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: object) -> None:
        """What the other end does not hear any more is lost."""
        raw = pickle.dumps(message)
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(raw)) + raw)

    async def receive(self) -> Any:
        """The next message; None when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - see above
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        self._writer.close()
