"""
One SQLite file with one writer: the durability of the embedded mode.

All that wants to write hands its work to the file's writer thread, which does everything that
waits in one transaction. One fsync thus serves all requests of that moment (group commit), and a
future is resolved only after the commit returned. WAL with synchronous=FULL syncs before a commit
returns: sqlite.org/pragma.html#pragma_synchronous.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from trackmate_consume.sink import Down
from trackmate_ingest.log import Unavailable

Work = Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]]
"""
Does all waiting work of one kind inside the transaction, and returns one result for each: an
exception as a result is raised to the one who waits. What it raises itself undoes the transaction.
"""

_MOST = 1024  # pieces of work in one transaction: bounds how long the first of them waits
_CHECKPOINT_PAGES = 4000  # 16 MiB of log file before it is copied into the database

_log = logging.getLogger("trackmate.embedded")


Statement = tuple[str, tuple[Any, ...]]
"""SQL and its parameters."""


class Unwritten(Unavailable, Down):
    """The file could not be written: unavailable to ingest, down to consume."""


_Job = tuple[Work, Any, "asyncio.Future[Any]"]
"""The work, its payload, and who waits: a plain tuple, as one is made for each request."""


class Database:
    """A file that holds one affiliate's log, documents, positions and ledger."""

    def __init__(self, path: Path, schema: str) -> None:
        """Opens the file for the running event loop."""
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._connection = connect(path)
        self._connection.executescript(schema)
        self._fault = ""
        self._closed = False
        self._gathered: list[_Job] = []
        self._queue: SimpleQueue[list[_Job]] = SimpleQueue()
        self.listeners: set[Callable[[], None]] = set()
        """Called on the writer's thread after each commit."""
        self._writer = threading.Thread(target=self._run, name=f"write {path.name}", daemon=True)
        self._writer.start()

    def submit(self, work: Work, payload: Any) -> "asyncio.Future[Any]":
        """
        Have the work done; the future is done after the commit. It raises Unwritten when the
        transaction failed; then nothing of it is stored.
        """
        if self._closed:
            raise Unwritten("The affiliate is being put away.")
        if not self._gathered:  # to be handed over as one when this turn of the loop is through
            self._loop.call_soon(self._hand_over)
        future = self._loop.create_future()
        self._gathered.append((work, payload, future))
        return future

    def _hand_over(self) -> None:
        """To wake the writer once a turn: threads that wake each other cost more than the work."""
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    def reader(self) -> sqlite3.Connection:
        """A connection of its own for reading; a reader never waits for the writer."""
        return connect(self.path, readonly=True)

    async def close(self) -> None:
        """Write what waits, then close the file."""
        self._hand_over()
        self._closed = True
        self._queue.put([])
        await asyncio.to_thread(self._writer.join)
        self._connection.close()

    def _run(self) -> None:
        _do_not_preempt()
        while jobs := self._next_jobs():
            try:
                results = self._transaction(jobs)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any fault
                self._recover(error)
                self._resolve(jobs, [Unwritten(_words(error))] * len(jobs))
            else:
                self._resolve(jobs, results)
                self._note("")
                for listener in tuple(self.listeners):
                    listener()

    def _next_jobs(self) -> list[_Job]:
        """Wait for work, and return all that waits; empty when the file is to be closed."""
        jobs = self._queue.get()
        while jobs and len(jobs) < _MOST and self._queue.qsize():
            more = self._queue.get()
            if not more:
                self._queue.put(more)
                break
            jobs += more
        return jobs

    def _transaction(self, jobs: list[_Job]) -> list[Any]:
        alone = _alone(jobs)
        if alone is not None:
            self._connection.execute(*alone)
            return [None] * len(jobs)
        kinds: dict[Work, list[int]] = {}
        for index, (work, _, _) in enumerate(jobs):
            kinds.setdefault(work, []).append(index)
        results: list[Any] = [None] * len(jobs)
        self._connection.execute("BEGIN IMMEDIATE")
        for work, indexes in kinds.items():
            done = work(self._connection, [jobs[index][1] for index in indexes])
            for index, result in zip(indexes, done, strict=True):
                results[index] = result
        self._connection.execute("COMMIT")
        return results

    def _recover(self, error: Exception) -> None:
        """After a failed write the connection's state is not trusted: a new one reads the file."""
        self._note(str(error), exc_info=not isinstance(error, sqlite3.Error))
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        with contextlib.suppress(sqlite3.Error):
            self._connection = connect(self.path)

    def _note(self, fault: str, *, exc_info: bool = False) -> None:
        """Log the change and not each try: a full disk must not be filled by the log."""
        if fault != self._fault:
            fields = {"file": self.path.name, "error": fault or self._fault}
            level = logging.ERROR if fault else logging.WARNING
            words = "write failed" if fault else "writes again"
            _log.log(level, words, extra={"fields": fields}, exc_info=exc_info)
        self._fault = fault

    def _resolve(self, jobs: list[_Job], results: list[Any]) -> None:
        """Wake the loop once for all."""
        with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_set_results, jobs, results)


def _do_not_preempt() -> None:
    """
    Let this thread wait for a core where it wakes, and not take the event loop's, which holds
    Python's lock: it would only wait for that (Linux, sched(7), SCHED_BATCH).
    """
    if sys.platform == "linux":
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))


def _alone(jobs: list[_Job]) -> Statement | None:
    """
    The one statement that does everything, if there is one. It commits by itself, and goes through
    Python's lock once where a transaction goes four times.
    """
    work = jobs[0][0]
    statement = getattr(work, "alone", None)
    if statement is None or any(other is not work for other, _, _ in jobs):
        return None
    found: Statement | None = statement([payload for _, payload, _ in jobs])
    return found


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open the file as every connection of ours needs it."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=10
    )
    if readonly:
        connection.execute("PRAGMA query_only = ON")
        return connection
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone stops at the drive's cache
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    return connection


def _set_results(jobs: list[_Job], results: list[Any]) -> None:
    for (_, _, future), result in zip(jobs, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _words(error: Exception) -> str:
    """
    >>> _words(sqlite3.OperationalError("database or disk is full"))
    'The log could not be written (database or disk is full).'
    """
    return f"The log could not be written ({error})."
