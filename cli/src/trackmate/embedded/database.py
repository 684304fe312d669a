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
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from trackmate_consume.sinks import Down
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


class _Job(NamedTuple):
    work: Work
    payload: Any
    future: "asyncio.Future[Any]"


class Database:
    """A file that holds one affiliate's log, documents, positions and ledger."""

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._connection = connect(path)
        self._connection.executescript(schema)
        self._fault = ""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.listeners: set[Callable[[], None]] = set()
        """Called on the writer's thread after each commit."""
        self._writer = threading.Thread(target=self._run, name=f"write {path.name}", daemon=True)
        self._writer.start()

    def submit(self, work: Work, payload: Any) -> "asyncio.Future[Any]":
        """
        Have the work done; the future is the running loop's, and done after the commit.
        It raises Unwritten when the transaction failed; then nothing of it is stored.
        """
        future = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, payload, future))
        return future

    def reader(self) -> sqlite3.Connection:
        """A connection of its own for reading; a reader never waits for the writer."""
        return connect(self.path, readonly=True)

    def close(self) -> None:
        """Write what waits, then close the file."""
        self._jobs.put(None)
        self._writer.join()
        self._connection.close()

    def _run(self) -> None:
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
        jobs: list[_Job] = []
        waiting = 1
        while waiting:
            job = self._jobs.get()
            if job is None:
                if jobs:
                    self._jobs.put(None)
                return jobs
            jobs.append(job)
            waiting = min(self._jobs.qsize(), _MOST - len(jobs))
        return jobs

    def _transaction(self, jobs: list[_Job]) -> list[Any]:
        alone = _alone(jobs)
        if alone is not None:
            self._connection.execute(*alone)
            return [None] * len(jobs)
        kinds: dict[Work, list[int]] = {}
        for index, job in enumerate(jobs):
            kinds.setdefault(job.work, []).append(index)
        results: list[Any] = [None] * len(jobs)
        self._connection.execute("BEGIN IMMEDIATE")
        for work, indexes in kinds.items():
            done = work(self._connection, [jobs[index].payload for index in indexes])
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
        """Wake each event loop once for all of its futures."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for job, result in zip(jobs, results, strict=True):
            loops.setdefault(job.future.get_loop(), []).append((job.future, result))
        for loop, pairs in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_set_results, pairs)


def _alone(jobs: list[_Job]) -> Statement | None:
    """
    The one statement that does everything, if there is one. It commits by itself, and goes through
    Python's lock once where a transaction goes four times.
    """
    work = jobs[0].work
    statement = getattr(work, "alone", None)
    if statement is None or any(job.work is not work for job in jobs):
        return None
    found: Statement | None = statement([job.payload for job in jobs])
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


def _set_results(pairs: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in pairs:
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
