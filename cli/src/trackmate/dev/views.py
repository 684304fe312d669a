"""
Events as people and programs look at them: the lines of `trackmate tail`, and the live feed.
"""

import asyncio
import contextlib
import json
import sqlite3
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Self, TypeVar

from trackmate.embedded import log
from trackmate.embedded.database import Database
from trackmate_contract.record import Record

Found = TypeVar("Found")

_LIVE_EVERY_S = 0.1  # a page that shows more often shows nothing more
_LIVE_MOST = 100  # events a round; what is beyond is counted, not sent
_SIGN_OF_LIFE_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records to show."""

    stream: str | None = None
    since_ms: int = 0
    from_end: bool = False
    limit: int | None = None
    follow: bool = False


def line(record: Record) -> dict[str, Any]:
    """The form that proves bytes."""
    return {
        "stream": record.stream,
        "partition": record.partition,
        "offset": record.offset,
        "id": record.id,
        "received": record.stamp.received_ms,
        "sha256": sha256(record.value).hexdigest(),
        "base64": b64encode(record.value).decode(),
    }


class Commits:
    """Lets a view wait until something was written, or until the process is to stop."""

    def __init__(self, database: Database, closing: asyncio.Event) -> None:
        self._database = database
        self._closing = closing
        self._loop = asyncio.get_running_loop()
        self._happened = asyncio.Event()

    def __enter__(self) -> Self:
        self._database.listeners.add(self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        self._database.listeners.discard(self._wake)

    async def wait(self, *, at_most: float) -> bool:
        """Return whether to go on: False once the process is to stop."""
        closing = asyncio.create_task(self._closing.wait())
        happened = asyncio.create_task(self._happened.wait())
        try:
            await asyncio.wait(
                {closing, happened}, timeout=at_most, return_when=asyncio.FIRST_COMPLETED
            )
        finally:  # who looks on may go away, and these would wait for ever
            closing.cancel()
            happened.cancel()
        self._happened.clear()
        return not self._closing.is_set()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._happened.set)


async def tail(database: Database, closing: asyncio.Event, wanted: Wanted) -> AsyncIterator[bytes]:
    """One JSON line an event, in the order in which they were stored."""
    left = wanted.limit
    with Commits(database, closing) as commits:
        seq = await _look(database, log.last_row) if wanted.from_end else 0
        while left is None or left > 0:
            row = await _look(database, partial(log.next_row, after=seq, stream=wanted.stream))
            if row is None:
                if not wanted.follow or not await commits.wait(at_most=_SIGN_OF_LIFE_S):
                    return
                continue
            seq, records = row
            kept = [record for record in records if record.stamp.received_ms >= wanted.since_ms]
            kept = kept[:left]
            left = None if left is None else left - len(kept)
            yield b"".join(json.dumps(line(record)).encode() + b"\n" for record in kept)


async def live(database: Database, closing: asyncio.Event) -> AsyncIterator[str]:
    """Server-Sent Events: the newest records as they come, and how many were left out."""
    with Commits(database, closing) as commits:
        seq = await _look(database, log.last_row)
        yield ": hello\n\n"
        while await commits.wait(at_most=_SIGN_OF_LIFE_S):
            await asyncio.sleep(_LIVE_EVERY_S)
            seq, skipped, records = await _look(
                database, partial(log.newest, after=seq, most=_LIVE_MOST)
            )
            if skipped:
                yield f"event: skipped\ndata: {json.dumps({'events': skipped})}\n\n"
            for record in records:
                yield f"data: {json.dumps(_live_line(record))}\n\n"
            if not records:
                yield ": alive\n\n"


async def _look(database: Database, read: Callable[[sqlite3.Connection], Found]) -> Found:
    """
    Read on a thread, with a connection of that thread: whoever asked may go away meanwhile, and a
    connection closed under a reading thread takes the process with it.
    """

    def on_thread() -> Found:
        with contextlib.closing(database.reader()) as reader:
            return read(reader)

    return await asyncio.to_thread(on_thread)


def _live_line(record: Record) -> dict[str, Any]:
    stamp = record.stamp
    return {**line(record), "key": stamp.key, "type": stamp.type, "size": len(record.value)}
