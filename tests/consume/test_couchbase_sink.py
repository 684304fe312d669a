"""
The sink `couchbase`: the documents of a transform, every event once, with nothing of ours in them.
Runs against the cluster that `make verify-couchbase` names, too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from couchbase.subdocument import get as xattr

import couching
from couching import Couching
from handing import fault, placed
from trackmate_consume.assembly import Surroundings, sink_of
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Refused, Sink, Unfit
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.couchbase_store import CouchbaseStore
from trackmate_consume.translate import to_document
from trackmate_contract.couchbase import Couchbase
from trackmate_contract.names import made_conflict_key, made_key
from trackmate_contract.pipeline import PipelineSpec

DELIVERED, DUPLICATE, CONFLICT = Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.CONFLICT
numbers = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Couching]:
    with couching.cluster() as found:
        yield found


@pytest.fixture(scope="module")
def bucket(cluster: Couching) -> str:
    return cluster.bucket()


@pytest.fixture
def one() -> str:
    """An id that no other test has."""
    return f"e-{next(numbers)}"


@pytest.fixture
def settings(cluster: Couching, bucket: str, tmp_path: Path) -> Couchbase:
    return cluster.settings(tmp_path, bucket)


def sink(
    connection: CouchbaseCluster, pipeline: str = "to-orders", form: str = "json", **spec: Any
) -> Sink:
    declared = PipelineSpec.model_validate(
        {"stream": "events", "format": form, "sink": {"couchbase": spec}}
    )
    around = Surroundings(lambda _: None, (), "acme", pipeline, "log", connection)
    return sink_of(declared, around)


def told(
    settings: Couchbase, story: Callable[[CouchbaseCluster], Awaitable[None]], **more: Any
) -> None:
    async def main() -> None:
        async with couching.connected(settings, **more) as connection:
            await story(connection)

    asyncio.run(main())


def test_a_document_is_kept_as_the_transform_made_it(settings: Couchbase, one: str) -> None:
    made = b'{"total":  10.50,"n":12345678901234567890}'

    async def story(connection: CouchbaseCluster) -> None:
        orders = sink(connection)
        await orders.open()
        assert [*await orders.write([placed(0, one, made)])] == [DELIVERED]
        assert await couching.value(connection, made_key("to-orders", one, 0)) == made

    told(settings, story)


def test_several_documents_of_an_event_have_a_key_each(settings: Couchbase, one: str) -> None:
    async def story(connection: CouchbaseCluster) -> None:
        await sink(connection).write([placed(0, one, b"1", b"2", b"3")])
        there = [
            await couching.value(connection, made_key("to-orders", one, part)) for part in range(4)
        ]
        assert there == [b"1", b"2", b"3", None]

    told(settings, story)


@pytest.mark.parametrize(("before", "after"), [(("1", "2", "3"), ("4",)), (("1",), ("4", "5"))])
def test_a_record_that_comes_again_has_the_documents_of_the_transform_of_now(
    settings: Couchbase, one: str, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """As in a replay, after a transform was mended."""

    async def story(connection: CouchbaseCluster) -> None:
        orders = sink(connection)
        for documents in (before, after):
            event = placed(0, one, *[text.encode() for text in documents])
            assert [*await orders.write([event])] == [DELIVERED]
        there = [
            await couching.value(connection, made_key("to-orders", one, part)) for part in range(4)
        ]
        assert [text.decode() for text in there if text] == [*after]

    told(settings, story)


def test_events_under_one_id_are_duplicates_or_conflicts(settings: Couchbase, one: str) -> None:
    events = [
        placed(0, one, b"1", value=b"a"),
        placed(1, one, b"1", value=b"a"),
        placed(2, one, b"2", b"3", value=b"b"),
    ]

    async def story(connection: CouchbaseCluster) -> None:
        orders = sink(connection)
        for _ in range(2):
            assert [*await orders.write(events)] == [DELIVERED, DUPLICATE, CONFLICT]
        digest = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"  # of b"b"
        kept = [made_conflict_key("to-orders", one, part, digest) for part in (0, 1)]
        assert [await couching.value(connection, key) for key in kept] == [b"2", b"3"]
        assert await couching.value(connection, made_key("to-orders", one, 0)) == b"1"

    told(settings, story)


@pytest.mark.parametrize("store", [True, False])
def test_a_place_alone_does_not_make_two_records_one(
    settings: Couchbase, one: str, *, store: bool
) -> None:
    """A topic that was made anew begins at offset 0 again; the bucket is kept."""

    async def story(connection: CouchbaseCluster) -> None:
        to = CouchbaseStore(connection) if store else sink(connection)
        for value, outcome in ((b"1", DELIVERED), (b"2", CONFLICT)):
            event = placed(0, one, value=value)
            event = event._replace(documents=(to_document(event.record),))
            assert [*await to.write([event])] == [outcome]

    told(settings, story)


def test_two_pipelines_and_the_store_share_a_collection(settings: Couchbase, one: str) -> None:
    event = placed(0, one, b'{"a":1}')

    async def story(connection: CouchbaseCluster) -> None:
        store = CouchbaseStore(connection)
        assert [*await store.write([event._replace(documents=(to_document(event.record),))])] == [
            DELIVERED
        ]
        for pipeline in ("to-orders", "to-carts"):
            assert [*await sink(connection, pipeline).write([event])] == [DELIVERED]
            assert await couching.value(connection, made_key(pipeline, one, 0)) == b'{"a":1}'

    told(settings, story)


def test_a_collection_of_its_own(
    cluster: Couching, bucket: str, settings: Couchbase, one: str
) -> None:
    cluster.collection(bucket, "_default", "orders")

    async def story(connection: CouchbaseCluster) -> None:
        orders = sink(connection, collection="orders")
        await orders.open()
        await orders.write([placed(0, one, b"1")])
        key = made_key("to-orders", one, 0)
        assert await couching.value(connection, key, "orders") == b"1"
        assert await couching.value(connection, key) is None

    told(settings, story)


def test_documents_expire_when_declared(
    cluster: Couching, bucket: str, tmp_path: Path, one: str
) -> None:
    """Long ones too, which the protocol writes as a time and not as a number of seconds."""
    settings = cluster.settings(tmp_path, bucket, expiry="400d")

    async def story(connection: CouchbaseCluster) -> None:
        event = placed(0, one, b"1", b"2")
        await sink(connection).write([event])
        await CouchbaseStore(connection).write([event])
        keys = [f"e::events::{one}", *[made_key("to-orders", one, part) for part in (0, 1)]]
        for key in keys:
            assert 399 < await days_left(connection, key) < 401

    told(settings, story)


async def days_left(connection: CouchbaseCluster, key: str) -> float:
    async def ask(collection: Any) -> int:
        found = await collection.lookup_in(key, [xattr("$document.exptime", xattr=True)])
        return int(found.content_as[int](0))

    return (await connection.call(connection.events, ask) - time.time()) / 86_400


# what is not taken


def test_what_is_too_large_is_refused_before_it_is_sent(settings: Couchbase, one: str) -> None:
    large = b'"%b"' % (b"x" * (20 << 20))

    async def story(connection: CouchbaseCluster) -> None:
        event = placed(0, one, large)
        for tried in (sink(connection), CouchbaseStore(connection)):
            refused = await fault(tried.write([placed(1, f"{one}-b", b"1"), event]))
            assert isinstance(refused, Refused)
            assert str(refused).startswith("a document has 2097")
            assert str(refused).endswith("Couchbase keeps 20971520 at most")
        assert await couching.value(connection, f"e::events::{one}-b") is None

    told(settings, story)


def test_a_document_of_somebody_elses_under_a_key_is_left_alone(
    settings: Couchbase, one: str
) -> None:
    key = f"e::events::{one}"

    async def story(connection: CouchbaseCluster) -> None:
        async def put(collection: Any) -> None:
            await collection.upsert(key, {"somebody": "else"})

        await connection.call(connection.events, put)
        event = placed(0, one, value=b"{}")
        event = event._replace(documents=(to_document(event.record),))
        assert [*await CouchbaseStore(connection).write([event])] == [CONFLICT]
        assert b"somebody" in (await couching.value(connection, key) or b"")

    told(settings, story)


def test_a_document_that_a_query_wrote_anew_is_still_known(settings: Couchbase, one: str) -> None:
    key = f"e::events::{one}"

    async def story(connection: CouchbaseCluster) -> None:
        event = placed(0, one, value=b'{"a":  1}')
        event = event._replace(documents=(to_document(event.record),))
        store = CouchbaseStore(connection)
        await store.write([event])

        async def rewrite(collection: Any) -> None:
            got = (await collection.get(key)).content_as[dict]
            await collection.upsert(key, {"event": got["event"], "more": 1, "tm": got["tm"]})

        await connection.call(connection.events, rewrite)
        assert [*await store.write([event])] == [DELIVERED]

    told(settings, story)


# what is declared


def opening(settings: Couchbase, **spec: Any) -> Exception:
    async def main() -> Exception:
        connection = CouchbaseCluster(settings, connect_s=2, answer_s=2)
        try:
            return await fault(sink(connection, **spec).open())
        finally:
            await connection.close()

    return asyncio.run(main())


def test_a_collection_that_is_missing_is_said_at_its_field(
    settings: Couchbase, bucket: str
) -> None:
    refused = opening(settings, collection="nowhere")

    assert isinstance(refused, Unfit)
    assert refused.path == "spec.sink.couchbase.collection"
    assert str(refused) == (
        f"there is no collection 'nowhere' of scope '_default' in bucket '{bucket}', or the user "
        f"'{settings.username}' may do nothing there; make it, or give the user data_reader and "
        "data_writer there"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scope": "nowhere"}, "there is no collection 'events' of scope 'nowhere' in bucket"),
        ({"bucket": "nowhere"}, "there is no bucket 'nowhere', or the user '{0}' may do nothing"),
        ({"username": "nobody"}, "the server does not let the user 'nobody' in with the password"),
        ({"password_file": "/nowhere"}, "the password in '/nowhere' cannot be read: No such file"),
    ],
)
def test_what_is_declared_wrong_is_said_with_its_cure(
    settings: Couchbase, change: dict[str, str], said: str
) -> None:
    refused = opening(settings.model_copy(update=change))

    assert str(refused).startswith(said.format(settings.username))
    password = Path(settings.password_file).read_text().strip()
    assert password not in repr(refused)


@pytest.mark.parametrize("form", ["csv", "text", "ndjson"])
def test_formats_that_make_no_json_document_are_not_for_couchbase(form: str) -> None:
    connection = CouchbaseCluster(Couchbase.model_construct(scope="_default"))

    with pytest.raises(Unfit) as refused:
        sink(connection, form=form)

    assert refused.value.path == "spec.format"
    assert str(refused.value) == (
        f"'{form}' makes no JSON documents, and couchbase keeps such alone; write json or "
        "cloudevents"
    )


def test_there_is_no_couchbase_in_embedded_mode() -> None:
    declared = PipelineSpec.model_validate({"stream": "events", "sink": {"couchbase": {}}})

    with pytest.raises(Unfit) as refused:
        sink_of(declared, Surroundings(lambda _: None))

    assert refused.value.path == "spec.sink.couchbase"
    assert str(refused.value).startswith("there is no Couchbase here")
