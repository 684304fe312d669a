"""
The log on Kafka: an event is stored once all in-sync replicas of its topic have it.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException

from trackmate_contract.kafka_sizes import BATCH, LARGEST
from trackmate_contract.names import topic
from trackmate_contract.record import Event, Stamp, stamp_headers
from trackmate_ingest.deadline import Deadline
from trackmate_ingest.kafka_figures import KafkaFigures
from trackmate_ingest.log import Unavailable
from trackmate_ingest.producer import AckingProducer, Pending, Settings

_LATE_S = 1.0  # that a report may come after librdkafka's own deadline

_log = logging.getLogger("trackmate.ingest")

DELIVERY_S = 8.0
"""The acknowledgement must be there before the answer is due, and the answer after 10 s."""

ANSWERED_S = DELIVERY_S + _LATE_S
"""After this long at most, an event is stored or Unavailable."""

PROMISES: Settings = {
    "enable.idempotence": True,  # no repeat by the client itself, order kept through its retries
    "acks": "all",
    "delivery.timeout.ms": int(DELIVERY_S * 1000),
    "socket.timeout.ms": 6000,  # below the deadline, so that a silent broker is given up in time
    "socket.keepalive.enable": True,
    "allow.auto.create.topics": False,  # a typo would make a topic
    "partitioner": "murmur2_random",  # as Java's clients, so that others find a key's partition
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.size": BATCH,
    "message.max.bytes": LARGEST,
    "topic.metadata.refresh.interval.ms": 30_000,  # how late partitions that are added are seen
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 131_072,
}
"""What the answer 200 rests on; no setting of a user is stronger."""


class KafkaLog:
    """The log of one affiliate. Keeps the contract of trackmate_ingest.log.Log."""

    def __init__(self, affiliate: str, settings: Settings) -> None:
        self._affiliate = affiliate
        self._settings = {**settings, **PROMISES}
        self._most = int(self._settings["queue.buffering.max.messages"])
        self._deadline = Deadline(ANSWERED_S)
        self._leaving: set[asyncio.Task[int]] = set()
        self._figures = KafkaFigures(affiliate)
        self.fault = ""
        """Why nothing is taken, in words; "" when it is."""
        self._producer = self._made()

    @property
    def alive(self) -> bool:
        """Whether acknowledgements are heard; where they are not, only another process helps."""
        return self._producer.alive

    def figures(self) -> KafkaFigures:
        """As they are now."""
        self._figures.queue = len(self._producer)
        self._figures.fault = bool(self.fault)
        return self._figures

    async def append(self, stream: str, stamp: Stamp, events: Sequence[Event]) -> None:
        """Raises Unavailable; what of the request was stored is then not known."""
        if self.fault:
            raise Unavailable(self.fault)
        producer = self._producer
        if len(producer) + len(events) > self._most:
            raise Unavailable("The queue to Kafka is full: it does not keep up.")
        pending = Pending(producer, len(events))
        began = time.perf_counter()
        self._produce(producer, topic(self._affiliate, stream), stamp, events, pending)
        try:
            await self._deadline.wait(pending.future)
        except TimeoutError:
            raise Unavailable("Kafka did not confirm in time.") from None
        if pending.error is not None:
            raise Unavailable(_words(pending.error))
        self._figures.acknowledged.observe(time.perf_counter() - began)

    def _produce(
        self,
        producer: AckingProducer,
        name: str,
        stamp: Stamp,
        events: Sequence[Event],
        pending: Pending,
    ) -> None:
        shared = stamp_headers(stamp)
        produce, delivered = producer.produce, pending.delivered
        try:
            for event_id, key, value in events:
                produce(
                    name,
                    value,
                    None if key is None else key.encode(),
                    on_delivery=delivered,
                    headers=[("tm-id", event_id.encode()), *shared],
                )
        except BufferError:
            raise Unavailable("The queue to Kafka is full: it does not keep up.") from None
        except KafkaException as fault:
            raise Unavailable(self._refused(producer, fault.args[0])) from None

    def _refused(self, producer: AckingProducer, error: KafkaError) -> str:
        if error.code() == KafkaError._FATAL:  # noqa: SLF001 - it has no other name
            self._replace(producer, error)
        return _words(error)

    # a producer that can go on no more, or has old credentials, is replaced by another

    def renew(self, settings: Settings) -> None:
        """Go on with other settings, as new credentials; what is under way ends with the old."""
        self._settings = {**settings, **PROMISES}
        self._swap()

    def _made(self) -> AckingProducer:
        return AckingProducer(self._settings, self._replace)

    def _replace(self, dead: AckingProducer, error: KafkaError) -> None:
        """The sequence of this one is lost; another has an id and a sequence of its own."""
        if dead is self._producer:
            _log.error("producer replaced", extra={"fields": {"error": error.str()}})
            self._figures.replaced += 1
            self._swap()

    def _swap(self) -> None:
        before, self._producer = self._producer, self._made()
        leaving = asyncio.create_task(before.close())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> int:
        """Wait for what is under way; return how many events were not acknowledged."""
        left = await asyncio.gather(self._producer.close(), *self._leaving)
        return sum(left)


def _words(error: KafkaError) -> str:
    """
    >>> _words(KafkaError(KafkaError._MSG_TIMED_OUT))
    'Kafka did not confirm in time.'
    """
    return _WORDS.get(error.code(), f"Kafka did not confirm ({error.name()}).")


_WORDS = {
    KafkaError._MSG_TIMED_OUT: "Kafka did not confirm in time.",  # noqa: SLF001
    KafkaError.NOT_ENOUGH_REPLICAS: "Kafka has too few replicas in sync.",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "Kafka has too few replicas in sync.",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Kafka does not allow it to this user.",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "Kafka has no topic for this stream.",
}
