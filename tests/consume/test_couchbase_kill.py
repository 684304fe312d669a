"""
kill -9 of a pipeline into Couchbase at any moment: the next process goes on from what was
committed; every event is there once, with all its documents, and once in the books.

`TRACKMATE_KILL_ROUNDS` says how often; `TRACKMATE_SEED` waits as long as an earlier run did.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random, randrange

import pytest

import couchbase_moving
from couchbase_moving import SCHEMA, STORE, TWICE
from couchbase_standin.standin import Op, Role, Standin, standing
from trackmate.embedded.database import Database
from trackmate.embedded.log import EmbeddedLog
from trackmate_consume.ledger import Counts, Line
from trackmate_contract.names import document_key, made_key
from trackmate_contract.record import Event, Stamp
from waiting_for import wait_until

ROUNDS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
A_ROUND = 400  # events


@pytest.fixture
def standin() -> Iterator[Standin]:
    with standing() as running:
        running.bucket("acme")
        running.user("app", "right", Role("data_reader", "acme"), Role("data_writer", "acme"))
        yield running


async def append(path: Path, first: int, last: int) -> None:
    database = Database(path, SCHEMA)
    sent = [Event(f"e-{n}", None, b'{"n":  %d}' % n) for n in range(first, last)]
    await EmbeddedLog(database).append("events", Stamp(5, "web"), sent)
    await database.close()


async def books(path: Path, pipeline: str) -> Line:
    database = Database(path, SCHEMA)
    try:
        return couchbase_moving.line(database, pipeline)
    finally:
        await database.close()


def more_than(standin: Standin, there: int) -> bool:
    return len(standin.documents("acme")) > there


@pytest.mark.timeout(60 + 20 * ROUNDS)
@pytest.mark.parametrize("pipeline", [STORE, TWICE])
def test_kill_9_of_a_pipeline_into_couchbase_loses_and_doubles_nothing(
    standin: Standin, tmp_path: Path, pipeline: str
) -> None:
    print(f"\nseed {SEED}")
    rng = Random(SEED)
    path, events = tmp_path / "acme.db", ROUNDS * A_ROUND
    (tmp_path / "password").write_text("right")
    slow = standin.faults.add("slow", Op.ADD, Op.SUBDOC_MUTATION, seconds=0.1)
    command = [sys.executable, couchbase_moving.__file__, str(path), standin.address]
    command += [str(tmp_path / "password"), pipeline]

    interrupted = 0
    for number in range(ROUNDS):
        asyncio.run(append(path, number * A_ROUND, (number + 1) * A_ROUND))
        process = subprocess.Popen(command)
        there = len(standin.documents("acme"))
        wait_until(partial(more_than, standin, there), "it moves on")
        time.sleep(rng.uniform(0, 0.1))  # the moment of the kill
        process.kill()
        process.wait()
        interrupted += asyncio.run(books(path, pipeline)).in_flight > 0
    subprocess.run(command, check=True, timeout=60 + 2 * ROUNDS)  # each leaves more than it takes

    assert interrupted
    assert slow.bit > events
    kept = {key: stored.value for key, stored in standin.documents("acme").items()}
    line = asyncio.run(books(path, pipeline))
    if pipeline == STORE:
        ends = {key: value.partition(b',"event":')[2][:-1] for key, value in kept.items()}
        assert ends == {document_key("events", f"e-{n}"): b'{"n":  %d}' % n for n in range(events)}
        assert line.counts == Counts(delivered=events, documents=events)
    else:
        made = {made_key(TWICE, f"e-{n}", 0): b'{"n":  %d}' % n for n in range(events)}
        made |= {made_key(TWICE, f"e-{n}", 1): b'[{"n":  %d}]' % n for n in range(events)}
        assert kept == made
        assert line.counts == Counts(delivered=events, documents=2 * events)
    assert line.in_flight == 0
