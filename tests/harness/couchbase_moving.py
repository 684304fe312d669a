"""
A pipeline from an embedded log into Couchbase, in a process that may be killed: the built-in one,
or one whose every event makes two documents. Ends once nothing is in flight.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from trackmate.backbone import Reads
from trackmate.embedded import books as accounts
from trackmate.embedded import letters, log, store
from trackmate.embedded.database import Database
from trackmate.embedded.letters import EmbeddedLetters
from trackmate.embedded.source import EmbeddedSource
from trackmate_consume.flow import Ends, Flow, Pace
from trackmate_consume.ledger import Line
from trackmate_consume.sink import Document, Down, Sink
from trackmate_consume.sinks.couchbase import CouchbaseSink
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.couchbase_store import CouchbaseStore
from trackmate_consume.translate import StoreProgram
from trackmate_contract.couchbase import Couchbase
from trackmate_contract.pipeline import Couchbase as Spec
from trackmate_contract.record import Record

SCHEMA = log.SCHEMA + store.SCHEMA + accounts.SCHEMA + letters.SCHEMA
STORE, TWICE = "store", "twice"


class Twice:
    """Two documents of every event: itself, and itself in an array."""

    async def translate(self, records: Sequence[Record]) -> list[tuple[Document, ...]]:
        return [(Document(one.value), Document(b"[%b]" % one.value)) for one in records]


async def opened(sink: Sink) -> None:
    """As a pipeline does: again, until it is."""
    for _ in range(100):
        with contextlib.suppress(Down):
            return await sink.open()
        await asyncio.sleep(0.05)
    raise AssertionError("the sink was not opened")


async def moved(database: Database, sink: Sink, pipeline: str) -> None:
    """Run until everything is settled and committed."""
    await opened(sink)
    source = EmbeddedSource(database, Reads(pipeline))
    program = StoreProgram() if pipeline == STORE else Twice()
    flow = Flow(
        pipeline,
        Ends(source, program, sink, EmbeddedLetters(database, pipeline)),
        Pace(events=50),
        _no_pause,
    )
    flow.going.set()
    running = asyncio.create_task(flow.run())
    while line(database, pipeline).in_flight:  # noqa: ASYNC110 - the books have no event
        await asyncio.sleep(0.02)
    await flow.drain(at_most_s=5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await source.close()


def line(database: Database, pipeline: str) -> Line:
    with contextlib.closing(database.reader()) as reader:
        [found] = accounts.ledger(reader, [Reads(pipeline)]).lines
        return found


async def _no_pause(reason: str) -> None:
    raise AssertionError(reason)


def sink_of(cluster: CouchbaseCluster, pipeline: str) -> Sink:
    if pipeline == STORE:
        return CouchbaseStore(cluster)
    return CouchbaseSink(Spec(), cluster, pipeline=pipeline)


async def main(path: Path, settings: Couchbase, pipeline: str) -> None:
    database = Database(path, SCHEMA)
    cluster = CouchbaseCluster(settings)
    await moved(database, sink_of(cluster, pipeline), pipeline)
    await cluster.close()
    await database.close()


if __name__ == "__main__":
    _, database, address, password, name = sys.argv
    declared = {
        "connectionString": address,
        "username": "app",
        "passwordFile": password,
        "bucket": "acme",
    }
    asyncio.run(main(Path(database), Couchbase.model_validate(declared), name))
