"""
Records of the embedded log for those who look on, as they are and as they come.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Self, TypeVar

from trackmate.backbone import Wanted
from trackmate.embedded import log
from trackmate.embedded.database import Database
from trackmate_contract.record import Record

Found = TypeVar("Found")

_SIGN_OF_LIFE_S = 10.0


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


async def records(
    database: Database, wanted: Wanted, closing: asyncio.Event
) -> AsyncIterator[Sequence[Record]]:
    """In the order in which they were stored."""
    left = wanted.limit
    with Commits(database, closing) as commits:
        seq = await _look(database, log.last_row) if wanted.from_end else 0
        while left is None or left > 0:
            row = await _look(database, partial(log.next_row, after=seq, stream=wanted.stream))
            if row is None:
                if not wanted.follow or not await commits.wait(at_most=_SIGN_OF_LIFE_S):
                    return
                continue
            seq, found = row
            kept = [record for record in found if record.stamp.received_ms >= wanted.since_ms]
            kept = kept[:left]
            left = None if left is None else left - len(kept)
            yield kept


async def newest(
    database: Database, closing: asyncio.Event, *, most: int, every_s: float, at_most_s: float
) -> AsyncIterator[tuple[int, Sequence[Record]]]:
    with Commits(database, closing) as commits:
        seq = await _look(database, log.last_row)
        yield 0, ()
        while await commits.wait(at_most=at_most_s):
            await asyncio.sleep(every_s)
            seq, skipped, found = await _look(database, partial(log.newest, after=seq, most=most))
            yield skipped, found


async def _look(database: Database, read: Callable[[sqlite3.Connection], Found]) -> Found:
    """
    Read on a thread, with a connection of that thread: whoever asked may go away meanwhile, and a
    connection closed under a reading thread takes the process with it.
    """

    def on_thread() -> Found:
        with contextlib.closing(database.reader()) as reader:
            return read(reader)

    return await asyncio.to_thread(on_thread)
