"""
The replays that people ask for in development, kept in the affiliate's file: what a settings file
says on a cluster. How far each is, Kafka knows.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from trackmate.embedded import replays
from trackmate.embedded.clock import now_ms
from trackmate.embedded.database import Database
from trackmate_consume.pipeline import Asked


class _Ask(NamedTuple):
    pipeline: str
    asked: Asked


class FileAsking:
    """Those of one pipeline. Keeps trackmate_consume.kafka_replays.Asking."""

    def __init__(self, database: Database, pipeline: str) -> None:
        self._database = database
        self._pipeline = pipeline
        self._asked = asyncio.Event()
        self._asked.set()  # a crash may have left one

    async def ask(self, asked: Asked) -> bool:
        """Start a replay; return False where one of this id was there before. Raises Unwritten."""
        new: bool = await self._database.submit(_note, _Ask(self._pipeline, asked))
        self._asked.set()
        return new

    async def next(self) -> Asked:
        while True:
            await self._asked.wait()
            with contextlib.closing(self._database.reader()) as reader:
                row = reader.execute(
                    "SELECT id, stream, since_ms, chosen FROM replays "
                    "WHERE pipeline = ? AND ended_ms IS NULL ORDER BY seq LIMIT 1",
                    (self._pipeline,),
                ).fetchone()
            if row is not None:
                chosen = None if row[3] is None else json.loads(row[3])
                return Asked(row[0], row[1], row[2], chosen)
            self._asked.clear()

    async def end(self, asked: Asked) -> None:
        await self._database.submit(_end, _Ask(self._pipeline, asked))

    def latest(self) -> dict[str, Any] | None:
        """As of `trackmate.embedded.replays.latest`; nobody has counted its events."""
        with contextlib.closing(self._database.reader()) as reader:
            return replays.latest(reader, self._pipeline)


def _note(connection: sqlite3.Connection, asks: Sequence[_Ask]) -> list[bool]:
    return [replays.note(connection, one.pipeline, one.asked, range(0)) for one in asks]


def _end(connection: sqlite3.Connection, asks: Sequence[_Ask]) -> list[None]:
    connection.executemany(
        "UPDATE replays SET ended_ms = ? WHERE pipeline = ? AND id = ?",
        [(now_ms(), one.pipeline, one.asked.id) for one in asks],
    )
    return [None] * len(asks)
