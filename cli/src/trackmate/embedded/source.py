"""
The embedded source: reads the embedded log from where the pipeline last committed, and keeps the
pipeline's positions and counts in the same file.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from typing import NamedTuple

from trackmate.embedded import log
from trackmate.embedded.database import Database
from trackmate_consume.ledger import Counts, Ledger, Line, Place, Settled, balance
from trackmate_consume.source import Fetched
from trackmate_contract.record import Record

_TERMS = tuple(field.name for field in fields(Counts))

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS positions (
    pipeline TEXT NOT NULL,
    stream TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,          -- the offset to read next
    PRIMARY KEY (pipeline, stream, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (
    pipeline TEXT PRIMARY KEY,
    {", ".join(f"{term} INTEGER NOT NULL" for term in _TERMS)}
) WITHOUT ROWID;
"""


class Commit(NamedTuple):
    """One step of one pipeline."""

    pipeline: str
    settled: Settled


class EmbeddedSource:
    """Every stream of one affiliate, for one pipeline. Keeps trackmate_consume.source.Source."""

    def __init__(self, database: Database, pipeline: str) -> None:
        self._database = database
        self._pipeline = pipeline
        self._reader = database.reader()
        self._next = positions(self._reader, pipeline)
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
        await self._database.submit(_commit, Commit(self._pipeline, settled))

    def close(self) -> None:
        self._database.listeners.discard(self._wake)
        self._reader.close()

    def _fill(self, most: int) -> bool:
        """Read until there is enough for a step; return whether there is anything."""
        self._changed.clear()  # before the look: what comes during it sets this again
        for stream in log.streams(self._reader):
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
        expired = 0
        for record in records:
            place = (record.stream, record.partition)
            expired += record.offset - self._taken.get(place, 0)
            self._taken[place] = record.offset + 1
        return Fetched(records, expired)

    def _wake(self) -> None:
        if not self._changed.is_set():
            self._loop.call_soon_threadsafe(self._changed.set)


def _commit(connection: sqlite3.Connection, commits: Sequence[Commit]) -> list[None]:
    for pipeline, settled in commits:
        for (stream, partition), offset in settled.positions.items():
            connection.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
                (pipeline, stream, partition, offset),
            )
        _add(connection, pipeline, settled.counts)
    return [None] * len(commits)


def _add(connection: sqlite3.Connection, pipeline: str, counts: Counts) -> None:
    added = ", ".join(f"{term} = {term} + excluded.{term}" for term in _TERMS)
    marks = ", ".join("?" for _ in _TERMS)
    connection.execute(
        f"INSERT INTO ledger VALUES (?, {marks}) ON CONFLICT DO UPDATE SET {added}",
        (pipeline, *astuple(counts)),
    )


def positions(connection: sqlite3.Connection, pipeline: str) -> dict[Place, int]:
    rows = connection.execute(
        "SELECT stream, partition, next FROM positions WHERE pipeline = ?", (pipeline,)
    )
    return {(stream, partition): offset for stream, partition, offset in rows}


def ledger(connection: sqlite3.Connection, pipelines: Sequence[str]) -> Ledger:
    """The books, from one snapshot of the file; and whether the documents are really there."""
    connection.execute("BEGIN")
    try:
        ends = {name: log.end(connection, name) for name in log.streams(connection)}
        lines = [_line(connection, pipeline, ends) for pipeline in pipelines]
        stored = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
    finally:
        connection.execute("COMMIT")
    books = balance(sum(ends.values()), lines)
    missing = [fault for line in lines if (fault := _missing(line, stored))]
    return replace(books, faults=(*books.faults, *missing))


def _line(connection: sqlite3.Connection, pipeline: str, ends: dict[str, int]) -> Line:
    row = connection.execute("SELECT * FROM ledger WHERE pipeline = ?", (pipeline,)).fetchone()
    read = positions(connection, pipeline)
    in_flight = sum(end - read.get((name, log.PARTITION), 0) for name, end in ends.items())
    return Line(pipeline, Counts(*row[1:]) if row else Counts(), in_flight)


def _missing(line: Line, stored: int) -> str | None:
    """Documents are written just before they are counted: more may be there, never fewer."""
    documents = line.counts.documents
    if documents <= stored <= documents + line.in_flight:
        return None
    return f"pipeline {line.name!r}: {documents} documents made, {stored} in the store"


def lag_ms(connection: sqlite3.Connection, pipeline: str, *, now_ms: int) -> int:
    """The age of the oldest event that is not settled; 0 when all are."""
    read = positions(connection, pipeline)
    oldest = [
        at
        for name in log.streams(connection)
        if (at := log.received_at(connection, name, read.get((name, log.PARTITION), 0)))
    ]
    return max(0, now_ms - min(oldest, default=now_ms))
