"""
The source on a real Kafka: where it begins, what it commits and with which books, and what becomes
of what was handed out when partitions change hands or retention passes it.
"""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any

import pytest
import uvloop
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions

from kafka_broker import Cluster, kafka_brokers
from trackmate_consume import kafka_source
from trackmate_consume.kafka_positions import Position, from_metadata, to_metadata
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_source import KafkaSource
from trackmate_consume.ledger import Counts, Outcome, Settled
from trackmate_consume.source import Ended, Fetched
from trackmate_consume.waiting import Entry
from trackmate_contract.quantity import instant
from trackmate_contract.record import Record, Stamp, to_headers

pytestmark = pytest.mark.needs("kafka")

PARTITIONS = 2
numbers = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        yield cluster


@pytest.fixture
def affiliate(cluster: Cluster) -> str:
    """One of the test's own, with a stream `events` of two partitions."""
    name = f"acme-{next(numbers)}"
    cluster.create(f"{name}.events", partitions=PARTITIONS)
    return name


def produce(
    cluster: Cluster, affiliate: str, amount: int, *, partition: int = 0, at_ms: int = 0
) -> None:
    producer = Producer({**cluster.settings(), "linger.ms": 5})
    for number in range(amount):
        stamp = Stamp(1_780_000_000_000, "web", "track")
        producer.produce(
            f"{affiliate}.events",
            b'{"n": %d}' % number,
            f"p{partition}",
            partition,
            headers=[*to_headers(f"{partition}-{number}", stamp)],
            timestamp=at_ms,
        )
    assert producer.flush(20) == 0
    producer.close()


@asynccontextmanager
async def source(
    cluster: Cluster, affiliate: str, *, start: str | datetime = "earliest", **settings: Any
) -> AsyncIterator[KafkaSource]:
    reading = Reading(affiliate, "to-crm", ["events"], start)
    opened = KafkaSource(reading, {**cluster.settings(), **settings})
    try:
        yield opened
    finally:
        await opened.close()


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    return uvloop.run(within(scenario()))


