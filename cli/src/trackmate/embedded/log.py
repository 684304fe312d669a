"""
The embedded log: what Kafka is on a cluster. A row is a record batch, as in Kafka: the events of
all requests that one commit served, in MessagePack. Each stream has one partition, 0: partitions
are units of parallel work, and one process has no use for more.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from trackmate.embedded.database import Database, Statement, Unwritten
from trackmate_contract.record import Event, Record, Stamp

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    seq INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    base INTEGER NOT NULL,      -- the offset of its first event
    count INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS batches_by_offset ON batches (stream, base);
CREATE TABLE IF NOT EXISTS log_identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
INSERT OR IGNORE INTO log_identity VALUES (1, lower(hex(randomblob(4))));
"""

PARTITION = 0

_ROW_BYTES = 1 << 20  # a row is read as a whole, so it is bounded
_QUEUE_BYTES = 64 << 20  # of events that wait for the disk; beyond it the answer is 503


_INSERT = """
INSERT INTO batches (stream, base, count, received_ms, data)
SELECT ?1, coalesce(
    (SELECT base + count FROM batches WHERE stream = ?1 ORDER BY base DESC LIMIT 1), 0
), ?2, ?3, ?4
"""

_STREAMS = """
WITH RECURSIVE found (name) AS (
    SELECT min(stream) FROM batches
    UNION ALL
    SELECT (SELECT min(stream) FROM batches WHERE stream > name) FROM found WHERE name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
"""  # a step of the index for each stream, where DISTINCT would read all of it

_AT_OFFSET = """
WHERE stream = ?1 AND base + count > ?2
  AND base >= coalesce((SELECT max(base) FROM batches WHERE stream = ?1 AND base <= ?2), 0)
ORDER BY base LIMIT 1
"""


class Append(NamedTuple):
    """The events of one request."""

    stream: str
    stamp: Stamp
    events: Sequence[Event]
    size: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Stamp, list[Event]]]).decode


class EmbeddedLog:
    """The log of one affiliate. Keeps the contract of trackmate_ingest.log.Log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queued_bytes = 0

    async def append(self, stream: str, stamp: Stamp, events: Sequence[Event]) -> None:
        size = sum([len(event.value) for event in events])
        if self._queued_bytes > _QUEUE_BYTES:
            raise Unwritten("The log's queue is full: the disk does not keep up.")
        self._queued_bytes += size
        try:
            await self._database.submit(write, Append(stream, stamp, events, size))
        finally:
            self._queued_bytes -= size


class _Write:
    """The work of the log: one row for each stream and MiB of what waits."""

    def __call__(self, connection: sqlite3.Connection, appends: Sequence[Append]) -> list[None]:
        for row in _rows(appends):
            connection.execute(_INSERT, row)
        return [None] * len(appends)

    def alone(self, appends: Sequence[Append]) -> Statement | None:
        """Mostly one row is all there is to do: then one statement is the transaction."""
        rows = _rows(appends)
        first, second = next(rows), next(rows, None)
        return None if second else (_INSERT, first)


write = _Write()


def _rows(appends: Sequence[Append]) -> Iterator[tuple[str, int, int, bytes]]:
    """Group by stream, and cut where a row would become too large."""
    by_stream: dict[str, list[Append]] = {}
    for append in appends:
        by_stream.setdefault(append[0], []).append(append)
    for stream, whole in by_stream.items():
        for part in _parts(whole):
            count = sum([len(events) for _, _, events, _ in part])
            data = _encode([(stamp, events) for _, stamp, events, _ in part])
            yield stream, count, part[0].stamp.received_ms, data


def _parts(whole: list[Append]) -> Iterator[list[Append]]:
    if sum([append.size for append in whole]) <= _ROW_BYTES:
        yield whole
        return
    part: list[Append] = []
    size = 0
    for append in whole:
        if part and size + append.size > _ROW_BYTES:
            yield part
            part, size = [], 0
        part.append(append)
        size += append.size
    yield part


def end(connection: sqlite3.Connection, stream: str) -> int:
    """The offset that the next event of the stream will have."""
    row = connection.execute(
        "SELECT base + count FROM batches WHERE stream = ? ORDER BY base DESC LIMIT 1", (stream,)
    ).fetchone()
    return row[0] if row else 0


def base(connection: sqlite3.Connection, stream: str) -> int:
    """The offset of the oldest event that is kept; 0 for a stream without events."""
    row = connection.execute(
        "SELECT base FROM batches WHERE stream = ? ORDER BY base LIMIT 1", (stream,)
    ).fetchone()
    return row[0] if row else 0


def first_since(connection: sqlite3.Connection, stream: str, since_ms: int) -> int:
    """The offset of the first event received at a time or after it; the end where there is none."""
    row = connection.execute(
        "SELECT max(base) FROM batches WHERE stream = ? AND received_ms < ?", (stream, since_ms)
    ).fetchone()
    offset = row[0] or 0  # requests of a batch were received at several times: look into it
    while records := read(connection, stream, offset=offset):
        for record in records:
            if record.stamp.received_ms >= since_ms:
                return record.offset
        offset = records[-1].offset + 1
    return offset


def received_at(connection: sqlite3.Connection, stream: str, offset: int) -> int | None:
    """When the batch that holds an offset was received; None where it does not exist yet."""
    row = connection.execute(
        f"SELECT received_ms FROM batches {_AT_OFFSET}",
        (stream, offset),
    ).fetchone()
    return row[0] if row else None


def streams(connection: sqlite3.Connection) -> list[str]:
    """Every stream that holds events, also those no longer in the spec."""
    return [name for (name,) in connection.execute(_STREAMS)]


def read(connection: sqlite3.Connection, stream: str, *, offset: int) -> list[Record]:
    """The records from `offset` to the end of a row: at most one row's worth, empty at the end."""
    row = connection.execute(
        f"SELECT base, data FROM batches {_AT_OFFSET}",
        (stream, offset),
    ).fetchone()
    if row is None:
        return []
    records = list(unpack(stream, *row))
    return records[max(0, offset - records[0].offset) :]


