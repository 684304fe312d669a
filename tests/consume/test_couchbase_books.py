"""
F23: a whole pipeline `store`, from a real log through the flow into Couchbase, in stormy weather.
In the end every event is one document, and the books balance to the event.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from couchbase_moving import SCHEMA, STORE, line, moved
from couchbase_standin.faults import Fault
from couchbase_standin.standin import Op, Role, Standin, Status, standing
from trackmate.embedded.database import Database
from trackmate.embedded.log import EmbeddedLog
from trackmate_consume.ledger import Counts, Line, balance
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.couchbase_store import CouchbaseStore
from trackmate_contract.couchbase import Couchbase
from trackmate_contract.names import conflict_key, document_key
from trackmate_contract.record import Event, Stamp
from waiting_for import wait_until

FRESH, REPEATED, CHANGED = 400, 60, 40
TIMEOUT_S = 60


@pytest.fixture
def standin() -> Iterator[Standin]:
    with standing() as running:
        running.bucket("acme")
        running.user("app", "right", Role("data_reader", "acme"), Role("data_writer", "acme"))
        yield running


def sent() -> list[Event]:
    """New events, some again, and some ids again with other bytes."""
    fresh = [Event(f"e-{n}", None, b'{"n":  %d}' % n) for n in range(FRESH)]
    changed = [Event(f"e-{n}", None, b'{"other":%d}' % n) for n in range(CHANGED)]
    return [*fresh, *fresh[:REPEATED], *changed]


def expected() -> dict[str, bytes]:
    found = {document_key("events", f"e-{n}"): b'{"n":  %d}' % n for n in range(FRESH)}
    for n in range(CHANGED):
        value = b'{"other":%d}' % n
        found[conflict_key("events", f"e-{n}", sha256(value).hexdigest())] = value
    return found


def kept(standin: Standin) -> dict[str, bytes]:
    return {
        key: stored.value.partition(b',"event":')[2][:-1]
        for key, stored in standin.documents("acme").items()
    }


Meanwhile = Callable[[Standin, CouchbaseCluster], Coroutine[Any, Any, None]]


async def calm(standin: Standin, cluster: CouchbaseCluster) -> None:
    """Nothing more happens."""


def flowed(standin: Standin, folder: Path, meanwhile: Meanwhile = calm) -> Line:
    """Run the pipeline until everything is settled; return its line of the books."""
    (folder / "password").write_text("right")
    settings = Couchbase.model_validate(
        {
            "connectionString": standin.address,
            "username": "app",
            "passwordFile": str(folder / "password"),
            "bucket": "acme",
        }
    )

    async def main() -> Line:
        database = Database(folder / "acme.db", SCHEMA)
        cluster = CouchbaseCluster(settings, connect_s=2, answer_s=2, look_s=0.1)
        try:
            await EmbeddedLog(database).append("events", Stamp(5, "web"), sent())
            await asyncio.wait_for(run_all(database, cluster), TIMEOUT_S)
            return line(database, STORE)
        finally:
            await cluster.close()
            await database.close()

    async def run_all(database: Database, cluster: CouchbaseCluster) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(moved(database, CouchbaseStore(cluster), STORE))
            both.create_task(meanwhile(standin, cluster))

    return asyncio.run(main())


def in_order(books: Line) -> bool:
    made = FRESH + CHANGED
    counts = Counts(FRESH, duplicates=REPEATED, conflicts=CHANGED, documents=made)
    return balance(len(sent()), [books]).balanced and books.counts == counts


STORMS: dict[str, Callable[[Standin], list[Fault]]] = {
    "temporary failures": lambda standin: [
        standin.faults.add("answer", Op.ADD, status=Status.TEMPORARY, chance=0.9, times=800)
    ],
    "sync writes in progress": lambda standin: [
        standin.faults.add(
            "answer", Op.ADD, status=Status.SYNC_WRITE_IN_PROGRESS, chance=0.6, times=600
        )
    ],
    "ambiguous on 30 %": lambda standin: [
        standin.faults.add("ambiguous", Op.ADD, applied=True, chance=0.15),
        standin.faults.add("ambiguous", Op.ADD, applied=False, chance=0.18),
    ],
    "dropped connections": lambda standin: [
        standin.faults.add("drop", Op.ADD, applied=True, chance=0.02),
        standin.faults.add("drop", Op.ADD, applied=False, chance=0.02),
    ],
    "all at once": lambda standin: [
        standin.faults.add("answer", Op.ADD, status=Status.TEMPORARY, chance=0.1),
        standin.faults.add("answer", Op.ADD, status=Status.SYNC_WRITE_IN_PROGRESS, chance=0.05),
        standin.faults.add("ambiguous", Op.ADD, applied=True, chance=0.05),
        standin.faults.add("drop", Op.ADD, applied=True, chance=0.01, times=10),
        standin.faults.add("answer", Op.GET, status=Status.TEMPORARY, chance=0.1),
        standin.faults.add("slow", Op.ADD, seconds=0.2, chance=0.05),
    ],
}


@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_loses_and_doubles_nothing_and_the_books_are_right(
    standin: Standin, tmp_path: Path, storm: str
) -> None:
    faults = STORMS[storm](standin)

    books = flowed(standin, tmp_path)

    assert all(fault.bit >= 5 for fault in faults), [fault.bit for fault in faults]
    assert kept(standin) == expected()
    assert in_order(books), books


def more_than(standin: Standin, there: int) -> bool:
    return len(standin.documents("acme")) > there


def test_a_cluster_that_is_killed_again_and_again(standin: Standin, tmp_path: Path) -> None:
    """What it had is on its disk; what it was asked is answered by nobody."""
    slow = standin.faults.add("slow", Op.ADD, seconds=0.02)

    async def meanwhile(standin: Standin, cluster: CouchbaseCluster) -> None:
        for _ in range(5):
            there = len(standin.documents("acme"))
            goes_on = partial(more_than, standin, there)
            await asyncio.to_thread(wait_until, goes_on, "it goes on")
            await asyncio.to_thread(standin.stop)
            await asyncio.to_thread(standin.start)

    books = flowed(standin, tmp_path, meanwhile)

    assert slow.bit >= FRESH
    assert standin.data.logins["app"] > 5
    assert kept(standin) == expected()
    assert in_order(books), books
