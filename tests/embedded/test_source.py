"""
The embedded source: from where the pipeline last committed, with what retention took counted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from trackmate.backbone import Reads
from trackmate.embedded import books as accounts
from trackmate.embedded import letters, log, store
from trackmate.embedded.database import Database
from trackmate.embedded.log import EmbeddedLog
from trackmate.embedded.source import EmbeddedSource
from trackmate_consume.ledger import Counts, Ledger, Settled
from trackmate_consume.source import Fetched
from trackmate_contract.record import Event, Stamp

SCHEMA = log.SCHEMA + store.SCHEMA + accounts.SCHEMA + letters.SCHEMA


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.db"


def with_source(path: Path, act: Callable[[Database, EmbeddedSource], Awaitable[None]]) -> None:
    """Act as one process does: open, act, close."""

    async def main() -> None:
        database = Database(path, SCHEMA)
        reading = EmbeddedSource(database, Reads("store"))
        try:
            await act(database, reading)
        finally:
            await reading.close()
            await database.close()

    asyncio.run(main())


async def append(database: Database, *ids: str, stream: str = "events", at: int = 1000) -> None:
    events = [Event(event_id, None, b"{}") for event_id in ids]
    await EmbeddedLog(database).append(stream, Stamp(at, "web"), events)


def ids(fetched: Fetched) -> list[str]:
    return [record.id for record in fetched.records]


def books(database: Database) -> Ledger:
    with closing(database.reader()) as reader:
        return accounts.ledger(reader, [Reads("store")])


def test_it_goes_on_where_the_last_process_committed(path: Path) -> None:
    async def first(database: Database, reading: EmbeddedSource) -> None:
        await append(database, "a", "b", "c")
        assert ids(await reading.read(most=2, wait_s=0)) == ["a", "b"]
        await reading.commit(Settled({("events", 0): 2}, Counts(delivered=2, documents=2)))

    async def second(database: Database, reading: EmbeddedSource) -> None:
        assert ids(await reading.read(most=9, wait_s=0)) == ["c"]

    with_source(path, first)
    with_source(path, second)


def test_what_was_read_and_not_committed_comes_again(path: Path) -> None:
    async def first(database: Database, reading: EmbeddedSource) -> None:
        await append(database, "a")
        assert ids(await reading.read(most=9, wait_s=0)) == ["a"]

    async def second(database: Database, reading: EmbeddedSource) -> None:
        assert ids(await reading.read(most=9, wait_s=0)) == ["a"]

    with_source(path, first)
    with_source(path, second)


def test_it_waits_for_records_and_returns_all_streams(path: Path) -> None:
    async def act(database: Database, reading: EmbeddedSource) -> None:
        waiting = asyncio.create_task(reading.read(most=9, wait_s=0.05))
        await append(database, "a")
        await append(database, "b", stream="scans")
        fetched = await asyncio.wait_for(waiting, 5)
        assert {record.stream for record in fetched.records} == {"events", "scans"}

    with_source(path, act)


def test_what_retention_took_is_counted_as_expired(path: Path) -> None:
    async def act(database: Database, reading: EmbeddedSource) -> None:
        await append(database, "a", "b", at=1000)
        await append(database, "c", at=2000)
        await database.submit(
            lambda connection, _: [log.purge(connection, "events", before_ms=1500)], None
        )
        fetched = await reading.read(most=9, wait_s=0)
        assert (ids(fetched), fetched.expired) == (["c"], {0: 2})
        await reading.commit(Settled({("events", 0): 3}, Counts(expired=2, duplicates=1)))
        assert (books(database).accepted, books(database).balanced) == (3, True)

    with_source(path, act)


def test_books_that_do_not_balance_say_what_is_missing(path: Path) -> None:
    async def act(database: Database, reading: EmbeddedSource) -> None:
        await append(database, "a", "b")
        await reading.commit(Settled({("events", 0): 2}, Counts(delivered=1, documents=1)))
        assert books(database).faults == (
            "pipeline 'store': 2 accepted, 1 settled and 0 in flight: 1 event is missing",
            "pipeline 'store': 1 documents made, 0 in the store",
        )

    with_source(path, act)
