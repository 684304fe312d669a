"""
The replays that people ask for in development, kept in the affiliate's file: what a settings file
says on a cluster. How far each is, Kafka knows.
"""

import sqlite3
from collections.abc import Sequence

from trackmate.embedded.database import Database
from trackmate.embedded.replays import Ask, Orders, note
from trackmate_consume.pipeline import Asked


class FileAsking:
    """Those of one pipeline. Keeps trackmate_consume.kafka_replays.Asking."""

    def __init__(self, database: Database, pipeline: str) -> None:
        self._orders = Orders(database, pipeline)
        self.latest = self._orders.latest

    async def ask(self, asked: Asked) -> bool:
        """Start a replay; return False where one of this id was there before. Raises Unwritten."""
        return await self._orders.note(_note, asked)

    async def next(self) -> Asked:
        return (await self._orders.next()).asked

    async def end(self, asked: Asked) -> None:
        await self._orders.end(asked.id)


def _note(connection: sqlite3.Connection, asks: Sequence[Ask]) -> list[bool]:
    return [note(connection, one.pipeline, one.asked, range(0)) for one in asks]
