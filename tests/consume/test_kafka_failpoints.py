"""
A pipeline on Kafka that dies at any step of its loop, before or after it: the next process goes on,
every event is settled once in the books, written at least once, and one letter waits for each that
is dead.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

import kafka_moving
from kafka_books import KafkaBooks
from kafka_broker import Cluster, kafka_brokers
from trackmate_contract.record import Stamp, to_headers
from waiting_for import wait_until

EVENTS = 1200
PARTITIONS = 2
BYTES = {0: b'"dead"', 1: b'"no"'}
NUMBERS = (1, 2, 3) if "TRACKMATE_KILL_ROUNDS" in os.environ else (2,)

pytestmark = pytest.mark.needs("kafka")
names = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        yield cluster


def value(number: int) -> bytes:
    if number == 100:
        return b'"refused"'
    return BYTES.get(number % 40, b"%d" % number)


def filled(cluster: Cluster) -> str:
    """An affiliate of the test's own, with the events in its stream."""
    affiliate = f"acme-{next(names)}"
    cluster.create(f"{affiliate}.events", partitions=PARTITIONS)
    cluster.create(f"{affiliate}.crm.dead", partitions=1)
    producer = Producer(cluster.settings())
    for number in range(EVENTS):
        headers: list[Any] = to_headers(f"id-{number}", Stamp(1_795_000_000_000, "web"))
        key = f"user-{number % 11}"
        producer.produce(f"{affiliate}.events", value(number), key, headers=headers)
    assert producer.flush(30) == 0
    producer.close()
    return affiliate


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", kafka_moving.STEPS)
def test_dying_at_a_step_loses_nothing_and_counts_nothing_twice(
    cluster: Cluster, tmp_path: Path, *, step: str, when: str, number: int
) -> None:
    affiliate, taken = filled(cluster), tmp_path / "taken"
    command = [sys.executable, kafka_moving.__file__, cluster.bootstrap, affiliate, str(taken)]

    died = subprocess.run([*command, step, when, str(number)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL, "the fault did not bite"
    books = KafkaBooks(cluster.settings(), affiliate, "crm")

    def settled() -> bool:
        return books.look()[0].counts.settled == EVENTS

    with subprocess.Popen(command) as process:
        try:
            wait_until(settled, "all is settled", seconds=60)
        finally:
            process.kill()

    expected = Counter(value(n) for n in range(EVENTS))
    dead, filtered = expected[b'"dead"'], expected[b'"no"']
    line, faults = books.look()
    assert faults == []
    assert (line.counts.dead, line.counts.filtered) == (dead + 1, filtered)
    assert line.counts.delivered == EVENTS - dead - filtered - 1
    letters = [kept.letter.record for kept in books.box.letters(most=EVENTS)]
    books.close()
    ids = {f"id-{n}": value(n) for n in range(EVENTS)}
    assert {one.id: one.value for one in letters} == {
        event_id: told for event_id, told in ids.items() if told in {b'"dead"', b'"refused"'}
    }
    assert len(letters) == dead + 1
    told = {event_id for event_id, told in ids.items() if told == b'"no"'}
    assert set(taken.read_text().split()) == set(ids) - told - {one.id for one in letters}
