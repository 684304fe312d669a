"""
The one writer of a file: what waits together is written together, a failure is everybody's in its
transaction and nobody's after it.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from trackmate.embedded.database import Database, Unwritten, connect

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (value TEXT NOT NULL)"


def keep(connection: sqlite3.Connection, values: Sequence[Any]) -> list[int]:
    connection.executemany("INSERT INTO kept VALUES (?)", [(value,) for value in values])
    return list(range(len(values)))


def kept(path: Path) -> list[str]:
    connection = connect(path, readonly=True)
    try:
        return [value for (value,) in connection.execute("SELECT value FROM kept")]
    finally:
        connection.close()


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


class Gate:
    """Work that holds the writer until it is let go, so that other work must wait together."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, connection: sqlite3.Connection, payloads: Sequence[Any]) -> list[None]:
        self.reached.set()
        self.open.wait(10)
        return [None] * len(payloads)


def test_a_result_comes_after_the_commit(path: Path) -> None:
    async def act(database: Database) -> None:
        await database.submit(keep, "a")
        assert kept(path) == ["a"]

    with_database(path, act)


def test_what_waits_at_a_moment_shares_one_commit(path: Path) -> None:
    async def act(database: Database) -> None:
        commits: list[int] = []
        gate = Gate()
        held = database.submit(gate, None)
        await asyncio.to_thread(gate.reached.wait)
        waiting = [database.submit(keep, str(number)) for number in range(100)]
        database.listeners.add(lambda: commits.append(1))
        gate.open.set()
        await asyncio.gather(held, *waiting)
        await database.submit(keep, "last")
        assert len(commits) <= 3  # the gate's, the hundred's, the last one's
        assert len(kept(path)) == 101

    with_database(path, act)


def test_a_failure_undoes_the_whole_transaction_and_says_so_to_each(path: Path) -> None:
    async def act(database: Database) -> None:
        gate = Gate()
        held = database.submit(gate, None)
        await asyncio.to_thread(gate.reached.wait)
        good, bad = database.submit(keep, "good"), database.submit(keep, None)
        gate.open.set()
        await held
        for future in (good, bad):
            with pytest.raises(Unwritten, match="NOT NULL"):
                await future
        assert kept(path) == []

    with_database(path, act)


def test_after_a_failure_it_writes_on(path: Path) -> None:
    async def act(database: Database) -> None:
        with pytest.raises(Unwritten):
            await database.submit(keep, None)
        await database.submit(keep, "after")
        assert kept(path) == ["after"]

    with_database(path, act)


def test_a_fault_in_the_work_itself_does_not_end_the_writer(path: Path) -> None:
    def broken(connection: sqlite3.Connection, payloads: Sequence[Any]) -> list[Any]:
        raise ZeroDivisionError

    async def act(database: Database) -> None:
        with pytest.raises(Unwritten):
            await database.submit(broken, None)
        await database.submit(keep, "after")

    with_database(path, act)
    assert kept(path) == ["after"]


def test_close_writes_what_waits(path: Path) -> None:
    async def act(database: Database) -> None:
        for number in range(50):
            database.submit(keep, str(number))

    with_database(path, act)
    assert len(kept(path)) == 50


def test_commits_are_synced(path: Path) -> None:
    """Of what tests/e2e/test_sync_before_answer.py proves by trace, the setting alone."""
    connection = connect(path)
    try:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA fullfsync").fetchone() == (1,)
    finally:
        connection.close()
