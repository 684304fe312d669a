"""
What every store keeps, whatever is behind it: one document an event, its exact bytes, and another
event under a known id beside it. One set of claims for the embedded store, for Couchbase (a bucket,
and a scope in a shared one) and, as far as columns can, for PostgreSQL.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import couching
import postgres
from couching import Couching
from handing import postgres_sink
from trackmate.embedded import store
from trackmate.embedded.database import Database
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Sink, Translated
from trackmate_consume.sinks.couchbase_store import CouchbaseStore
from trackmate_consume.translate import to_document
from trackmate_contract.names import conflict_key, document_key
from trackmate_contract.record import Record, Stamp

DELIVERED, DUPLICATE, CONFLICT = Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.CONFLICT
numbers = count()

Kept = Callable[[str, str], Awaitable[bytes | None]]
"""The document of an id; with a fingerprint, that of the conflict."""


class Opened(NamedTuple):
    sink: Sink
    kept: Kept


class Place(NamedTuple):
    """Where documents are, through restarts."""

    folder: Path
    couchbase: Any = None
    url: str = ""
    table: str = ""


@asynccontextmanager
async def embedded(place: Place) -> AsyncIterator[Opened]:
    database = Database(place.folder / "acme.db", store.SCHEMA)
    reader = database.reader()

    async def kept(event_id: str, conflict: str) -> bytes | None:
        row = reader.execute(
            "SELECT value FROM documents WHERE key = ?", (key_of(event_id, conflict),)
        ).fetchone()
        return row[0] if row else None

    with closing(reader):
        try:
            yield Opened(store.EmbeddedStore(database), kept)
        finally:
            await database.close()


@asynccontextmanager
async def in_couchbase(place: Place) -> AsyncIterator[Opened]:
    async with couching.connected(place.couchbase) as cluster:

        async def kept(event_id: str, conflict: str) -> bytes | None:
            return await couching.value(cluster, key_of(event_id, conflict))

        yield Opened(CouchbaseStore(cluster), kept)


@asynccontextmanager
async def in_postgres(place: Place) -> AsyncIterator[Opened]:
    """As text: jsonb keeps what a document means, and not its bytes."""
    sink = postgres_sink(place.url, place.table, form="text")

    async def kept(event_id: str, conflict: str) -> bytes | None:
        [connection] = [one._connection for one in sink._sessions][:1]  # noqa: SLF001 - the real one
        found = await connection.fetchval(
            f"SELECT document FROM {place.table} WHERE id = $1 AND conflict = $2",
            event_id,
            conflict[:32],
        )
        return found.encode() if found is not None else None

    yield Opened(sink, kept)


def key_of(event_id: str, conflict: str) -> str:
    if conflict:
        return conflict_key("events", event_id, conflict)
    return document_key("events", event_id)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Couching]:
    with couching.cluster() as found:
        yield found


@pytest.fixture(scope="module")
def bucket(cluster: Couching) -> str:
    return cluster.bucket()


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.started() as running:
        yield running


STORES: dict[str, Callable[[Place], AbstractAsyncContextManager[Opened]]] = {
    "embedded": embedded,
    "couchbase-bucket": in_couchbase,
    "couchbase-scope": in_couchbase,
    "postgres": in_postgres,
}
NEEDS = {"postgres": pytest.mark.needs("postgres")}


@pytest.fixture(params=[pytest.param(name, marks=NEEDS.get(name, ())) for name in STORES])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> "Run":
    """Run a story on a store; each time it is opened anew, and has what it had."""
    name = request.param
    place = Place(tmp_path)
    if name == "postgres":
        url = request.getfixturevalue("server").url
        place = Place(tmp_path, url=url, table=f"kept{next(numbers)}")
    if name.startswith("couchbase"):
        found, bucket = request.getfixturevalue("cluster"), request.getfixturevalue("bucket")
        scope = found.scope(bucket) if name.endswith("scope") else "_default"
        place = Place(tmp_path, found.settings(tmp_path, bucket, scope))

    def told(story: Callable[[Opened], Awaitable[None]]) -> None:
        async def main() -> None:
            async with STORES[name](place) as opened:
                await opened.sink.open()
                try:
                    await story(opened)
                finally:
                    await opened.sink.close()

        asyncio.run(main())

    return told


Run = Callable[[Callable[[Opened], Awaitable[None]]], None]


@pytest.fixture
def one() -> str:
    """An id that no other test has."""
    return f"e-{next(numbers)}"


def event(
    event_id: str, offset: int, value: bytes = b"{}", *, stamp: Stamp | None = None
) -> Translated:
    record = Record("events", 0, offset, event_id, None, value, stamp or Stamp(5, "web"))
    return Translated(record, (to_document(record),))


def digest(value: bytes) -> str:
    return sha256(value).hexdigest()


def bytes_of(document: bytes | None) -> bytes:
    assert document is not None
    return document.partition(b',"event":')[2][:-1]


async def write(opened: Opened, *batch: Translated) -> Sequence[Outcome]:
    return list(await opened.sink.write(batch))


def test_an_event_is_one_document_with_its_exact_bytes(run: Run, one: str) -> None:
    value = (
        b'{"n":  1.10, "n": 123456789012345678901234567890, "s": "\\ud800\\u00e9", "t":"\xc3\xa9"}'
    )

    async def story(opened: Opened) -> None:
        written = event(one, 0, value)
        assert await write(opened, written) == [DELIVERED]
        assert await opened.kept(one, "") == written.documents[0].value
        assert bytes_of(await opened.kept(one, "")) == value

    run(story)


def test_a_record_that_comes_again_is_what_it_was(run: Run, one: str) -> None:
    batch = [event(one, 0), event(one, 1), event(one, 2, b"[1]"), event(f"{one}-b", 3)]

    async def story(opened: Opened) -> None:
        before = await write(opened, *batch)
        assert before == [DELIVERED, DUPLICATE, CONFLICT, DELIVERED]
        assert await write(opened, *batch) == before
        assert [*await write(opened, batch[2])] == [CONFLICT]

    run(story)


def test_the_same_event_of_another_record_is_a_duplicate(run: Run, one: str) -> None:
    async def story(opened: Opened) -> None:
        assert await write(opened, event(one, 0)) == [DELIVERED]
        assert await write(opened, event(one, 7)) == [DUPLICATE]
        assert b'"offset":0,' in (await opened.kept(one, "") or b"")

    run(story)


def test_another_event_under_the_id_is_kept_beside(run: Run, one: str) -> None:
    async def story(opened: Opened) -> None:
        said = await write(opened, event(one, 0, b"1"), event(one, 1, b"2"), event(one, 2, b"3"))
        again = await write(opened, event(one, 3, b"2"), event(one, 4, b"1"))

        assert (said, again) == ([DELIVERED, CONFLICT, CONFLICT], [DUPLICATE, DUPLICATE])
        assert bytes_of(await opened.kept(one, "")) == b"1"
        assert bytes_of(await opened.kept(one, digest(b"2"))) == b"2"
        assert bytes_of(await opened.kept(one, digest(b"3"))) == b"3"

    run(story)


def test_a_restart_changes_nothing(run: Run, one: str) -> None:
    async def before(opened: Opened) -> None:
        assert await write(opened, event(one, 0, b"1"), event(one, 1, b"2")) == [
            DELIVERED,
            CONFLICT,
        ]

    async def after(opened: Opened) -> None:
        batch = [event(one, 0, b"1"), event(one, 1, b"2"), event(one, 2, b"2"), event(one, 3, b"4")]
        assert await write(opened, *batch) == [DELIVERED, CONFLICT, DUPLICATE, CONFLICT]

    run(before)
    run(after)


def test_a_retry_of_segments_browser_sdk_is_a_duplicate(run: Run, one: str) -> None:
    segment = Stamp(5, "web", type="track")
    first, second = b'{"a":1,"sentAt":"10:00"}', b'{"a":1,"sentAt":"10:01","_metadata":{}}'

    async def story(opened: Opened) -> None:
        said = await write(
            opened, event(one, 0, first, stamp=segment), event(one, 1, second, stamp=segment)
        )
        assert said == [DELIVERED, DUPLICATE]
        assert bytes_of(await opened.kept(one, "")) == first

    run(story)


def test_a_raw_body_is_kept_as_base64_and_known_again(run: Run, one: str) -> None:
    raw, other = bytes(range(256)), bytes(range(255))
    stamp = Stamp(5, "web", content_type="application/octet-stream")

    async def story(opened: Opened) -> None:
        batch = [event(one, n, value, stamp=stamp) for n, value in enumerate([raw, raw, other])]
        assert await write(opened, *batch) == [DELIVERED, DUPLICATE, CONFLICT]
        assert bytes_of(await opened.kept(one, "")) == b'"%b"' % b64encode(raw)

    run(story)


@pytest.mark.parametrize("strange", ["x" * 400, "é" * 75, digest(b""), "a::b", " ", '"', "a\n%"])
def test_an_id_may_be_any_text(run: Run, one: str, strange: str) -> None:
    event_id = strange + one

    async def story(opened: Opened) -> None:
        assert await write(opened, event(event_id, 0), event(event_id, 1)) == [DELIVERED, DUPLICATE]
        assert await opened.kept(event_id, "") is not None

    run(story)


def test_a_large_batch_is_answered_in_order(run: Run, one: str) -> None:
    batch = [event(f"{one}-{n % 300}", n) for n in range(400)]

    async def story(opened: Opened) -> None:
        assert await write(opened, *batch) == [DELIVERED] * 300 + [DUPLICATE] * 100

    run(story)


def test_two_writers_make_one_document(run: Run, one: str) -> None:
    """As two members of a group are for a moment, at a rebalance."""
    batch = [event(f"{one}-{n}", n) for n in range(50)]

    async def story(opened: Opened) -> None:
        said = await asyncio.gather(write(opened, *batch), write(opened, *batch))
        assert [*said] == [[DELIVERED] * 50] * 2

    run(story)
