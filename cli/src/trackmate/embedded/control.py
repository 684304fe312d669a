"""
What people say to a pipeline beside its YAML, kept in the affiliate's file: that it is paused.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from trackmate.embedded.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS pauses (
    pipeline TEXT PRIMARY KEY,
    reason TEXT NOT NULL
) WITHOUT ROWID;
"""


class _Set(NamedTuple):
    pipeline: str
    reason: str


class EmbeddedControl:
    """Whether one pipeline is paused. Keeps trackmate_consume.pipeline.Control."""

    def __init__(self, database: Database, pipeline: str) -> None:
        self._database = database
        self._pipeline = pipeline
        with contextlib.closing(database.reader()) as reader:
            row = reader.execute(
                "SELECT reason FROM pauses WHERE pipeline = ?", (pipeline,)
            ).fetchone()
        self._paused: str = row[0] if row else ""
        self.scaled_to_none = ""
        """The reason, where the YAML asks for no replicas; no command can change that."""

    @property
    def paused(self) -> str:
        return self.scaled_to_none or self._paused

    async def pause(self, reason: str) -> None:
        await self._set(reason)

    async def resume(self) -> None:
        await self._set("")

    async def _set(self, reason: str) -> None:
        await self._database.submit(_write, _Set(self._pipeline, reason))
        self._paused = reason


def _write(connection: sqlite3.Connection, changes: Sequence[_Set]) -> list[None]:
    for pipeline, reason in changes:
        if reason:
            connection.execute("INSERT OR REPLACE INTO pauses VALUES (?, ?)", (pipeline, reason))
        else:
            connection.execute("DELETE FROM pauses WHERE pipeline = ?", (pipeline,))
    return [None] * len(changes)
