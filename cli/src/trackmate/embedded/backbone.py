"""
The embedded backbone: log, positions, books, dead letters and replays in the affiliate's file.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from trackmate.backbone import Group, Reads, Wanted
from trackmate.embedded import books, letters, log, replays, viewing
from trackmate.embedded.books import Begin, begin
from trackmate.embedded.clock import now_ms
from trackmate.embedded.database import Database, Unwritten
from trackmate.embedded.explaining import explain
from trackmate.embedded.letters import EmbeddedLetters
from trackmate.embedded.log import EmbeddedLog
from trackmate.embedded.replays import EmbeddedReplays
from trackmate.embedded.source import EmbeddedSource
from trackmate_consume.ledger import Ledger
from trackmate_consume.letters import DeadLetters, Kept
from trackmate_consume.pipeline import Asked, Replays
from trackmate_contract.affiliate import Affiliate, Stream
from trackmate_contract.record import Record
from trackmate_ingest.log import Log

_PURGE_SECONDS = 60.0

Found = TypeVar("Found")


class EmbeddedGroup:
    """A pipeline's standing in the file. Keeps trackmate.backbone.Group."""

    def __init__(self, database: Database, reads: Reads, log_id: str) -> None:
        self.reads = reads
        self.log_id = log_id
        self.letters: DeadLetters = EmbeddedLetters(database, reads.pipeline)
        self._replays = EmbeddedReplays(database, reads.pipeline)
        self.replays: Replays = self._replays
        self._database = database

    def source(self) -> EmbeddedSource:
        return EmbeddedSource(self._database, self.reads)

    async def ask(self, asked: Asked) -> bool:
        return await self._replays.ask(asked)

    def lag_seconds(self) -> float:
        return self._look(lambda c: books.lag_ms(c, self.reads, now_ms=now_ms())) / 1000

    def kept(self, *, after: int, most: int) -> list[Kept]:
        return self._look(lambda c: letters.kept(c, self.reads.pipeline, after=after, most=most))

    def one(self, number: int) -> Kept | None:
        return self._look(lambda c: letters.one(c, self.reads.pipeline, number))

    def numbers(self, wanted: Sequence[int] | None) -> set[int]:
        return self._look(lambda c: letters.numbers(c, self.reads.pipeline, wanted))

    def waiting(self) -> int:
        return self._look(lambda c: letters.count(c, self.reads.pipeline))

    def latest_replay(self) -> dict[str, Any] | None:
        return self._look(lambda c: replays.latest(c, self.reads.pipeline))

    def close(self) -> None:
        """The file stays open for the others."""

    def _look(self, read: Callable[[sqlite3.Connection], Found]) -> Found:
        with contextlib.closing(self._database.reader()) as reader:
            return read(reader)


class EmbeddedBackbone:
    """Keeps trackmate.backbone.Backbone."""

    def __init__(self, database: Database) -> None:
        self.log: Log = EmbeddedLog(database)
        self.note = ""
        self._database = database
        self._streams: Sequence[Stream] = ()
        self._purging = asyncio.create_task(self._purge())

    async def follow(self, affiliate: Affiliate) -> None:
        self._streams = affiliate.spec.streams

    async def group(self, reads: Reads, start: str | datetime) -> EmbeddedGroup:
        await self._database.submit(begin, Begin(reads, start))
        with contextlib.closing(self._database.reader()) as reader:
            return EmbeddedGroup(self._database, reads, log.identity(reader))

    async def streams(self) -> set[str]:
        with contextlib.closing(self._database.reader()) as reader:
            return {*(stream.name for stream in self._streams), *log.streams(reader)}

    def ledger(self, groups: Sequence[Group]) -> Ledger:
        with contextlib.closing(self._database.reader()) as reader:
            reads = [group.reads for group in groups]
            ledger = books.ledger(reader, reads)
            if ledger.balanced:
                return ledger
            return replace(ledger, faults=(*ledger.faults, *explain(reader, reads)))

    def records(self, wanted: Wanted, closing: asyncio.Event) -> AsyncIterator[Sequence[Record]]:
        return viewing.records(self._database, wanted, closing)

    def newest(
        self, closing: asyncio.Event, *, most: int, every_s: float, at_most_s: float
    ) -> AsyncIterator[tuple[int, Sequence[Record]]]:
        return viewing.newest(
            self._database, closing, most=most, every_s=every_s, at_most_s=at_most_s
        )

    async def close(self) -> None:
        self._purging.cancel()
        await asyncio.gather(self._purging, return_exceptions=True)

    async def _purge(self) -> None:
        """Keep each stream for its retention."""
        while True:
            for stream in self._streams:
                before_ms = now_ms() - stream.retention_s * 1000
                work = partial(log.purge, stream=stream.name, before_ms=before_ms)
                with contextlib.suppress(Unwritten):  # said by the database; tried again
                    await self._database.submit(_each, work)
            await asyncio.sleep(_PURGE_SECONDS)


def _each(
    connection: sqlite3.Connection, works: Sequence[Callable[[sqlite3.Connection], Any]]
) -> list[Any]:
    return [work(connection) for work in works]
