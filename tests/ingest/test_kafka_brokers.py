"""
The log on real brokers: what was acknowledged while a broker was killed is there, each once a
request, and what was not acknowledged was answered in time.
"""

import asyncio
from collections.abc import Iterator
from os import urandom
from typing import Any

import pytest
import uvloop

from kafka_broker import Cluster, kafka_brokers
from kafka_reading import whole_topic
from trackmate_contract.kafka_sizes import largest_batch
from trackmate_contract.record import Event, Stamp, from_headers
from trackmate_ingest.kafka_log import KafkaLog
from trackmate_ingest.log import Unavailable

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(180)]

STAMP = Stamp(1_780_000_000_000, "web")
TOPIC = "acme.events"
PARTITIONS = 3
SENDERS = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(3) as cluster:
        cluster.create(TOPIC, partitions=PARTITIONS)
        yield cluster


def random_event(number: int, size: int) -> Event:
    """One that no compression makes smaller."""
    return Event(f"id-{number}", None, b'"%b"' % urandom(size // 2).hex().encode())


@pytest.mark.parametrize(
    ("event_bytes", "events", "size"), [(64 << 10, 1000, 20_000), (8 << 20, 1, (8 << 20) - 2)]
)
def test_what_the_limits_allow_fits_into_the_topic_that_is_made_for_them(
    cluster: Cluster, *, event_bytes: int, events: int, size: int
) -> None:
    """Kafka holds its limit against a whole batch: 1,000 events of a request may be one."""
    name = f"acme.wide-{event_bytes}"
    cluster.create(name, partitions=1, max_message_bytes=str(largest_batch(event_bytes)))
    sent = [random_event(number, size) for number in range(events)]

    async def scenario() -> None:
        log = KafkaLog("acme", cluster.settings())
        await log.append(f"wide-{event_bytes}", STAMP, sent)
        await log.close()

    uvloop.run(scenario())
    stored = whole_topic(cluster.settings(), name, partitions=1)
    assert [one.value() for one in stored] == [one.value for one in sent]


class Account:
    """What the senders know."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.unknown: list[str] = []

    async def send_on(self, log: KafkaLog, name: str, enough: asyncio.Event) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            event = Event(f"{name}-{number}", name, b'{"n":%d}' % number)
            try:
                await log.append("events", STAMP, [event])
            except Unavailable:
                self.unknown.append(event.id)
            else:
                self.stored.append(event.id)

    async def more(self, than: int, by: int = 300) -> None:
        """Wait for so many acknowledgements more."""
        async with asyncio.timeout(60):
            while len(self.stored) < than + by:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)


def test_kill_9_of_each_broker_under_load_loses_nothing(cluster: Cluster) -> None:
    async def scenario() -> Account:
        log = KafkaLog("acme", cluster.settings())
        account, enough = Account(), asyncio.Event()
        async with asyncio.TaskGroup() as senders:
            for number in range(SENDERS):
                senders.create_task(account.send_on(log, f"sender-{number}", enough))
            await account.more(than=0)
            for broker in cluster.brokers:
                before = len(account.stored)
                assert broker.number in cluster.leaders(TOPIC), "the kill would not bite"
                broker.kill()
                await account.more(than=before)
                broker.start()
                await asyncio.to_thread(cluster.wait)
            enough.set()
        await log.close()
        return account

    account = uvloop.run(scenario())

    messages: list[Any] = whole_topic(cluster.settings(), TOPIC, partitions=PARTITIONS)
    ids = [from_headers(message.headers())[0] for message in messages]
    assert set(account.stored) <= set(ids), "an acknowledged event is lost"
    assert set(ids) <= {*account.stored, *account.unknown}
    assert len(ids) == len(set(ids)), "idempotence keeps the client's own repeats out"
    by_sender: dict[bytes, list[int]] = {}
    for message in messages:
        number = int(from_headers(message.headers())[0].rpartition("-")[2])
        by_sender.setdefault(message.key(), []).append(number)
    assert all(numbers == sorted(numbers) for numbers in by_sender.values())
