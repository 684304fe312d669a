"""
Which events an imbalance is about: looked for only when the books are off, as it reads the log.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice

from trackmate.backbone import STORE, Reads
from trackmate.embedded import log
from trackmate.embedded.books import positions
from trackmate_contract.names import document_key
from trackmate_contract.record import Record

MOST = 20  # events named; more say nothing more


def explain(connection: sqlite3.Connection, pipelines: Iterable[Reads]) -> list[str]:
    """A sentence for each event that is missing where it should be, and each stream that is off."""
    faults = [fault for reads in pipelines for fault in _beyond(connection, reads)]
    return [*faults, *islice(_without_document(connection), MOST)]


def _beyond(connection: sqlite3.Connection, reads: Reads) -> Iterator[str]:
    for (stream, partition), offset in positions(connection, reads.pipeline).items():
        end = log.end(connection, stream)
        if offset > end:
            place = f"{stream}/{partition}"
            yield (
                f"pipeline {reads.pipeline!r}: it read {place} up to {offset}, and the log ends "
                f"at {end}: the log was replaced by an older one"
            )


def _without_document(connection: sqlite3.Connection) -> Iterator[str]:
    """Events that `store` has settled and that are not in the store."""
    for (stream, _), position in sorted(positions(connection, STORE).items()):
        offset = log.base(connection, stream)
        while offset < position and (records := log.read(connection, stream, offset=offset)):
            for record in records:
                if record.offset < position and not _is_kept(connection, record):
                    yield no_document(record)
            offset = records[-1].offset + 1


def no_document(record: Record) -> str:
    """What is wrong with an event that `store` has settled and that is not in the store."""
    place = f"{record.stream}/{record.partition}@{record.offset}"
    return f"pipeline 'store': event {record.id!r} at {place} has no document"


def has_document(connection: sqlite3.Connection, record: Record) -> bool:
    """Whether the event is in the store, under its own key."""
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM documents WHERE key = ?)",
        (document_key(record.stream, record.id),),
    ).fetchone()
    return bool(found[0])


def _is_kept(connection: sqlite3.Connection, record: Record) -> bool:
    if has_document(connection, record):
        return True
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM dead_letters WHERE pipeline = ? AND stream = ? "
        'AND partition = ? AND "offset" = ?)',
        (STORE, record.stream, record.partition, record.offset),
    ).fetchone()
    return bool(found[0])
