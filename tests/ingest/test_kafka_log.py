"""
The log on Kafka, against librdkafka's mock cluster: what is acknowledged is there with its bytes
and headers; what is not is Unavailable, in time; a producer that can go on no more is replaced.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

import mock_kafka
from kafka_reading import whole_topic
from mock_kafka import DISCONNECT, NOT_ENOUGH_REPLICAS, OUT_OF_ORDER_SEQUENCE, PRODUCE, MockKafka
from trackmate_contract.record import Event, Stamp, from_headers
from trackmate_ingest import kafka_log
from trackmate_ingest.kafka_log import KafkaLog
from trackmate_ingest.log import Unavailable

STAMP = Stamp(1_780_000_000_000, "web", "track", ip="192.0.2.0", user_agent="Møzilla")
TOPIC = "acme.events"
PARTITIONS = 4


@pytest.fixture
def cluster() -> Iterator[MockKafka]:
    with mock_kafka.mock_kafka(TOPIC) as cluster:
        yield cluster


def run(
    cluster: MockKafka, scenario: Callable[[KafkaLog], Awaitable[Any]], **settings: object
) -> Any:
    """Run on the product's loop, with a log that has sent an event: the first is slow."""

    async def whole() -> Any:
        log = KafkaLog("acme", {"bootstrap.servers": cluster.bootstrap, **settings})
        try:
            await log.append("events", STAMP, [event(0)])
            return await scenario(log)
        finally:
            await log.close()

    return uvloop.run(whole())


def event(number: int, key: str | None = "ann") -> Event:
    return Event(f"id-{number}", key, b'{"n": %d,  "bytes":"as sent"}' % number)


def read(cluster: MockKafka) -> list[Any]:
    settings = {"bootstrap.servers": cluster.bootstrap}
    return [*whole_topic(settings, TOPIC, partitions=PARTITIONS)]


def ids(cluster: MockKafka) -> list[str]:
    return sorted(from_headers(message.headers())[0] for message in read(cluster))


def test_what_is_acknowledged_is_there_with_bytes_key_and_headers(cluster: MockKafka) -> None:
    odd = Event("é \u0000", None, b"\xff\x00")

    run(cluster, lambda log: log.append("events", STAMP, [event(1), odd]))

    by_id = {from_headers(message.headers())[0]: message for message in read(cluster)}
    assert len(by_id) == 3
    assert by_id["id-1"].value() == event(1).value
    assert by_id["id-1"].key() == b"ann"
    assert by_id["é \u0000"].value() == b"\xff\x00"
    assert by_id["é \u0000"].key() is None
    assert {from_headers(message.headers())[1] for message in by_id.values()} == {STAMP}


def test_events_of_a_key_are_in_one_partition_in_their_order(cluster: MockKafka) -> None:
    async def scenario(log: KafkaLog) -> None:
        for first in range(0, 200, 50):
            many = [event(n, f"person-{n % 7}") for n in range(first, first + 50)]
            await log.append("events", STAMP, many)

    run(cluster, scenario)

    places: dict[bytes, set[int]] = {}
    order: dict[bytes, list[int]] = {}
    for message in read(cluster):
        number = int(from_headers(message.headers())[0].removeprefix("id-"))
        places.setdefault(message.key(), set()).add(message.partition())
        order.setdefault(message.key(), []).append(number)
    assert {len(partitions) for partitions in places.values()} == {1}
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert len({next(iter(partitions)) for partitions in places.values()}) > 1


def test_what_the_broker_refuses_for_a_while_is_tried_again(cluster: MockKafka) -> None:
    cluster_errors = [NOT_ENOUGH_REPLICAS] * 3 + [DISCONNECT]

    async def scenario(log: KafkaLog) -> None:
        cluster.answer(PRODUCE, *cluster_errors)
        await log.append("events", STAMP, [event(1)])

    run(cluster, scenario)

    assert ids(cluster) == ["id-0", "id-1"]


def test_what_is_not_confirmed_in_time_is_unavailable_and_heals(
    cluster: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"delivery.timeout.ms": 3000, "socket.timeout.ms": 2000}
    monkeypatch.setattr(kafka_log, "PROMISES", {**kafka_log.PROMISES, **short})

    async def scenario(log: KafkaLog) -> str:
        cluster.down()
        with pytest.raises(Unavailable) as fault:
            await log.append("events", STAMP, [event(1)])
        cluster.up()
        await log.append("events", STAMP, [event(2)])
        return str(fault.value)

    assert run(cluster, scenario) == "Kafka did not confirm in time."


def test_a_request_is_unavailable_as_a_whole_when_one_event_of_it_is(cluster: MockKafka) -> None:
    async def scenario(log: KafkaLog) -> str:
        cluster.answer(PRODUCE, mock_kafka.TOPIC_AUTHORIZATION_FAILED)
        with pytest.raises(Unavailable) as fault:
            await log.append("events", STAMP, [event(n, f"key-{n}") for n in range(20)])
        return str(fault.value)

    assert run(cluster, scenario) == "Kafka does not allow it to this user."


def test_a_producer_that_lost_its_sequence_is_replaced(
    cluster: MockKafka, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(log: KafkaLog) -> list[str]:
        cluster.answer(PRODUCE, OUT_OF_ORDER_SEQUENCE)
        faults = []
        for number in range(1, 20):
            try:
                await log.append("events", STAMP, [event(number)])
            except Unavailable as fault:
                faults.append(str(fault))
            else:
                break
        await log.append("events", STAMP, [event(99)])
        return faults

    with caplog.at_level(logging.ERROR, "trackmate.ingest"):
        faults = run(cluster, scenario)

    assert faults, "the fault did not bite"
    assert [entry.message for entry in caplog.records] == ["producer replaced"]
    assert "id-99" in ids(cluster)


def test_a_full_queue_is_unavailable_before_anything_is_produced(
    cluster: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"queue.buffering.max.messages": 10}
    monkeypatch.setattr(kafka_log, "PROMISES", {**kafka_log.PROMISES, **small})

    async def scenario(log: KafkaLog) -> str:
        with pytest.raises(Unavailable) as fault:
            await log.append("events", STAMP, [event(n) for n in range(11)])
        return str(fault.value)

    assert run(cluster, scenario).startswith("The queue to Kafka is full")
    assert ids(cluster) == ["id-0"]


def test_an_unknown_stream_is_unavailable_and_makes_no_topic(
    cluster: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"topic.metadata.propagation.max.ms": 300}
    monkeypatch.setattr(kafka_log, "PROMISES", {**kafka_log.PROMISES, **quick})

    async def scenario(log: KafkaLog) -> str:
        with pytest.raises(Unavailable) as fault:
            await log.append("images", STAMP, [event(1)])
        return str(fault.value)

    assert run(cluster, scenario) == "Kafka has no topic for this stream."


def test_closing_waits_for_what_is_under_way(cluster: MockKafka) -> None:
    async def scenario(log: KafkaLog) -> int:
        cluster.slow(500)
        under_way = asyncio.create_task(log.append("events", STAMP, [event(1)]))
        await asyncio.sleep(0)
        left = await log.close()
        await under_way
        return left

    assert run(cluster, scenario) == 0
    cluster.slow(0)
    assert ids(cluster) == ["id-0", "id-1"]
