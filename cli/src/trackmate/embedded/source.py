"""
The embedded source: reads the embedded log from where the pipeline last committed.
"""

import asyncio
from typing import NoReturn

from trackmate.backbone import Reads
from trackmate.embedded import log
from trackmate.embedded.books import Commit, commit, positions
from trackmate.embedded.database import Database
from trackmate_consume.ledger import Settled
from trackmate_consume.source import Fetched
from trackmate_contract.record import Record


async def never() -> NoReturn:
    """The embedded log does not end: nobody else reads for the pipeline."""
    while True:
        await asyncio.get_running_loop().create_future()


class EmbeddedSource:
    """One stream of an affiliate, or all. Keeps trackmate_consume.source.Source."""

    def __init__(self, database: Database, reads: Reads) -> None:
        self._database = database
        self._reads = reads
        self._reader = database.reader()
        self._next = positions(self._reader, reads.pipeline)
        self._waiting: list[Record] = []
        self._taken = dict(self._next)
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        database.listeners.add(self._wake)

    async def read(self, *, most: int, wait_s: float) -> Fetched:
        while not self._fill(most):
            await self._changed.wait()
        if len(self._waiting) < most:
            await asyncio.sleep(wait_s)
            self._fill(most)
        return self._take(most)

    async def commit(self, settled: Settled) -> None:
        await self._database.submit(commit, Commit(self._reads.pipeline, settled))

    async def over(self) -> NoReturn:
        await never()

    async def close(self) -> None:
        self._database.listeners.discard(self._wake)
        self._reader.close()

    def _fill(self, most: int) -> bool:
        """Read until there is enough for a step; return whether there is anything."""
        self._changed.clear()  # before the look: what comes during it sets this again
        one = self._reads.stream
        for stream in [one] if one else log.streams(self._reader):
            while len(self._waiting) < most and self._read_row(stream):
                pass
        return bool(self._waiting)

    def _read_row(self, stream: str) -> bool:
        place = (stream, log.PARTITION)
        position = self._next.get(place, 0)
        records = log.read(self._reader, stream, offset=position)
        if not records:
            return False
        self._waiting += records
        self._next[place] = records[-1].offset + 1
        return True

    def _take(self, most: int) -> Fetched:
        """The next records, and how many retention took before each."""
        records, self._waiting = self._waiting[:most], self._waiting[most:]
        expired: dict[int, int] = {}
        for index, record in enumerate(records):
            place = (record.stream, record.partition)
            if gone := record.offset - self._taken.get(place, 0):
                expired[index] = gone
            self._taken[place] = record.offset + 1
        return Fetched(records, expired)

    def _wake(self) -> None:
        if not self._changed.is_set():
            self._loop.call_soon_threadsafe(self._changed.set)