def unpack(stream: str, base: int, data: bytes) -> Iterator[Record]:
    """The records of one row."""
    offset = base
    for stamp, events in _decode(data):
        for event_id, key, value in events:
            yield Record(stream, PARTITION, offset, event_id, key, value, stamp)
            offset += 1


def purge(connection: sqlite3.Connection, stream: str, *, before_ms: int) -> int:
    """Remove batches received before a time, never the newest: it remembers the stream's end."""
    return connection.execute(
        "DELETE FROM batches WHERE stream = ?1 AND received_ms < ?2 "
        "AND base < (SELECT max(base) FROM batches WHERE stream = ?1)",
        (stream, before_ms),
    ).rowcount


def identity(connection: sqlite3.Connection) -> str:
    """
    An id made with the log: where the data was wiped, offsets begin again and mean other events.
    """
    row = connection.execute("SELECT id FROM log_identity").fetchone()
    return str(row[0])


def last_row(connection: sqlite3.Connection) -> int:
    """The newest row's number, over all streams; 0 while there is none."""
    row = connection.execute("SELECT max(seq) FROM batches").fetchone()
    return row[0] or 0


def next_row(
    connection: sqlite3.Connection, *, after: int, stream: str | None = None
) -> tuple[int, list[Record]] | None:
    """The first row behind another, in the order of storing."""
    row = connection.execute(
        "SELECT seq, stream, base, data FROM batches "
        "WHERE seq > ?1 AND (?2 IS NULL OR stream = ?2) ORDER BY seq LIMIT 1",
        (after, stream),
    ).fetchone()
    return (row[0], list(unpack(*row[1:]))) if row else None


def newest(
    connection: sqlite3.Connection, *, after: int, most: int
) -> tuple[int, int, list[Record]]:
    """The newest records behind a row: the last row's number, how many were left out, and they."""
    rows = connection.execute(
        "SELECT seq, count FROM batches WHERE seq > ? ORDER BY seq", (after,)
    ).fetchall()
    total = sum(count for _, count in rows)
    records: list[Record] = []
    for seq, _ in reversed(rows):
        if len(records) >= most:
            break
        row = next_row(connection, after=seq - 1)
        records = [*(row[1] if row else ()), *records]
    kept = records[-most:]
    return (rows[-1][0] if rows else after), total - len(kept), kept
