"""
Dead letters on Kafka: there with their original bytes before `put` returns, or Down.
"""

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

import mock_kafka
from kafka_reading import whole_topic
from mock_kafka import OUT_OF_ORDER_SEQUENCE, PRODUCE, MockKafka
from trackmate_consume import kafka_letters
from trackmate_consume.kafka_letters import KafkaLetters, from_dead
from trackmate_consume.letters import DeadLetter
from trackmate_consume.sink import Down
from trackmate_contract.record import Record, Stamp

TOPIC = "acme.to-crm.dead"
PARTITIONS = 4


@pytest.fixture
def cluster() -> Iterator[MockKafka]:
    with mock_kafka.mock_kafka(TOPIC) as cluster:
        yield cluster


def letter(number: int, value: bytes = b'{"n":  1}\xff') -> DeadLetter:
    stamp = Stamp(1_780_000_000_000, "web", "track", user_agent="Møzilla")
    record = Record("events", 3, number, f"id-{number}", "ann", value, stamp)
    return DeadLetter(record, "sink_refused", "answered 422: nö (tried 3 times)", 3)


def kept(cluster: MockKafka) -> list[DeadLetter]:
    settings = {"bootstrap.servers": cluster.bootstrap}
    found = []
    for message in whole_topic(settings, TOPIC, partitions=PARTITIONS):
        headers = cast("list[tuple[str, bytes]]", message.headers())
        found.append(from_dead(message.value() or b"", headers))
    return found


def put(cluster: MockKafka, *letters: DeadLetter) -> None:
    async def scenario() -> None:
        it = KafkaLetters("acme", "to-crm", lambda: {"bootstrap.servers": cluster.bootstrap})
        try:
            await it.put(letters)
        finally:
            it.close()

    asyncio.run(scenario())


def test_a_letter_is_there_with_its_bytes_reason_and_origin(cluster: MockKafka) -> None:
    letters = [letter(1), letter(2, b"")]

    put(cluster, *letters)

    assert kept(cluster) == letters


def test_a_letter_that_is_not_kept_in_time_is_down_and_kept_later(
    cluster: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_letters, "_SURE_S", 3.0)
    short = {"delivery.timeout.ms": 3000, "socket.timeout.ms": 2000}
    monkeypatch.setattr(kafka_letters, "PROMISES", {**kafka_letters.PROMISES, **short})

    async def scenario() -> str:
        it = KafkaLetters("acme", "to-crm", lambda: {"bootstrap.servers": cluster.bootstrap})
        try:
            await it.put([letter(1)])
            cluster.down()
            with pytest.raises(Down) as fault:
                await it.put([letter(2)])
            cluster.up()
            await it.put([letter(2)])
            return str(fault.value)
        finally:
            it.close()

    said = asyncio.run(scenario())

    assert said.startswith("the dead letters could not be kept: ")
    assert {one.record.offset for one in kept(cluster)} == {1, 2}


def test_letters_that_may_not_be_written_are_down(cluster: MockKafka) -> None:
    cluster.answer(PRODUCE, mock_kafka.TOPIC_AUTHORIZATION_FAILED)

    with pytest.raises(Down, match=f"not let its user use topic '{TOPIC}'; allow it Read, Write"):
        put(cluster, letter(1))


def test_a_topic_that_is_not_there_is_named_and_used_once_it_is() -> None:
    async def scenario(cluster: MockKafka) -> str:
        it = KafkaLetters("acme", "to-crm", lambda: {"bootstrap.servers": cluster.bootstrap})
        try:
            with pytest.raises(Down) as fault:
                await it.put([letter(1)])
            cluster.create(TOPIC)
            await it.put([letter(1)])
            return str(fault.value)
        finally:
            it.close()

    with mock_kafka.mock_kafka() as cluster:
        said = asyncio.run(scenario(cluster))
        found = kept(cluster)

    assert said.endswith(f"Kafka has no topic '{TOPIC}'; make it, with 1 partition")
    assert found == [letter(1)]


def test_a_producer_that_died_is_replaced_each_time(cluster: MockKafka) -> None:
    """Where it says so only as it is closed, too: which call it is in is a matter of luck."""
    settings = {"bootstrap.servers": cluster.bootstrap, "log_level": 0, "batch.num.messages": 1}
    many = [letter(number) for number in range(200)]

    async def scenario() -> int:
        it = KafkaLetters("acme", "to-crm", lambda: settings)
        faults = 0
        for _ in range(20):
            await it.put([letter(0)])
            cluster.answer(PRODUCE, OUT_OF_ORDER_SEQUENCE)
            while True:
                try:
                    await it.put(many)
                    break
                except Down:
                    faults += 1
        it.close()
        return faults

    assert asyncio.run(scenario()) >= 20, "the fault did not bite"
