"""
The books of every pipeline, in the affiliate's file: where it began, where it is, and what became
of the events between. What Kafka's committed offsets and their metadata are on a cluster.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields, replace
from datetime import datetime
from typing import NamedTuple

from trackmate.backbone import STORE, Reads
from trackmate.embedded import log
from trackmate_consume.ledger import Counts, Ledger, Line, Outcome, Place, Settled, balance
from trackmate_contract.quantity import epoch_ms

_TERMS = tuple(field.name for field in fields(Counts))

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS starts (
    pipeline TEXT NOT NULL,
    stream TEXT NOT NULL,
    first INTEGER NOT NULL,         -- the offset where it began; events before are not its own
    PRIMARY KEY (pipeline, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    pipeline TEXT NOT NULL,
    stream TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,          -- the offset to read next
    PRIMARY KEY (pipeline, stream, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (
    pipeline TEXT PRIMARY KEY,
    {", ".join(f"{term} INTEGER NOT NULL" for term in _TERMS)}
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reasons (
    pipeline TEXT NOT NULL,
    term TEXT NOT NULL,             -- filtered or dead
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (pipeline, term, reason)
) WITHOUT ROWID;
"""


class Begin(NamedTuple):
    """Where a new pipeline is to begin."""

    reads: Reads
    start: str | datetime
    """`earliest`, `latest` or a time."""


def begin(connection: sqlite3.Connection, begins: Sequence[Begin]) -> list[None]:
    """Resolve each start once: what was committed stays, whatever the start says later."""
    for (pipeline, stream), start in begins:
        if stream is None:
            continue
        first = _resolve(connection, stream, start)
        cursor = connection.execute(
            "INSERT OR IGNORE INTO starts VALUES (?, ?, ?)", (pipeline, stream, first)
        )
        if cursor.rowcount:
            connection.execute(
                "INSERT OR IGNORE INTO positions VALUES (?, ?, ?, ?)",
                (pipeline, stream, log.PARTITION, first),
            )
    return [None] * len(begins)


def _resolve(connection: sqlite3.Connection, stream: str, start: str | datetime) -> int:
    if isinstance(start, datetime):
        return log.first_since(connection, stream, epoch_ms(start))
    return log.end(connection, stream) if start == "latest" else log.base(connection, stream)


class Commit(NamedTuple):
    """One step of one pipeline."""

    pipeline: str
    settled: Settled


def commit(connection: sqlite3.Connection, commits: Sequence[Commit]) -> list[None]:
    for pipeline, settled in commits:
        _withdraw(connection, pipeline, settled)
        for (stream, partition), offset in settled.positions.items():
            connection.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
                (pipeline, stream, partition, offset),
            )
        add(connection, pipeline, settled.counts)
        add_reasons(
            connection,
            pipeline,
            {(outcome.value, reason): n for (outcome, reason), n in settled.reasons.items()},
        )
    return [None] * len(commits)


def _withdraw(connection: sqlite3.Connection, pipeline: str, settled: Settled) -> None:
    """
    Remove the letters of events that are not dead: a crash came between such a letter and the
    commit, and this time the sink took the event.
    """
    for (stream, partition), offset in settled.positions.items():
        letters = connection.execute(
            'SELECT "offset" FROM dead_letters WHERE pipeline = ?1 AND stream = ?2 '
            'AND partition = ?3 AND "offset" < ?4 AND "offset" >= coalesce((SELECT next FROM '
            "positions WHERE pipeline = ?1 AND stream = ?2 AND partition = ?3), 0)",
            (pipeline, stream, partition, offset),
        ).fetchall()
        dead = {
            one.offset
            for one in (settled.verdicts if letters else ())
            if one.outcome is Outcome.DEAD and (one.stream, one.partition) == (stream, partition)
        }
        connection.executemany(
            "DELETE FROM dead_letters WHERE pipeline = ? AND stream = ? AND partition = ? "
            'AND "offset" = ?',
            [(pipeline, stream, partition, at) for (at,) in letters if at not in dead],
        )


