"""
What every sink keeps of the contract in `sink.py`. The sink in `docs/writing-a-sink.md`, which says
how to write the next, is one of them.
"""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import IO, Any

import pytest

import postgres
from couchbase_standin.standin import ADMIN, standing
from filing import event, files_sink, lines
from handing import http_sink, kafka_sink, postgres_sink
from kafka_broker import kafka_brokers
from kafka_reading import whole_topic
from receiver import receiving, taken
from trackmate_consume.formats import FORMATS, Format
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Sink, Translated
from trackmate_consume.sinks.couchbase import CouchbaseSink
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.stdout import StdoutSink
from trackmate_contract.couchbase import Couchbase as Settings
from trackmate_contract.pipeline import Couchbase

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "writing-a-sink.md").read_text("utf-8")

Documents = Callable[[], Sequence[bytes]]
"""What is there, in the order of coming."""
Given = tuple[Sink, Documents]


@asynccontextmanager
async def to_files(folder: Path) -> AsyncIterator[Given]:
    yield files_sink(folder / "out"), lambda: lines(folder / "out")


@asynccontextmanager
async def to_http(folder: Path) -> AsyncIterator[Given]:
    with receiving(taken) as backend:
        sink = http_sink({"url": f"{backend.url}/hook"})
        yield sink, lambda: [request.body for request in backend.requests]


@asynccontextmanager
async def to_kafka(folder: Path) -> AsyncIterator[Given]:
    with kafka_brokers() as cluster:
        cluster.create("bookings", partitions=1)

        def documents() -> Sequence[bytes]:
            there = whole_topic(cluster.settings(), "bookings", partitions=1)
            return [message.value() or b"" for message in there]

        yield kafka_sink(cluster.bootstrap), documents


@asynccontextmanager
async def to_postgres(folder: Path) -> AsyncIterator[Given]:
    with postgres.started() as server:
        rows = 'SELECT document FROM events ORDER BY "offset", part'
        asked = "SELECT to_regclass('events')"
        yield (
            postgres_sink(server.url),
            lambda: [row[0].encode() for row in server.sql(rows)] if server.value(asked) else [],
        )


@asynccontextmanager
async def to_couchbase(folder: Path) -> AsyncIterator[Given]:
    with standing() as standin:
        standin.bucket("acme")
        (folder / "password").write_text(ADMIN.password)
        connection = CouchbaseCluster(
            Settings.model_validate(
                {
                    "connectionString": standin.address,
                    "username": ADMIN.id,
                    "passwordFile": str(folder / "password"),
                    "bucket": "acme",
                }
            )
        )

        def documents() -> list[bytes]:
            kept = standin.documents("acme")
            in_order = sorted(kept, key=lambda key: (key.split("::")[3], key.split("::")[2]))
            return [kept[key].value for key in in_order]

        try:
            yield CouchbaseSink(Couchbase(), connection, pipeline="to-orders"), documents
        finally:
            await connection.close()


@asynccontextmanager
async def to_stdout(folder: Path) -> AsyncIterator[Given]:
    stream = io.BytesIO()
    yield StdoutSink(FORMATS["json"], stream), lambda: stream.getvalue().splitlines()


@asynccontextmanager
async def of_the_page(folder: Path) -> AsyncIterator[Given]:
    [source] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {
        "IO": IO,
        "Down": Down,
        "Format": Format,
        "Outcome": Outcome,
        "Sequence": Sequence,
        "Translated": Translated,
    }
    exec(source, names)
    stream = io.BytesIO()
    sink: Sink = names["LinesSink"](FORMATS["json"], stream)
    yield sink, lambda: stream.getvalue().splitlines()


SINKS: dict[str, Callable[[Path], AbstractAsyncContextManager[Given]]] = {
    "couchbase": to_couchbase,
    "files": to_files,
    "http": to_http,
    "kafka": to_kafka,
    "postgres": to_postgres,
    "stdout": to_stdout,
    "the page's": of_the_page,
}


NEEDS = {name: pytest.mark.needs(name) for name in ("kafka", "postgres")}


@pytest.fixture(params=[pytest.param(name, marks=NEEDS.get(name, ())) for name in sorted(SINKS)])
def handed(request: pytest.FixtureRequest, tmp_path: Path) -> "Handed":
    """Hand batches to a sink; return what it said of each and what is there after."""

    async def hand(*batches: Sequence[Translated]) -> tuple[list[list[Outcome]], list[bytes]]:
        async with SINKS[request.param](tmp_path) as (sink, documents):
            assert sink.lanes >= 1
            try:
                await sink.open()
                said = [[*await sink.write(batch)] for batch in batches]
            finally:
                await sink.close()
            return said, [*documents()]

    return lambda *batches: asyncio.run(hand(*batches))


Handed = Callable[..., tuple[list[list[Outcome]], list[bytes]]]


def test_every_document_of_every_event_arrives_in_order(handed: Handed) -> None:
    said, there = handed([event(0, b"1", b"2"), event(1, b"3")], [event(2, b"4")])

    assert said == [[Outcome.DELIVERED] * 2, [Outcome.DELIVERED]]
    assert there == [b"1", b"2", b"3", b"4"]


def test_an_event_that_comes_again_is_delivered_and_no_duplicate(handed: Handed) -> None:
    said, there = handed([event(0), event(1)], [event(1), event(2)])

    assert said == [[Outcome.DELIVERED] * 2] * 2
    assert sorted({*there}) == [b"0", b"1", b"2"]


def test_a_sink_that_was_never_written_to_closes(handed: Handed) -> None:
    assert handed() == ([], [])


def test_the_page_names_files_that_are_there() -> None:
    named = re.findall(r"`((?:tests|cli|contract|crds|services|docs)/[\w./-]+)`", PAGE)
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_sink_of_the_page_is_the_one_that_runs() -> None:
    """But for its name and what `stdout` does for terminals."""
    source = (ROOT / "services/consume/src/trackmate_consume/sinks/stdout.py").read_text("utf-8")
    [shown] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    ours = {"class LinesSink:", '"""Writes to one stream of bytes."""'}
    ours |= {
        "def __init__(self, form: Format, stream: IO[bytes]) -> None:",
        "self._stream = stream",
    }
    missing = {line.strip() for line in shown.splitlines()} - ours
    assert {line for line in missing if line not in source} == set()
