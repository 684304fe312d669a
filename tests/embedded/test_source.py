"""
The embedded source: from where the pipeline last committed, with what retention took counted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from trackmate.embedded import log, source, store
from trackmate.embedded.database import Database
from trackmate.embedded.log import EmbeddedLog
from trackmate.embedded.source import EmbeddedSource
from trackmate_consume.ledger import Counts, Settled
from trackmate_contract.record import Event, Stamp

SCHEMA = log.SCHEMA + store.SCHEMA + source.SCHEMA


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.db"


def with_database(path: Path, act: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database(path, SCHEMA)
        try:
            await act(database)
        finally:
            await database.close()

    asyncio.run(main())


async def append(database: Database, *ids: str, stream: str = "events", at: int = 1000) -> None:
    events = [Event(event_id, None, b"{}") for event_id in ids]
    await EmbeddedLog(database).append(stream, Stamp(at, "web"), events)


def test_it_goes_on_where_the_last_process_committed(path: Path) -> None:
    async def first(database: Database) -> None:
        await append(database, "a", "b", "c")
        reading = EmbeddedSource(database, "store")
        fetched = await reading.read(most=2, wait_s=0)
        assert [record.id for record in fetched.records] == ["a", "b"]
        await reading.commit(Settled({("events", 0): 2}, Counts(delivered=2, documents=2)))

    async def second(database: Database) -> None:
        fetched = await EmbeddedSource(database, "store").read(most=9, wait_s=0)
        assert [record.id for record in fetched.records] == ["c"]

    with_database(path, first)
    with_database(path, second)


def test_what_was_read_and_not_committed_comes_again(path: Path) -> None:
    async def act(database: Database) -> None:
        await append(database, "a")
        for _ in range(2):
            fetched = await EmbeddedSource(database, "store").read(most=9, wait_s=0)
            assert [record.id for record in fetched.records] == ["a"]

    with_database(path, act)


def test_it_waits_for_records_and_returns_all_streams(path: Path) -> None:
    async def act(database: Database) -> None:
        reading = asyncio.create_task(EmbeddedSource(database, "store").read(most=9, wait_s=0.05))
        await append(database, "a")
        await append(database, "b", stream="scans")
        fetched = await asyncio.wait_for(reading, 5)
        assert {record.stream for record in fetched.records} == {"events", "scans"}

    with_database(path, act)


def test_what_retention_took_is_counted_as_expired(path: Path) -> None:
    async def act(database: Database) -> None:
        await append(database, "a", "b", at=1000)
        await append(database, "c", at=2000)
        await database.submit(
            lambda connection, _: [log.purge(connection, "events", before_ms=1500)], None
        )
        reading = EmbeddedSource(database, "store")
        fetched = await reading.read(most=9, wait_s=0)
        assert ([record.id for record in fetched.records], fetched.expired) == (["c"], 2)
        await reading.commit(Settled({("events", 0): 3}, Counts(expired=2, duplicates=1)))
        books = source.ledger(database.reader(), ["store"])
        assert (books.accepted, books.balanced, books.lines[0].in_flight) == (3, True, 0)

    with_database(path, act)


def test_books_that_do_not_balance_say_what_is_missing(path: Path) -> None:
    async def act(database: Database) -> None:
        await append(database, "a", "b")
        reading = EmbeddedSource(database, "store")
        await reading.commit(Settled({("events", 0): 2}, Counts(delivered=1, documents=1)))
        books = source.ledger(database.reader(), ["store"])
        assert books.faults == (
            "pipeline 'store': 2 accepted, 1 settled and 0 in flight: 1 event is missing",
            "pipeline 'store': 1 documents made, 0 in the store",
        )

    with_database(path, act)
