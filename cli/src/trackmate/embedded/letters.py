"""
Dead letters in the affiliate's file: what the topic `<affiliate>.<pipeline>.dead` is on a cluster.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from trackmate.embedded.clock import now_ms
from trackmate.embedded.database import Database
from trackmate_consume.letters import DeadLetter, Kept
from trackmate_contract.record import Record, Stamp

SCHEMA = """
CREATE TABLE IF NOT EXISTS dead_letters (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- a letter that is written again gets a new one
    pipeline TEXT NOT NULL,
    stream TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    id TEXT NOT NULL,
    key TEXT,
    value BLOB NOT NULL,
    stamp BLOB NOT NULL,
    received_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    dead_ms INTEGER NOT NULL,
    counted INTEGER NOT NULL,       -- whether the ledger has it as dead: not if delivered before
    UNIQUE (pipeline, stream, partition, "offset")
);
CREATE INDEX IF NOT EXISTS dead_letters_by_seq ON dead_letters (pipeline, seq, counted);
"""

_COLUMNS = (
    'seq, stream, partition, "offset", id, key, value, stamp, reason, detail, attempts, dead_ms'
)

_encode = msgspec.msgpack.Encoder().encode
_decode_stamp = msgspec.msgpack.Decoder(Stamp).decode


class _Put(NamedTuple):
    pipeline: str
    letters: Sequence[DeadLetter]
    now_ms: int
    counted: bool


class EmbeddedLetters:
    """
    The dead letters of one pipeline. Keeps trackmate_consume.letters.DeadLetters.

    `counted`: whether the event is dead to the ledger too; in a replay, it has an outcome already.
    """

    def __init__(self, database: Database, pipeline: str, *, counted: bool = True) -> None:
        self._database = database
        self._pipeline = pipeline
        self._counted = counted

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        await self._database.submit(_put, _Put(self._pipeline, letters, now_ms(), self._counted))


def _put(connection: sqlite3.Connection, puts: Sequence[_Put]) -> list[None]:
    for put in puts:
        for letter in put.letters:
            _put_one(connection, put, letter)
    return [None] * len(puts)


def _put_one(connection: sqlite3.Connection, put: _Put, letter: DeadLetter) -> None:
    record = letter.record
    place = (put.pipeline, record.stream, record.partition, record.offset)
    there = connection.execute(
        "DELETE FROM dead_letters WHERE pipeline = ? AND stream = ? AND partition = ? "
        'AND "offset" = ? RETURNING counted, attempts',
        place,
    ).fetchall()
    was_counted, attempts = there[0] if there else (0, 0)
    connection.execute(
        "INSERT INTO dead_letters "
        '(pipeline, stream, partition, "offset", id, key, value, stamp, received_ms, '
        "reason, detail, attempts, dead_ms, counted) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *place,
            record.id,
            record.key,
            record.value,
            _encode(record.stamp),
            record.stamp.received_ms,
            letter.reason,
            letter.detail,
            attempts + letter.attempts,
            put.now_ms,
            int(was_counted or put.counted),
        ),
    )


def kept(
    connection: sqlite3.Connection, pipeline: str, *, after: int = 0, most: int = 100
) -> list[Kept]:
    """The letters of a pipeline in the order of being put aside, from behind a number."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM dead_letters WHERE pipeline = ? AND seq > ? ORDER BY seq LIMIT ?",
        (pipeline, after, most),
    )
    return [_kept(row) for row in rows]


def one(connection: sqlite3.Connection, pipeline: str, seq: int) -> Kept | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM dead_letters WHERE pipeline = ? AND seq = ?", (pipeline, seq)
    ).fetchone()
    return _kept(row) if row else None


def numbers(
    connection: sqlite3.Connection, pipeline: str, wanted: Sequence[int] | None
) -> set[int]:
    """The numbers of the letters that there are, of those wanted; of all for None."""
    rows = connection.execute("SELECT seq FROM dead_letters WHERE pipeline = ?", (pipeline,))
    there = {seq for (seq,) in rows}
    return there if wanted is None else there & set(wanted)


def count(connection: sqlite3.Connection, pipeline: str) -> int:
    row = connection.execute("SELECT count(*) FROM dead_letters WHERE pipeline = ?", (pipeline,))
    found: int = row.fetchone()[0]
    return found


def record_of(row: Sequence[Any]) -> Record:
    """The record of a row: stream, partition, offset, id, key, value and stamp."""
    stream, partition, offset, event_id, key, value, stamp = row
    return Record(stream, partition, offset, event_id, key, value, _decode_stamp(stamp))


def _kept(row: Sequence[Any]) -> Kept:
    reason, detail, attempts, dead_ms = row[8:]
    return Kept(row[0], DeadLetter(record_of(row[1:8]), reason, detail, attempts), dead_ms)