async def within(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(60):
        return await work


async def take(reading: KafkaSource, amount: int) -> list[Record]:
    found: list[Record] = []
    while len(found) < amount:
        found += (await fetch(reading, amount - len(found))).records
    return found


async def fetch(reading: KafkaSource, most: int) -> Fetched:
    """The next that holds records."""
    while True:
        fetched = await reading.read(most=most, wait_s=0)
        assert fetched is not None, "only a replay ends"
        if fetched.records:
            return fetched


def settled(records: Sequence[Record], outcome: Outcome = Outcome.DELIVERED) -> Settled:
    entries = []
    for record in records:
        entry = Entry(record, None)
        entry.settle(outcome, documents=1, reason="" if outcome is Outcome.DELIVERED else "false")
        entries.append(entry)
    return Settled.of(entries, expired=0)


def committed(cluster: Cluster, affiliate: str) -> dict[int, Position]:
    consumer = Consumer({**cluster.settings(), "group.id": f"{affiliate}.to-crm"})
    asked = [TopicPartition(f"{affiliate}.events", number) for number in range(PARTITIONS)]
    found = consumer.committed(asked, timeout=10)
    consumer.close()
    return {
        one.partition: from_metadata(one.offset, one.metadata or "")
        for one in found
        if one.offset >= 0
    }


def test_records_come_with_their_bytes_in_the_order_of_each_partition(
    cluster: Cluster, affiliate: str
) -> None:
    for partition in range(PARTITIONS):
        produce(cluster, affiliate, 300, partition=partition)

    async def scenario() -> list[Record]:
        async with source(cluster, affiliate) as reading:
            return await take(reading, 600)

    records = run(scenario)

    for partition in range(PARTITIONS):
        mine = [record for record in records if record.partition == partition]
        assert [record.offset for record in mine] == list(range(300))
        assert [record.id for record in mine] == [f"{partition}-{n}" for n in range(300)]
        assert mine[7].value == b'{"n": 7}'
        assert mine[7].stamp == Stamp(1_780_000_000_000, "web", "track")
        assert {record.key for record in mine} == {f"p{partition}"}


def test_positions_and_books_are_one_write_and_go_on_after_a_restart(
    cluster: Cluster, affiliate: str
) -> None:
    produce(cluster, affiliate, 10)

    async def one(amount: int, outcome: Outcome) -> list[Record]:
        async with source(cluster, affiliate) as reading:
            records = await take(reading, amount)
            await reading.commit(settled(records, outcome))
            return records

    run(lambda: one(4, Outcome.DELIVERED))
    rest = run(lambda: one(6, Outcome.FILTERED))

    assert [record.offset for record in rest] == [4, 5, 6, 7, 8, 9]
    assert committed(cluster, affiliate)[0] == Position(
        10, 0, Counts(delivered=4, filtered=6, documents=10), {("filtered", "false"): 6}
    )


def test_what_was_not_committed_comes_again(cluster: Cluster, affiliate: str) -> None:
    produce(cluster, affiliate, 10)

    async def read_on(*, commit: int) -> list[int]:
        async with source(cluster, affiliate) as reading:
            records = await take(reading, 10)
            if commit:
                await reading.commit(settled(records[:commit]))
            return [record.offset for record in records]

    run(lambda: read_on(commit=0))
    assert run(lambda: read_on(commit=3)) == list(range(10))
    assert committed(cluster, affiliate)[0].next == 3


@pytest.mark.parametrize(
    ("start", "first"),
    [("earliest", 0), ("latest", 6), (instant("2026-11-01T00:00:00Z"), 4)],
)
def test_a_start_is_resolved_once_into_committed_offsets(
    cluster: Cluster, affiliate: str, start: str | datetime, first: int
) -> None:
    produce(cluster, affiliate, 4, at_ms=1_700_000_000_000)
    produce(cluster, affiliate, 2, at_ms=1_795_000_000_000)

    async def begin() -> None:
        async with source(cluster, affiliate, start=start) as reading:
            await reading.assigned()

    async def go_on() -> int:
        async with source(cluster, affiliate, start="latest") as reading:
            return (await take(reading, 1))[0].offset

    run(begin)
    produce(cluster, affiliate, 1)

    assert run(go_on) == first
    assert {n: p.first for n, p in committed(cluster, affiliate).items()} == {0: first, 1: 0}


@pytest.mark.parametrize(("start", "first"), [("latest", 4), (instant("2026-11-01T00:00:00Z"), 2)])
def test_a_start_holds_for_every_partition(
    cluster: Cluster, affiliate: str, start: str | datetime, first: int
) -> None:
    for partition in range(PARTITIONS):
        produce(cluster, affiliate, 2, partition=partition, at_ms=1_700_000_000_000)
        produce(cluster, affiliate, 2, partition=partition, at_ms=1_795_000_000_000)

    async def scenario() -> list[Record]:
        async with source(cluster, affiliate, start=start) as reading:
            await reading.assigned()
            for partition in range(PARTITIONS):
                await asyncio.to_thread(produce, cluster, affiliate, 1, partition=partition)
            return await take(reading, PARTITIONS * (5 - first))

    found = run(scenario)

    for partition in range(PARTITIONS):
        assert [one.offset for one in found if one.partition == partition] == [*range(first, 5)]
    assert [one.first for one in committed(cluster, affiliate).values()] == [first] * PARTITIONS


def test_no_fault_comes_between_the_starts_of_two_partitions(
    cluster: Cluster, affiliate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for partition in range(PARTITIONS):
        produce(cluster, affiliate, 3, partition=partition)
    resolve = KafkaSource._start  # noqa: SLF001 - what asks the broker
    resolved: list[TopicPartition] = []

    def once(reading: KafkaSource, one: TopicPartition) -> int:
        if resolved:
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        resolved.append(one)
        return resolve(reading, one)

    async def begin() -> None:
        async with source(cluster, affiliate, start="latest") as reading:
            await reading.assigned()

    with monkeypatch.context() as patched:
        patched.setattr(KafkaSource, "_start", once)
        with pytest.raises(Ended):
            run(begin)
    assert committed(cluster, affiliate) == {}
    run(begin)
    assert [one.first for one in committed(cluster, affiliate).values()] == [3] * PARTITIONS


def test_a_line_of_librdkafkas_log_ends_no_process_while_partitions_come(
    cluster: Cluster, affiliate: str
) -> None:
    """A process of its own: where it does, it aborts."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGING, cluster.bootstrap, affiliate],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "assigned\n"), done.stderr


LOGGING = """
import asyncio, sys
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_source import KafkaSource

async def main(bootstrap, affiliate):
    settings = {"bootstrap.servers": bootstrap, "debug": "cgrp"}
    reading = KafkaSource(Reading(affiliate, "to-crm", ["events"]), settings)
    await reading.assigned()
    print("assigned")
    await reading.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_what_is_asked_for_while_the_group_is_left_is_answered(
    cluster: Cluster, affiliate: str
) -> None:
    async def scenario() -> None:
        async with source(cluster, affiliate) as reading:
            await reading.assigned()
            leaving = Leaving(reading._consumer)  # noqa: SLF001 - a moment that lasts no time
            reading._consumer = leaving  # type: ignore[assignment]  # noqa: SLF001
            closing = asyncio.create_task(reading.close())
            await asyncio.to_thread(leaving.begun.wait)
            asked = asyncio.create_task(reading.keep_pause(None))
            await asyncio.sleep(0)
            leaving.may_end.set()
            with pytest.raises(Ended, match="has ended"):
                await asked
            await closing

    run(scenario)


class Leaving:
    """A consumer whose leaving of the group takes as long as is wanted."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def close(self) -> None:
        self.begun.set()
        self.may_end.wait()
        self._consumer.close()


def test_a_partition_that_appears_later_is_read_from_its_first_event(
    cluster: Cluster, affiliate: str
) -> None:
    async def begin() -> None:
        async with source(cluster, affiliate, start="latest") as reading:
            await reading.assigned()

    async def go_on() -> list[tuple[int, int]]:
        async with source(cluster, affiliate, start="latest") as reading:
            return [(one.partition, one.offset) for one in await take(reading, 3)]

    run(begin)
    admin = cluster.admin()
    name = f"{affiliate}.events"
    for grown in admin.create_partitions([NewPartitions(name, 3)]).values():
        grown.result(timeout=20)
    produce(cluster, affiliate, 3, partition=2)

    assert run(go_on) == [(2, 0), (2, 1), (2, 2)]


def test_what_retention_passed_is_said_and_counted(
    cluster: Cluster, affiliate: str, caplog: pytest.LogCaptureFixture
) -> None:
    produce(cluster, affiliate, 50)

    async def begin() -> None:
        async with source(cluster, affiliate) as reading:
            await reading.commit(settled(await take(reading, 10)))

    async def go_on() -> tuple[Record, int]:
        async with source(cluster, affiliate) as reading:
            fetched = await fetch(reading, 100)
            [first, *_] = fetched.records
            entry = Entry(first, None)
            entry.expired = fetched.expired[0]
            entry.settle(Outcome.DELIVERED, documents=1)
            await reading.commit(Settled.of([entry], expired=entry.expired))
            return first, fetched.expired[0]

    run(begin)
    admin = cluster.admin()
    for deleted in admin.delete_records([TopicPartition(f"{affiliate}.events", 0, 30)]).values():
        deleted.result(timeout=20)
    with caplog.at_level(logging.ERROR, "trackmate.consume"):
        first, expired = run(go_on)

    assert (first.offset, expired) == (30, 20)
    assert [entry.message for entry in caplog.records] == ["RetentionGap"]
    position = committed(cluster, affiliate)[0]
    assert position.counts == Counts(delivered=11, expired=20, documents=11)
    assert position.in_flight_before == 0


def test_partitions_change_hands_when_what_was_handed_out_is_settled(
    cluster: Cluster, affiliate: str
) -> None:
    for partition in range(PARTITIONS):
        produce(cluster, affiliate, 100, partition=partition)

    async def scenario() -> tuple[list[Record], list[Record]]:
        async with source(cluster, affiliate) as first:
            mine = await take(first, 200)
            async with source(cluster, affiliate) as second:
                joining = asyncio.create_task(second.assigned())
                while not first.leaving:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)
                assert not joining.done()
                await first.commit(settled(mine))
                await joining
                for partition in range(PARTITIONS):
                    await asyncio.to_thread(produce, cluster, affiliate, 10, partition=partition)
                ours, theirs = await asyncio.gather(take(first, 10), take(second, 10))
        return ours, theirs

    ours, theirs = run(scenario)

    assert {one.partition for one in ours} != {one.partition for one in theirs}
    assert [one.offset for one in ours] == [one.offset for one in theirs] == list(range(100, 110))


def test_what_does_not_settle_in_time_is_read_anew_by_whoever_has_it(
    cluster: Cluster, affiliate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_source, "_SETTLE_S", 0.2)
    for partition in range(PARTITIONS):
        produce(cluster, affiliate, 10, partition=partition)

    async def scenario() -> list[Record]:
        async with source(cluster, affiliate) as first:
            stale = await take(first, 20)
            async with source(cluster, affiliate) as second:
                theirs = await take(second, 10)
                with pytest.raises(kafka_source.Reassigned):
                    await first.over()
                with pytest.raises(kafka_source.Reassigned):
                    await first.read(most=1, wait_s=0)
                await first.commit(
                    settled([one for one in stale if one.partition == theirs[0].partition])
                )
            return theirs

    theirs = run(scenario)

    assert [one.offset for one in theirs] == list(range(10))
    [moved] = {one.partition for one in theirs}
    assert committed(cluster, affiliate)[moved].counts == Counts()


def test_a_slow_reader_holds_no_more_than_a_bound(
    cluster: Cluster, affiliate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_source, "_MOST", 50)
    monkeypatch.setattr(kafka_source, "_PATIENCE_S", 0.2)
    produce(cluster, affiliate, 2000)

    async def scenario() -> tuple[int, list[int]]:
        async with source(cluster, affiliate) as reading:
            while not reading.paused:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            held = reading.held
            return held, [one.offset for one in await take(reading, 2000)]

    held, offsets = run(scenario)

    assert held <= 100
    assert offsets == list(range(2000))


def test_what_was_fetched_ahead_is_kept_for_a_reader_that_goes_on_taking(
    cluster: Cluster, affiliate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pausing would throw it away: every event would be fetched many times."""
    pauses: list[object] = []

    class Pausing(Consumer):
        def pause(self, partitions: list[TopicPartition]) -> None:
            pauses.append(partitions)
            super().pause(partitions)

    monkeypatch.setattr(kafka_source, "_MOST", 50)
    monkeypatch.setattr(kafka_source, "Consumer", Pausing)
    produce(cluster, affiliate, 2000)

    async def scenario() -> list[int]:
        async with source(cluster, affiliate) as reading:
            return [one.offset for one in await take(reading, 2000)]

    assert run(scenario) == list(range(2000))
    assert not pauses


def test_books_that_somebody_else_wrote_are_refused(cluster: Cluster, affiliate: str) -> None:
    produce(cluster, affiliate, 1)
    consumer = Consumer({**cluster.settings(), "group.id": f"{affiliate}.to-crm"})
    consumer.commit(offsets=[TopicPartition(f"{affiliate}.events", 0, 1)], asynchronous=False)
    consumer.close()

    async def scenario() -> None:
        async with source(cluster, affiliate) as reading:
            await reading.read(most=1, wait_s=0)

    with pytest.raises(Ended, match="somebody else commits for this group"):
        run(scenario)


def test_a_log_that_ends_before_the_position_is_another_and_is_not_read(
    cluster: Cluster, affiliate: str
) -> None:
    """F31, and brokers restored from an older copy."""
    produce(cluster, affiliate, 5)
    other = Consumer({**cluster.settings(), "group.id": f"{affiliate}.to-crm"})
    books = to_metadata(Position(100, 0, Counts(delivered=100)))
    at = TopicPartition(f"{affiliate}.events", 0, 100, metadata=books)
    other.commit(offsets=[at], asynchronous=False)
    other.close()

    async def scenario() -> None:
        async with source(cluster, affiliate) as reading:
            await take(reading, 1)

    with pytest.raises(Ended, match="read up to 100, and it ends at 5: the topic was replaced"):
        run(scenario)
