"""
Replays of one pipeline in the affiliate's file: events sent again, from a time on or dead letters.

An event is counted once. Replayed, it changes the books only where it was a dead letter: then it is
no longer dead, but what the replay made of it.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from trackmate.embedded import books, log
from trackmate.embedded.clock import now_ms
from trackmate.embedded.database import Database, Work
from trackmate.embedded.letters import EmbeddedLetters, record_of
from trackmate.embedded.source import never
from trackmate_consume.ledger import Counts, Outcome, Settled, Verdict
from trackmate_consume.pipeline import Asked, Replay
from trackmate_consume.source import Fetched
from trackmate_contract.record import Record

SCHEMA = """
CREATE TABLE IF NOT EXISTS replays (
    seq INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    id TEXT NOT NULL,
    stream TEXT,                    -- what is read again; NULL for dead letters
    next INTEGER NOT NULL,          -- the offset to read next
    until INTEGER NOT NULL,         -- the offset, or for dead letters the number, to stop behind
    since_ms INTEGER NOT NULL,      -- for dead letters: of events received from then on
    chosen TEXT,                    -- the numbers of the dead letters, as JSON; NULL for all
    events INTEGER NOT NULL,        -- settled so far
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    UNIQUE (pipeline, id)
);
"""


_LOOK_AGAIN_S = 0.2


class Ask(NamedTuple):
    """A replay that is asked of a pipeline."""

    pipeline: str
    asked: Asked


def ask(connection: sqlite3.Connection, asks: Sequence[Ask]) -> list[bool]:
    """Note each replay, unless its id was there before; return which are new."""
    return [note(connection, one.pipeline, one.asked, _stretch(connection, *one)) for one in asks]


def _stretch(connection: sqlite3.Connection, pipeline: str, asked: Asked) -> range:
    if asked.stream is None:
        return range(letters_end(connection, pipeline))
    read = books.positions(connection, pipeline)
    return range(
        log.first_since(connection, asked.stream, asked.since_ms),
        read.get((asked.stream, log.PARTITION), 0),  # what follows comes anyway
    )


def note(connection: sqlite3.Connection, pipeline: str, asked: Asked, stretch: range) -> bool:
    """Write down what is to be read again; False where one of this id was there before."""
    cursor = connection.execute(
        "INSERT OR IGNORE INTO replays "
        "(pipeline, id, stream, next, until, since_ms, chosen, events, begun_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (
            pipeline,
            asked.id,
            asked.stream,
            stretch.start,
            stretch.stop,
            asked.since_ms,
            _json(asked.chosen),
            now_ms(),
        ),
    )
    return cursor.rowcount == 1


def _json(chosen: Sequence[int] | None) -> str | None:
    return None if chosen is None else json.dumps(list(chosen))


def letters_end(connection: sqlite3.Connection, pipeline: str) -> int:
    row = connection.execute("SELECT max(seq) FROM dead_letters WHERE pipeline = ?", (pipeline,))
    return row.fetchone()[0] or 0


class Order(NamedTuple):
    """A replay that is to run."""

    asked: Asked
    stretch: range
    """What of the log, or up to which letter; Kafka knows it by itself."""


class Orders:
    """The replays of one pipeline that were asked for, kept in the affiliate's file."""

    def __init__(self, database: Database, pipeline: str) -> None:
        self._database = database
        self._pipeline = pipeline
        self._asked = asyncio.Event()
        self._asked.set()  # a crash may have left one

    async def note(self, work: Work, asked: Asked) -> bool:
        """Have the work note it; return False where it was there before. Raises Unwritten."""
        new: bool = await self._database.submit(work, Ask(self._pipeline, asked))
        self._asked.set()
        return new

    async def next(self) -> Order:
        """Wait for the first that is not ended."""
        while True:
            await self._asked.wait()
            with contextlib.closing(self._database.reader()) as reader:
                row = reader.execute(
                    "SELECT id, stream, since_ms, chosen, next, until FROM replays "
                    "WHERE pipeline = ? AND ended_ms IS NULL ORDER BY seq LIMIT 1",
                    (self._pipeline,),
                ).fetchone()
            if row is not None:
                replay_id, stream, since_ms, chosen, first, until = row
                wanted = None if chosen is None else json.loads(chosen)
                return Order(Asked(replay_id, stream, since_ms, wanted), range(first, until))
            self._asked.clear()

    async def end(self, replay_id: str) -> None:
        """Remember that it ran. Raises Unwritten."""
        await self._database.submit(_end, _Again(self._pipeline, replay_id))

    def latest(self) -> dict[str, Any] | None:
        """The newest as the console shows it; None where there was none."""
        with contextlib.closing(self._database.reader()) as reader:
            return latest(reader, self._pipeline)


class EmbeddedReplays:
    """The replays of one pipeline. Keeps trackmate_consume.pipeline.Replays."""

    def __init__(self, database: Database, pipeline: str) -> None:
        self._database = database
        self._pipeline = pipeline
        self._orders = Orders(database, pipeline)

    async def ask(self, asked: Asked) -> bool:
        """Start a replay; return False where one of this id was there before. Raises Unwritten."""
        return await self._orders.note(ask, asked)

    async def next(self) -> Replay:
        asked, stretch = await self._orders.next()
        again = _Again(self._pipeline, asked.id)
        letters = EmbeddedLetters(self._database, self._pipeline, counted=False)
        source = (
            _LettersSource(
                self._database, again, _Letters(stretch.stop, asked.since_ms, _json(asked.chosen))
            )
            if asked.stream is None
            else _LogSource(self._database, again, asked.stream, stretch)
        )
        return Replay(asked.id, source, letters)

    async def end(self, replay: Replay) -> None:
        await self._orders.end(replay.id)