def add(connection: sqlite3.Connection, pipeline: str, counts: Counts) -> None:
    added = ", ".join(f"{term} = {term} + excluded.{term}" for term in _TERMS)
    marks = ", ".join("?" for _ in _TERMS)
    connection.execute(
        f"INSERT INTO ledger VALUES (?, {marks}) ON CONFLICT DO UPDATE SET {added}",
        (pipeline, *astuple(counts)),
    )


def add_reasons(
    connection: sqlite3.Connection, pipeline: str, reasons: Mapping[tuple[str, str], int]
) -> None:
    """Add events, or with a negative number take them back, by term and reason."""
    connection.executemany(
        "INSERT INTO reasons VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET events = events + excluded.events",
        [(pipeline, term, reason, events) for (term, reason), events in reasons.items()],
    )


def positions(connection: sqlite3.Connection, pipeline: str) -> dict[Place, int]:
    rows = connection.execute(
        "SELECT stream, partition, next FROM positions WHERE pipeline = ?", (pipeline,)
    )
    return {(stream, partition): offset for stream, partition, offset in rows}


def ledger(connection: sqlite3.Connection, pipelines: Iterable[Reads]) -> Ledger:
    """The books, from one snapshot of the file; and whether what they count is really there."""
    connection.execute("BEGIN")
    try:
        ends = {name: log.end(connection, name) for name in log.streams(connection)}
        lines = [_line(connection, reads, ends) for reads in pipelines]
        stored = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
        letters = dict(
            connection.execute(
                "SELECT pipeline, count(*) FROM dead_letters WHERE counted GROUP BY pipeline"
            ).fetchall()
        )
    finally:
        connection.execute("COMMIT")
    books = balance(sum(ends.values()), lines)
    missing = [
        fault
        for line in lines
        for fault in (
            documents_missing(line, stored),
            _missing(
                line, line.counts.dead, letters.get(line.name, 0), "dead letters counted", "kept"
            ),
        )
        if fault
    ]
    return replace(books, faults=(*books.faults, *missing))


def documents_missing(line: Line, stored: int) -> str | None:
    """What is wrong where the line is of `store`, and there are so many documents."""
    if line.name != STORE:
        return None
    return _missing(line, line.counts.documents, stored, "documents made", "in the store")


def _line(connection: sqlite3.Connection, reads: Reads, ends: Mapping[str, int]) -> Line:
    name = reads.pipeline
    row = connection.execute("SELECT * FROM ledger WHERE pipeline = ?", (name,)).fetchone()
    starts = dict(
        connection.execute(
            "SELECT stream, first FROM starts WHERE pipeline = ?", (name,)
        ).fetchall()
    )
    read = {stream: at for (stream, _), at in positions(connection, name).items()}
    accepted = in_flight = 0
    for stream in {*ends, *read}:
        first, position = starts.get(stream, 0), read.get(stream, 0)
        # a stream that it once read counts up to where it stopped
        end = ends.get(stream, 0) if reads.stream in {None, stream} else position
        accepted += max(0, end - first) if stream in starts or reads.stream is None else 0
        in_flight += max(0, end - position)
    reasons = connection.execute(
        "SELECT term, reason, events FROM reasons WHERE pipeline = ? AND events > 0", (name,)
    )
    return Line(
        name,
        accepted,
        Counts(*row[1:]) if row else Counts(),
        in_flight,
        {(term, reason): events for term, reason, events in reasons},
    )


def _missing(line: Line, counted: int, there: int, what: str, where: str) -> str | None:
    """What is counted is written just before: more may be there, never fewer."""
    if counted <= there <= counted + line.in_flight:
        return None
    return f"pipeline {line.name!r}: {counted} {what}, {there} {where}"


def lag_ms(connection: sqlite3.Connection, reads: Reads, *, now_ms: int) -> int:
    """The age of the oldest event that is not settled; 0 when all are."""
    read = positions(connection, reads.pipeline)
    oldest = [
        at
        for name in log.streams(connection)
        if reads.stream in {None, name}
        and (at := log.received_at(connection, name, read.get((name, log.PARTITION), 0)))
    ]
    return max(0, now_ms - min(oldest, default=now_ms))
