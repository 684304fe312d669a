"""
The embedded log: offsets without a gap, order, and reading from anywhere, on the file alone.
"""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackmate.embedded import log
from trackmate.embedded.log import Append
from trackmate_contract.record import Event, Stamp

STAMP = Stamp(1000, "web")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = open_log()
    yield opened
    opened.close()


def open_log() -> sqlite3.Connection:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.executescript(log.SCHEMA)
    return opened


def append(*values: bytes, stream: str = "events", stamp: Stamp = STAMP) -> Append:
    events = [Event(value.decode("latin-1"), None, value) for value in values]
    return Append(stream, stamp, events, sum(map(len, values)))


def read_all(
    connection: sqlite3.Connection, stream: str, offset: int = 0
) -> list[tuple[int, bytes]]:
    found = []
    while records := log.read(connection, stream, offset=offset):
        found += [(record.offset, record.value) for record in records]
        offset = records[-1].offset + 1
    return found


def test_offsets_are_contiguous_in_each_stream(connection: sqlite3.Connection) -> None:
    log.write(connection, [append(b"a", b"b"), append(b"x", stream="scans"), append(b"c")])
    log.write(connection, [append(b"d")])

    assert read_all(connection, "events") == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]
    assert read_all(connection, "scans") == [(0, b"x")]
    assert log.streams(connection) == ["events", "scans"]


def test_each_record_has_the_stamp_of_its_request(connection: sqlite3.Connection) -> None:
    other = Stamp(2000, "server", type="track", content_type=None, ip="::", user_agent="é")
    log.write(connection, [append(b"a"), append(b"b", stamp=other)])

    [first, second] = log.read(connection, "events", offset=0)
    assert (first.stamp, second.stamp) == (STAMP, other)
    assert (first.id, first.key, first.partition) == ("a", None, 0)


@given(
    st.lists(st.lists(st.binary(max_size=4), min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(min_value=0, max_value=30),
)
def test_reading_from_any_offset_gives_exactly_what_is_behind_it(
    requests: list[list[bytes]], offset: int
) -> None:
    connection = open_log()
    for values in requests:
        log.write(connection, [append(*values)])
    everything = list(enumerate(value for values in requests for value in values))

    assert read_all(connection, "events", offset) == everything[offset:]
    connection.close()


def test_a_row_is_bounded_however_much_waits(connection: sqlite3.Connection) -> None:
    log.write(connection, [append(bytes(400_000)) for _ in range(5)])

    rows = connection.execute("SELECT length(data) FROM batches").fetchall()
    assert len(rows) == 3
    assert [offset for offset, _ in read_all(connection, "events")] == [0, 1, 2, 3, 4]


def test_retention_takes_the_old_and_never_forgets_the_end(connection: sqlite3.Connection) -> None:
    for at in (1000, 2000, 3000):
        log.write(connection, [append(b"a", b"b", stamp=Stamp(at, "web"))])

    assert log.purge(connection, "events", before_ms=10_000) == 2
    assert read_all(connection, "events") == [(4, b"a"), (5, b"b")]
    log.write(connection, [append(b"c")])
    assert read_all(connection, "events", 6) == [(6, b"c")]


def test_the_newest_records_are_found_and_the_rest_counted(connection: sqlite3.Connection) -> None:
    log.write(connection, [append(b"a", b"b", b"c")])
    log.write(connection, [append(b"x", stream="scans")])

    last, skipped, records = log.newest(connection, after=0, most=2)

    assert (last, skipped, [record.value for record in records]) == (2, 2, [b"c", b"x"])
    assert log.newest(connection, after=2, most=2) == (2, 0, [])


def test_a_log_keeps_its_id_and_another_has_another(connection: sqlite3.Connection) -> None:
    made = log.identity(connection)
    connection.executescript(log.SCHEMA)  # as at each start

    assert log.identity(connection) == made
    other = open_log()
    assert log.identity(other) != made
    other.close()
