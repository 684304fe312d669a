"""
The embedded store's judgement: new, the same record again, a duplicate, or a conflict.
"""

import sqlite3
from collections.abc import Iterator

import pytest

from trackmate.embedded import store
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Translated
from trackmate_consume.translate import to_document
from trackmate_contract.record import Record, Stamp

DELIVERED, DUPLICATE, CONFLICT = Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.CONFLICT
MINUTE = 60_000


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.executescript(store.SCHEMA)
    yield opened
    opened.close()


def document(
    offset: int, value: bytes = b"{}", *, event_id: str = "e1", received_ms: int = 0
) -> Translated:
    stamp = Stamp(received_ms, "web")
    record = Record("events", 0, offset, event_id, None, value, stamp)
    return Translated(record, (to_document(record),))


def keys(connection: sqlite3.Connection) -> list[str]:
    return [key for (key,) in connection.execute("SELECT key FROM documents ORDER BY seq")]


def test_an_id_makes_one_document_however_often_it_comes(connection: sqlite3.Connection) -> None:
    assert store.insert(connection, [document(0), document(1)]) == [DELIVERED, DUPLICATE]
    assert store.insert(connection, [document(2)]) == [DUPLICATE]
    assert keys(connection) == ["e::events::e1"]


def test_other_bytes_under_a_known_id_are_kept_beside(connection: sqlite3.Connection) -> None:
    first = [document(0), document(1, b'{"n":1}'), document(2, b'{"n":1}'), document(3, b"[]")]

    assert store.insert(connection, first) == [DELIVERED, CONFLICT, DUPLICATE, CONFLICT]
    assert [key[:13] for key in keys(connection)] == ["e::events::e1", *["c::events::e1"] * 2]


def test_a_record_that_comes_again_after_a_crash_is_what_it_was(
    connection: sqlite3.Connection,
) -> None:
    records = [document(0), document(1), document(2, b'{"n":1}')]

    before = store.insert(connection, records)
    after = store.insert(connection, records)

    assert before == after == [DELIVERED, DUPLICATE, CONFLICT]
    assert len(keys(connection)) == 2


def test_many_documents_are_written_whatever_their_number(connection: sqlite3.Connection) -> None:
    for count in (1, 127, 128, 129, 500):
        made = [document(n, event_id=f"{count}-{n}") for n in range(count)]
        assert store.insert(connection, made) == [DELIVERED] * count
    assert len(keys(connection)) == 885


def test_figures_count_documents_by_minute_and_name(connection: sqlite3.Connection) -> None:
    now = 100 * MINUTE
    events = [(b'{"event":"A"}', now), (b'{"event":"A"}', now - MINUTE), (b'{"name":"B"}', now)]
    late = [(b"17", now - 59 * MINUTE), (b'{"event":"old"}', now - 60 * MINUTE)]
    store.insert(
        connection,
        [
            document(n, value, event_id=str(n), received_ms=at)
            for n, (value, at) in enumerate([*events, *late])
        ],
    )

    figures = store.figures(connection, now_ms=now + 5)

    assert [minute["events"] for minute in figures["minutes"]] == [1, *[0] * 57, 1, 2]
    assert figures["top"] == [
        {"name": "A", "events": 2},
        {"name": "(unnamed)", "events": 1},
        {"name": "B", "events": 1},
    ]


def test_repeats_are_not_counted_in_the_figures(connection: sqlite3.Connection) -> None:
    store.insert(connection, [document(0, b'{"event":"A"}'), document(1, b'{"event":"A"}')])
    store.insert(connection, [document(0, b'{"event":"A"}')])

    assert store.figures(connection, now_ms=0)["top"] == [{"name": "A", "events": 1}]