class _Again(NamedTuple):
    """Which replay of which pipeline."""

    pipeline: str
    id: str


class _Commit(NamedTuple):
    again: _Again
    settled: Settled


class _Letters(NamedTuple):
    """Which dead letters: up to a number, of events received from a time on, those chosen."""

    until: int
    since_ms: int
    chosen: str | None


_WANTED = (
    "dead_letters WHERE pipeline = ?1 AND seq <= ?2 AND received_ms >= ?3 "
    "AND (?4 IS NULL OR seq IN (SELECT value FROM json_each(?4)))"
)


class _LettersSource:
    """
    The dead letters of a pipeline, in the order of the log. What settles is removed.

    One that the ledger does not have yet, because an event before it is not settled, is waited for:
    a crash would read it again, and it would count twice.
    """

    def __init__(self, database: Database, again: _Again, letters: _Letters) -> None:
        self._database = database
        self._again = again
        self._letters = letters
        self._reader = database.reader()
        self._behind: tuple[str, int, int] = ("", -1, -1)

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        while not (records := self._look(most)):
            if not self._left():
                return None
            await asyncio.sleep(_LOOK_AGAIN_S)
        last = records[-1]
        self._behind = (last.stream, last.partition, last.offset)
        return Fetched(records)

    def _look(self, most: int) -> list[Record]:
        rows = self._reader.execute(
            f'SELECT stream, partition, "offset", id, key, value, stamp FROM {_WANTED} '
            'AND (stream, partition, "offset") > (?5, ?6, ?7) AND "offset" < (SELECT next '
            "FROM positions AS read WHERE read.pipeline = dead_letters.pipeline "
            "AND read.stream = dead_letters.stream AND read.partition = dead_letters.partition) "
            'ORDER BY stream, partition, "offset" LIMIT ?8',
            (self._again.pipeline, *self._letters, *self._behind, most),
        )
        return [record_of(row) for row in rows]

    def _left(self) -> bool:
        """Whether there are any that were not read."""
        row = self._reader.execute(
            f'SELECT EXISTS (SELECT 1 FROM {_WANTED} AND (stream, partition, "offset") > '
            "(?5, ?6, ?7))",
            (self._again.pipeline, *self._letters, *self._behind),
        ).fetchone()
        return bool(row[0])

    async def commit(self, settled: Settled) -> None:
        await self._database.submit(_commit, _Commit(self._again, settled))

    async def over(self) -> NoReturn:
        await never()

    async def close(self) -> None:
        self._reader.close()


class _LogSource:
    """A stretch of a stream that was read before."""

    def __init__(self, database: Database, again: _Again, stream: str, offsets: range) -> None:
        self._database = database
        self._again = again
        self._stream = stream
        self._next, self._until = offsets.start, offsets.stop
        self._waiting: list[Record] = []
        self._reader = database.reader()

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        while len(self._waiting) < most and self._next < self._until:
            records = log.read(self._reader, self._stream, offset=self._next)
            if not records:
                break
            self._next = records[-1].offset + 1
            self._waiting += [record for record in records if record.offset < self._until]
        records, self._waiting = self._waiting[:most], self._waiting[most:]
        return Fetched(records) if records else None

    async def commit(self, settled: Settled) -> None:
        await self._database.submit(_commit, _Commit(self._again, settled))

    async def over(self) -> NoReturn:
        await never()

    async def close(self) -> None:
        self._reader.close()


def _commit(connection: sqlite3.Connection, commits: Sequence[_Commit]) -> list[None]:
    for again, settled in commits:
        for verdict in settled.verdicts:
            if verdict.outcome is not Outcome.DEAD:
                _revive(connection, again.pipeline, verdict)
        connection.execute(
            "UPDATE replays SET next = max(next, ?), events = events + ? "
            "WHERE pipeline = ? AND id = ?",
            (max(settled.positions.values()), len(settled.verdicts), *again),
        )
    return [None] * len(commits)


def _revive(connection: sqlite3.Connection, pipeline: str, verdict: Verdict) -> None:
    """An event that was a dead letter is one no longer."""
    row = connection.execute(
        "DELETE FROM dead_letters WHERE pipeline = ? AND stream = ? AND partition = ? "
        'AND "offset" = ? RETURNING counted, reason',
        (pipeline, verdict.stream, verdict.partition, verdict.offset),
    ).fetchone()
    if row is None or not row[0] or verdict.outcome is None:
        return
    made = Counts.of([verdict.outcome], expired=0, documents=verdict.documents)
    books.add(connection, pipeline, made)
    books.add(connection, pipeline, Counts(dead=-1))
    books.add_reasons(connection, pipeline, {(Outcome.DEAD.value, row[1]): -1})
    if verdict.reason:
        books.add_reasons(connection, pipeline, {(verdict.outcome.value, verdict.reason): 1})


def _end(connection: sqlite3.Connection, ended: Sequence[_Again]) -> list[None]:
    connection.executemany(
        "UPDATE replays SET ended_ms = ? WHERE pipeline = ? AND id = ?",
        [(now_ms(), *again) for again in ended],
    )
    return [None] * len(ended)


def latest(connection: sqlite3.Connection, pipeline: str) -> dict[str, Any] | None:
    """The newest replay as the console shows it; None where there was none."""
    row = connection.execute(
        "SELECT id, stream, events, begun_ms, ended_ms FROM replays WHERE pipeline = ? "
        "ORDER BY seq DESC LIMIT 1",
        (pipeline,),
    ).fetchone()
    return (
        None
        if row is None
        else dict(zip(("id", "stream", "events", "begun_ms", "ended_ms"), row, strict=True))
    )
