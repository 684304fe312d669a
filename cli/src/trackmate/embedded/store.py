"""
The embedded store and its books: what Couchbase and Kafka's committed offsets are on a cluster.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from trackmate.embedded.database import Database
from trackmate.insights.facts import event_name
from trackmate_consume.fingerprint import fingerprint
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Translated
from trackmate_contract.names import conflict_key, document_key
from trackmate_contract.record import Record

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    seq INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    partition INTEGER NOT NULL,     -- with the offset: which record it came from
    "offset" INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS documents_by_key ON documents (key);
CREATE TABLE IF NOT EXISTS minutes (    -- documents made, by the minute their event was received
    minute_ms INTEGER NOT NULL,
    name TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (minute_ms, name)
) WITHOUT ROWID;
"""

_ROWS = 128  # in one statement: one step of SQLite, outside Python's lock, for many documents
_MINUTE_MS = 60_000

Item = TypeVar("Item")
Row = tuple[str, bytes, int, int, bytes]
Known = dict[str, tuple[bytes, int, int]]


class EmbeddedStore:
    """The documents of one affiliate. Keeps the contract of trackmate_consume.sink.Sink."""

    lanes = 1

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> None:
        """The file is open."""

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        outcomes: Sequence[Outcome] = await self._database.submit(_write, batch)
        return outcomes

    async def close(self) -> None:
        """The file stays open for the others."""


def _write(
    connection: sqlite3.Connection, batches: Sequence[Sequence[Translated]]
) -> list[list[Outcome]]:
    return [insert(connection, batch) for batch in batches]


class _Candidate(NamedTuple):
    """An event's document with what tells it from others."""

    key: str
    fingerprint: bytes
    record: Record
    value: bytes


def _candidate(translated: Translated) -> _Candidate:
    record = translated.record
    return _Candidate(
        document_key(record.stream, record.id),
        fingerprint(record.value, segment=record.stamp.type is not None),
        record,
        translated.documents[0].value,
    )


def insert(connection: sqlite3.Connection, batch: Sequence[Translated]) -> list[Outcome]:
    candidates = [_candidate(translated) for translated in batch]
    known = _find(connection, [candidate.key for candidate in candidates])
    rows: list[Row] = []
    outcomes = []
    names: Counter[tuple[int, str]] = Counter()
    for candidate in candidates:
        outcome, key = _judge(connection, known, candidate)
        outcomes.append(outcome)
        if key is None:
            continue
        record = candidate.record
        rows.append((key, candidate.fingerprint, record.partition, record.offset, candidate.value))
        known[key] = (candidate.fingerprint, record.partition, record.offset)
        minute = record.stamp.received_ms // _MINUTE_MS * _MINUTE_MS
        names[minute, event_name(record)] += 1
    _insert_rows(connection, rows)
    _count(connection, names)
    return outcomes


def _judge(
    connection: sqlite3.Connection, known: Known, candidate: _Candidate
) -> tuple[Outcome, str | None]:
    """What becomes of a document, and the key to write it under, or None where it is there."""
    there = known.get(candidate.key)
    if there is None:
        return Outcome.DELIVERED, candidate.key
    record = candidate.record
    if there[1:] == (record.partition, record.offset):
        return Outcome.DELIVERED, None  # the same record again, after a crash before its commit
    if there[0] == candidate.fingerprint:
        return Outcome.DUPLICATE, None
    key = conflict_key(record.stream, record.id, candidate.fingerprint.hex())
    if key not in known:
        known.update(_find(connection, [key]))
    there = known.get(key)
    if there is None:
        return Outcome.CONFLICT, key
    again = there[1:] == (record.partition, record.offset)
    return Outcome.CONFLICT if again else Outcome.DUPLICATE, None


def _find(connection: sqlite3.Connection, keys: list[str]) -> Known:
    """Keys are bound one by one: as JSON, SQLite would cut them at a NUL."""
    found: Known = {}
    for part in _parts(keys):
        marks = ",".join("?" * len(part))
        rows = connection.execute(
            f'SELECT key, fingerprint, partition, "offset" FROM documents WHERE key IN ({marks})',
            part,
        )
        found.update((row[0], row[1:]) for row in rows)
    return found


def _insert_rows(connection: sqlite3.Connection, rows: list[Row]) -> None:
    for part in _parts(rows):
        values = ",".join(["(?,?,?,?,?)"] * len(part))
        connection.execute(
            f'INSERT INTO documents (key, fingerprint, partition, "offset", value) VALUES {values}',
            [column for row in part for column in row],
        )


def _parts(whole: list[Item]) -> Iterator[list[Item]]:
    for index in range(0, len(whole), _ROWS):
        yield whole[index : index + _ROWS]


def _count(connection: sqlite3.Connection, names: Counter[tuple[int, str]]) -> None:
    connection.executemany(
        "INSERT INTO minutes VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET events = events + excluded.events",
        [(minute, name, events) for (minute, name), events in names.items()],
    )


def figures(connection: sqlite3.Connection, *, now_ms: int, minutes: int = 60) -> dict[str, Any]:
    """Events per minute, the last hour's, oldest first; and the names that came most in it."""
    last = now_ms // _MINUTE_MS * _MINUTE_MS
    first = last - (minutes - 1) * _MINUTE_MS
    counted: dict[int, int] = dict(
        connection.execute(
            "SELECT minute_ms, sum(events) FROM minutes WHERE minute_ms >= ? GROUP BY minute_ms",
            (first,),
        ).fetchall()
    )
    top = connection.execute(
        "SELECT name, sum(events) FROM minutes WHERE minute_ms >= ? "
        "GROUP BY name ORDER BY 2 DESC, 1 LIMIT 10",
        (first,),
    )
    return {
        "minutes": [
            {"minute_ms": minute, "events": counted.get(minute, 0)}
            for minute in range(first, last + 1, _MINUTE_MS)
        ],
        "top": [{"name": name, "events": events} for name, events in top],
    }
