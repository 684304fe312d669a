"""
kill -9 at any moment while pipelines write into a real PostgreSQL, and of the database too: every
event of the stream is in the table once, as it was sent, and the books balance.

`TRACKMATE_KILL_ROUNDS` says how often; `TRACKMATE_SEED` sends the load of an earlier run again.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random, randrange
from typing import Any

import pytest

import oracle
from mix import mix
from postgres import Server, holding, started
from running import Dev
from traffic import Ledger, Load, Outcome
from waiting_for import wait_until

StartDev = Callable[..., Dev]

ROUNDS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
CONNECTIONS = 8

PIPELINES = """\
apiVersion: v1
kind: Secret
metadata: {{name: warehouse, namespace: trackmate-acme}}
stringData: {{url: "{url}"}}
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: to-table, namespace: trackmate-acme}}
spec:
  stream: events
  sink: {{postgres: {{connectionSecretRef: {{name: warehouse, key: url}}, table: events}}}}
  delivery: {{batch: {{events: 50, wait: 1s}}}}
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: to-parts, namespace: trackmate-acme}}
spec:
  stream: events
  transform: {{jq: '{{id: .messageId, n: .n}}, .again'}}
  sink: {{postgres: {{connectionSecretRef: {{name: warehouse, key: url}}, table: parts}}}}
"""

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def database() -> Iterator[Server]:
    with started(durable=True) as server:
        yield server


@pytest.mark.timeout(180 + 20 * ROUNDS)
def test_kill_9_leaves_every_event_in_the_table_once(
    start_dev: StartDev, database: Server, tmp_path: Path
) -> None:
    print(f"\nseed {SEED}")
    dev = start_dev()
    (dev.manifests / "pipelines.yaml").write_text(PIPELINES.format(url=database.url))
    wait_until(lambda: len(_tables(database)) == 2, "the pipelines run")
    ledger = Ledger()
    repeated = anew = 0
    for number in range(ROUNDS):
        cut = Ledger()
        asyncio.run(_load_and_kill(dev, database, cut, seed=SEED + number))
        if number % 4 == 1:
            anew += _written_anew(database)
            database.stop(9)
        dev = start_dev()
        repeated += len(cut.unknown())
        asyncio.run(_repeat(dev, cut))
        if number % 4 == 1:
            _until_missed(dev)
            database.start()
        ledger.attempts += cut.attempts
    wait_until(lambda: _in_flight(dev) == 0, "all is settled", seconds=60)
    found = oracle.check(dev, ledger)

    assert found.books["balanced"], found.books["faults"]
    _check_table(database, found)
    _check_parts(database, found)
    assert repeated > 0, "no kill hit a request in flight"
    assert anew + _written_anew(database) > 0, "no kill hit a pipeline at work"


async def _load_and_kill(dev: Dev, database: Server, ledger: Ledger, *, seed: int) -> None:
    """
    Kill when something is in the table whose position is not committed: somebody else holds the
    row of an early event, and the batches behind it are written by other connections.
    """
    rng = Random(seed)
    load = Load(dev.url, dev.key("server"), ledger)
    before = _count(database)
    held = next(e.id for r in mix(seed) if r.valid for e in r.events if e.stream == "events")
    row = f"INSERT INTO events VALUES ('{held}', 0, 'events', '', 0, -1, now(), '', '{{}}')"
    async with holding(database, row):
        load.begin(mix(seed), connections=CONNECTIONS)
        enough = rng.randint(100, 400)
        await load.until(lambda it: it.count(Outcome.OK) >= enough, what=f"{enough} answers")
        await asyncio.to_thread(
            wait_until, lambda: _count(database) > before, "other batches are written"
        )
        await asyncio.sleep(rng.uniform(0, 0.05))
        dev.process.kill()
        load.stop()
        await load.ended()
        dev.process.wait()


async def _repeat(dev: Dev, ledger: Ledger) -> None:
    """As clients do that were not answered: some of it was stored, and is in the log again."""
    load = Load(dev.url, dev.key("server"), ledger)
    load.begin(ledger.unknown(), connections=CONNECTIONS)
    await load.ended()


def _until_missed(dev: Dev) -> None:
    def missed() -> bool:
        lines = dev.read("status")["affiliates"][0]["ledger"]["pipelines"]
        return "SinkDown" in {line["reason"] for line in lines}

    wait_until(missed, "the pipelines miss the database")


def _in_flight(dev: Dev) -> int:
    return sum(line["in_flight"] for line in dev.audit()["pipelines"])


def _tables(database: Server) -> list[list[str]]:
    return database.sql("SELECT relname FROM pg_stat_user_tables")


def _count(database: Server) -> int:
    return int(database.value("SELECT count(*) FROM events"))


def _check_table(database: Server, found: oracle.Found) -> None:
    """Each event of the stream, under its id, with all its digits, and no other row."""
    log = {event.id: event.value for event in found.log if event.stream == "events"}
    rows = _rows(database, "SELECT id, conflict, document FROM events")
    assert Counter(row["id"] for row in rows) == Counter(log.keys())
    assert {row["conflict"] for row in rows} == {""}
    assert {row["id"] for row in rows if row["document"] != json.loads(log[row["id"]])} == set()
    _check_line(found, "to-table", documents=len(rows))


def _check_parts(database: Server, found: oracle.Found) -> None:
    """Two documents of each."""
    log = {event.id: json.loads(event.value) for event in found.log if event.stream == "events"}
    rows = _rows(database, "SELECT id, part, document FROM parts")
    made = {(event_id, 0): {"id": event_id, "n": event["n"]} for event_id, event in log.items()}
    made |= {(event_id, 1): event["again"] for event_id, event in log.items()}
    assert len(rows) == len(made)
    assert {(row["id"], row["part"]): row["document"] for row in rows} == made
    _check_line(found, "to-parts", documents=len(rows))


def _check_line(found: oracle.Found, name: str, *, documents: int) -> None:
    [line] = [line for line in found.books["pipelines"] if line["name"] == name]
    times = Counter(event.id for event in found.log if event.stream == "events")
    assert line["delivered"] == len(times)
    assert line["duplicates"] == times.total() - len(times)
    assert line["documents"] == documents
    assert line["conflicts"] == line["dead"] == 0


def _rows(database: Server, query: str) -> list[dict[str, Any]]:
    rows = database.sql(f"SELECT row_to_json(found) FROM ({query}) AS found")
    return [json.loads(row) for (row,) in rows]


def _written_anew(database: Server) -> int:
    """Rows that a pipeline wrote again, as it came from a crash before its commit."""
    return int(database.value("SELECT sum(n_tup_upd) FROM pg_stat_user_tables"))
