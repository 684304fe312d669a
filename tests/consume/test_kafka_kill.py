"""
kill -9 of a pipeline on Kafka at any moment: the next process goes on from the committed offsets,
each event is settled once in the books that travel with them, reaches the sink at least once, and
what is put aside is in the topic of dead letters with its bytes.

`TRACKMATE_KILL_ROUNDS` says how often; `TRACKMATE_SEED` waits as long as an earlier run did.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random, randrange
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

import kafka_moving
from kafka_broker import Cluster, kafka_brokers
from kafka_reading import whole_topic
from trackmate_consume.kafka_letters import from_dead
from trackmate_consume.kafka_positions import from_metadata
from trackmate_consume.ledger import Counts
from trackmate_consume.letters import DeadLetter
from trackmate_contract.record import Stamp, to_headers
from waiting_for import wait_until

ROUNDS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
EVENTS = 3000
PARTITIONS = 3
BYTES = {0: b'"dead"', 1: b'"no"'}

pytestmark = pytest.mark.needs("kafka")


def value(number: int) -> bytes:
    return BYTES.get(number % 40, b"%d" % number)


@pytest.mark.timeout(120 + 20 * ROUNDS)
def test_kill_9_of_a_pipeline_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    print(f"\nseed {SEED}")
    rng = Random(SEED)
    taken = tmp_path / "taken"
    with kafka_brokers() as cluster:
        cluster.create("acme.events", "acme.crm.dead", partitions=PARTITIONS)
        for number in range(ROUNDS):
            produce(cluster, number * EVENTS, (number + 1) * EVENTS)
            with moving(cluster, taken):
                before = settled(cluster)
                wait_until(partial(has_settled, cluster, before + 1), "it settles", seconds=40)
                time.sleep(rng.uniform(0, 0.3))  # the moment of the kill
        total = ROUNDS * EVENTS
        with moving(cluster, taken):
            rest_s = 60 + 2 * ROUNDS  # each round leaves more than it takes
            wait_until(partial(has_settled, cluster, total), "all is settled", seconds=rest_s)
        books = counts(cluster)
        letters = dead_letters(cluster)

    expected = Counter(value(number) for number in range(total))
    dead, filtered = expected[b'"dead"'], expected[b'"no"']
    assert (books.dead, books.filtered) == (dead, filtered)
    assert books.delivered == total - dead - filtered
    came = Counter(taken.read_text("utf-8").split())
    sent = {f"id-{n}" for n in range(total) if value(n) not in BYTES.values()}
    assert set(came) == sent
    assert sum(came.values()) > len(sent), "no kill hit between the sink and the commit"
    assert {one.record.id for one in letters} == {
        f"id-{n}" for n in range(total) if value(n) == b'"dead"'
    }
    assert {one.record.value for one in letters} == {b'"dead"'}


@contextmanager
def moving(cluster: Cluster, taken: Path) -> Iterator[None]:
    """A process that moves events while the block runs, and is killed with -9 at its end."""
    command = [sys.executable, kafka_moving.__file__, cluster.bootstrap, "acme", str(taken)]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def produce(cluster: Cluster, first: int, end: int) -> None:
    producer = Producer(cluster.settings())
    for number in range(first, end):
        headers: list[Any] = to_headers(f"id-{number}", Stamp(1000, "web"))
        key = f"user-{number % 11}"
        producer.produce("acme.events", value(number), key, headers=headers)
    assert producer.flush(30) == 0
    producer.close()


def positions(cluster: Cluster) -> list[TopicPartition]:
    consumer = Consumer({**cluster.settings(), "group.id": "acme.crm"})
    asked = [TopicPartition("acme.events", number) for number in range(PARTITIONS)]
    try:
        found = consumer.committed(asked, timeout=20)
    except KafkaException:  # the group's coordinator is not there yet
        found = []
    finally:
        consumer.close()
    return [one for one in found if one.offset >= 0]


def counts(cluster: Cluster) -> Counts:
    found = [from_metadata(one.offset, one.metadata or "") for one in positions(cluster)]
    assert [one.in_flight_before for one in found] == [0] * len(found)
    return sum((one.counts for one in found), Counts())


def settled(cluster: Cluster) -> int:
    return counts(cluster).settled


def has_settled(cluster: Cluster, events: int) -> bool:
    return settled(cluster) >= events


def dead_letters(cluster: Cluster) -> list[DeadLetter]:
    found = []
    for message in whole_topic(cluster.settings(), "acme.crm.dead", partitions=PARTITIONS):
        headers = cast("list[tuple[str, bytes]]", message.headers())
        found.append(from_dead(message.value() or b"", headers))
    return found
