"""
One affiliate in embedded mode: its file, and what runs on it.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trackmate.embedded import books, control, insights, keybook, letters, log, replays, store
from trackmate.embedded.books import Reads
from trackmate.embedded.clock import now_ms
from trackmate.embedded.database import Database, Unwritten
from trackmate.embedded.explaining import explain
from trackmate.embedded.insights import EmbeddedInsights
from trackmate.embedded.keybook import IssuedKey
from trackmate.embedded.log import EmbeddedLog
from trackmate.embedded.running import Declaration, Pipelines
from trackmate_consume.ledger import Ledger
from trackmate_contract.affiliate import Affiliate
from trackmate_ingest.intake import Intake

_PARTS = (log, store, insights, books, keybook, letters, replays, control)
_SCHEMA = "".join(part.SCHEMA for part in _PARTS)
_PURGE_SECONDS = 60.0


class NameConflict(Exception):  # noqa: N818 - the reason's name in the resource's status too
    """The data under this name belongs to another affiliate."""


class EmbeddedAffiliate:
    """A running affiliate. `affiliate` is the manifest that it follows."""

    def __init__(self, affiliate: Affiliate, directory: Path, root: bytes) -> None:
        self.affiliate = affiliate
        self.keys: list[IssuedKey] = []
        self.database = Database(directory / f"{affiliate.name}.db", _SCHEMA)
        self.log = EmbeddedLog(self.database)
        self._root = root
        self.given: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.pipelines = Pipelines(affiliate.name, self.database)
        self.insights = EmbeddedInsights(self.database)

    @property
    def name(self) -> str:
        return self.affiliate.name

    async def start(self, given: dict[str, str]) -> None:
        """Run. Raises NameConflict where the data is another's."""
        await self.follow(self.affiliate, given)
        self.pipelines.start()
        self._tasks = [
            asyncio.create_task(self._purge()),
            asyncio.create_task(self.insights.keep_on()),
        ]

    async def follow_pipelines(self, declared: Mapping[str, Declaration]) -> None:
        """Run these, and no others but `store`."""
        await self.pipelines.follow(declared)

    async def follow(self, affiliate: Affiliate, given: dict[str, str]) -> None:
        """Take over a changed manifest. Raises NameConflict where the data is another's."""
        offered = affiliate.spec.id or affiliate.name
        found = await self._write(lambda c: keybook.identify(c, offered))
        if affiliate.spec.id not in {None, found}:
            raise NameConflict(
                f"the data of {affiliate.name!r} belongs to the id {found!r}, not "
                f"{affiliate.spec.id!r}; set spec.id: {found}, or choose another name"
            )
        self.affiliate = affiliate
        self.given = given
        spec = affiliate.spec.ingest.keys
        await self._write(lambda c: keybook.follow_spec(c, spec, now_ms=now_ms()))
        await self.change_keys(lambda _: None)

    async def change_keys(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Write a change of the keys, then hold what is in force."""

        def work(connection: sqlite3.Connection) -> list[IssuedKey]:
            change(connection)
            spec = self.affiliate.spec.ingest.keys
            return keybook.issued(connection, spec, root=self._root, given=self.given)

        self.keys = await self._write(work)

    def intake(self) -> Intake:
        """What ingest needs of this affiliate now."""
        return Intake(
            self.name,
            self.affiliate.spec,
            keys=[key.open() for key in self.keys],
            log=self.log,
            now=time.monotonic(),
        )

    def ledger(self) -> Ledger:
        """The books; where they are off, with the events that it is about."""
        with contextlib.closing(self.database.reader()) as reader:
            reads = self.pipelines.reads
            ledger = books.ledger(reader, reads)
            if ledger.balanced:
                return ledger
            return replace(ledger, faults=(*ledger.faults, *explain(reader, reads)))

    def lag_seconds(self, reads: Reads) -> float:
        """How old the oldest event is that the pipeline has not settled."""
        with contextlib.closing(self.database.reader()) as reader:
            return books.lag_ms(reader, reads, now_ms=now_ms()) / 1000

    def dead_letters(self, pipeline: str) -> int:
        """How many wait to be looked at."""
        with contextlib.closing(self.database.reader()) as reader:
            return letters.count(reader, pipeline)

    def latest_replay(self, pipeline: str) -> dict[str, Any] | None:
        with contextlib.closing(self.database.reader()) as reader:
            return replays.latest(reader, pipeline)

    def figures(self) -> dict[str, Any]:
        with contextlib.closing(self.database.reader()) as reader:
            return store.figures(reader, now_ms=now_ms())

    async def close(self) -> None:
        """Stop; the file stays as it is."""
        await self.pipelines.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.database.close()

    async def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self.database.submit(_one_by_one, work)

    async def _purge(self) -> None:
        """Keep each stream for its retention."""
        while True:
            for stream in self.affiliate.spec.streams:
                before_ms = now_ms() - stream.retention_s * 1000
                with contextlib.suppress(Unwritten):  # said by the database; tried again
                    await self._write(partial(log.purge, stream=stream.name, before_ms=before_ms))
            await asyncio.sleep(_PURGE_SECONDS)


def _one_by_one(
    connection: sqlite3.Connection, works: Sequence[Callable[[sqlite3.Connection], Any]]
) -> list[Any]:
    return [_undone_if_refused(connection, work) for work in works]


def _undone_if_refused(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]
) -> Any:
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except (keybook.UnknownKey, ValueError) as refusal:
        connection.execute("ROLLBACK TO work")
        result = refusal
    connection.execute("RELEASE work")
    return result
