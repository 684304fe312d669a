"""
F29: a coordinator that moves, forgets the member or is busy. What was settled is committed in the
end, and nobody reads it again.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from confluent_kafka import Producer

from mock_kafka import LIST_OFFSETS, OFFSET_COMMIT, OFFSET_NOT_AVAILABLE, MockKafka, mock_kafka
from trackmate_consume import kafka_source
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_source import KafkaSource, Reassigned
from trackmate_consume.ledger import Outcome, Settled
from trackmate_consume.sink import Down
from trackmate_consume.source import Ended
from trackmate_consume.waiting import Entry
from trackmate_contract.record import Record, Stamp, to_headers

ALL = "TRACKMATE_KILL_ROUNDS" in os.environ
EVENTS = 40
COORDINATOR_LOADS, COORDINATOR_GONE, NOT_COORDINATOR = 14, 15, 16
ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCE = 22, 25, 27


@pytest.fixture
def cluster() -> Iterator[MockKafka]:
    with mock_kafka("acme.events") as cluster:
        yield cluster


def settled(records: list[Record]) -> Settled:
    entries = [Entry(record, None) for record in records]
    for entry in entries:
        entry.settle(Outcome.DELIVERED, documents=1)
    return Settled.of(entries, expired=0)


def produce(cluster: MockKafka) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for number in range(EVENTS):
        headers: list[Any] = [*to_headers(f"id-{number}", Stamp(1_795_000_000_000, "web"))]
        producer.produce("acme.events", b"%d" % number, None, 0, headers=headers)
    assert producer.flush(20) == 0
    producer.close()


async def read(source: KafkaSource, amount: int) -> list[Record]:
    found: list[Record] = []
    async with asyncio.timeout(30):
        while len(found) < amount:
            fetched = await source.read(most=amount - len(found), wait_s=0)
            found += fetched.records if fetched else ()
    return found


async def commit(source: KafkaSource, step: Settled) -> None:
    """Until it is made, as the flow does."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Down):
                await source.commit(step)
                return


async def commits(cluster: MockKafka, answers: tuple[int, ...]) -> tuple[bool, list[str]]:
    """Whether the first lost its partition over the commit, and what another then reads."""
    reading = Reading("acme", "crm", ["events"])
    settings = {"bootstrap.servers": cluster.bootstrap, "log_level": 0}
    first = KafkaSource(reading, settings)
    step = settled(await read(first, 10))
    cluster.answer(OFFSET_COMMIT, *answers)
    lost = False
    try:
        await commit(first, step)
        await read(first, 1)
    except Reassigned:
        lost = True
    await first.close()
    second = KafkaSource(reading, settings)
    rest = await read(second, EVENTS if lost else EVENTS - 10)
    await second.close()
    return lost, [record.id for record in rest]


@pytest.mark.parametrize(
    "answers",
    [
        (NOT_COORDINATOR, NOT_COORDINATOR),
        *([(COORDINATOR_LOADS, COORDINATOR_GONE), (REBALANCE,)] if ALL else ()),
    ],
)
def test_a_commit_that_is_refused_is_made_in_the_end(
    cluster: MockKafka, answers: tuple[int, ...]
) -> None:
    produce(cluster)

    lost, rest = uvloop.run(commits(cluster, answers))

    assert (lost, rest) == (False, [f"id-{number}" for number in range(10, EVENTS)])


@pytest.mark.parametrize("answer", [UNKNOWN_MEMBER, *([ILLEGAL_GENERATION] if ALL else ())])
def test_who_is_no_member_any_more_ends_and_the_next_reads_it_again(
    cluster: MockKafka, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """Its books were not written either, so that nothing counts twice."""
    monkeypatch.setattr(kafka_source, "_SETTLE_S", 1.0)
    produce(cluster)

    lost, rest = uvloop.run(commits(cluster, (answer,)))

    assert (lost, rest) == (True, [f"id-{number}" for number in range(EVENTS)])


def test_what_kafka_refuses_while_partitions_are_given_out_ends_the_source_and_is_said(
    cluster: MockKafka,
) -> None:
    """As a leader does that was elected a moment ago; what ends unseen would be read by nobody."""
    produce(cluster)

    async def scenario() -> None:
        cluster.answer(LIST_OFFSETS, *[OFFSET_NOT_AVAILABLE] * 20)
        source = KafkaSource(
            Reading("acme", "crm", ["events"]),
            {"bootstrap.servers": cluster.bootstrap, "log_level": 0},
        )
        async with asyncio.timeout(60):
            with pytest.raises(Ended, match="Kafka cannot be read"):
                await read(source, 1)
        await source.close()

    uvloop.run(scenario())
