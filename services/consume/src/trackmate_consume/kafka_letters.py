"""
Dead letters on Kafka: records of the topic `<affiliate>.<pipeline>.dead`, with the original bytes,
key and headers, and beside them why and from where. A letter that is put again is a second record
of the same origin; whoever reads takes the later one.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from trackmate_consume.letters import DeadLetter
from trackmate_consume.sink import Down
from trackmate_contract.names import dead_letter_topic
from trackmate_contract.record import Header, Record, from_headers, to_headers

_SURE_S = 10.0  # until the brokers have a letter, or it is tried again

PROMISES: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.timeout.ms": int(_SURE_S * 1000),
    "socket.timeout.ms": 8000,
    "allow.auto.create.topics": False,
    "partitioner": "murmur2_random",
    "message.max.bytes": 8 << 20,  # an event as large as may be, and its headers
}

_REASON, _DETAIL, _ATTEMPTS = "tm-dead-reason", "tm-dead-detail", "tm-dead-attempts"
_STREAM, _PARTITION, _OFFSET = "tm-dead-stream", "tm-dead-partition", "tm-dead-offset"


class KafkaLetters:
    """The dead letters of one pipeline. Keeps trackmate_consume.letters.DeadLetters."""

    def __init__(self, affiliate: str, pipeline: str, settings: Mapping[str, Any]) -> None:
        self._topic = dead_letter_topic(affiliate, pipeline)
        self._settings = {**settings, **PROMISES}
        self._producer: Producer | None = None
        self._turn = asyncio.Lock()

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Raises Down; what of the letters is there is then not known."""
        async with self._turn:
            await asyncio.to_thread(self._put, letters)

    def close(self) -> None:
        """Let go of the connections."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _put(self, letters: Sequence[DeadLetter]) -> None:
        producer = self._producer = self._producer or Producer(self._settings)
        faults: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                faults.append(error)

        try:
            for letter in letters:
                record = letter.record
                key = None if record.key is None else record.key.encode()
                headers: list[Any] = to_dead_headers(letter)
                producer.produce(
                    self._topic, record.value, key, on_delivery=delivered, headers=headers
                )
            left = producer.flush(_SURE_S + 1)
        except (BufferError, KafkaException) as fault:
            self._producer = None  # whatever state it is in
            raise Down(f"the dead letters could not be kept: {fault}") from None
        if faults or left:
            said = faults[0].str() if faults else "no answer in time"
            raise Down(f"the dead letters could not be kept: {said}")


def to_dead_headers(letter: DeadLetter) -> list[Header]:
    """The headers of a letter's record: those of the original, and what it is put aside for."""
    record = letter.record
    return [
        *to_headers(record.id, record.stamp),
        (_REASON, letter.reason.encode()),
        (_DETAIL, letter.detail.encode("utf-8", "replace")),
        (_ATTEMPTS, b"%d" % letter.attempts),
        (_STREAM, record.stream.encode()),
        (_PARTITION, b"%d" % record.partition),
        (_OFFSET, b"%d" % record.offset),
    ]


def from_dead(value: bytes, key: str | None, headers: Iterable[Header]) -> DeadLetter:
    """
    The letter of a record. Raises KeyError where a header is missing: we did not write it.

    >>> from trackmate_contract.record import Stamp
    >>> record = Record("events", 1, 7, "e1", None, b"{}", Stamp(5, "web"))
    >>> letter = DeadLetter(record, "sink_refused", "answered 422", 3)
    >>> from_dead(b"{}", None, to_dead_headers(letter)) == letter
    True
    """
    kept = list(headers)
    found = {name: value.decode() for name, value in kept}
    event_id, stamp = from_headers(kept)
    place = found[_STREAM], int(found[_PARTITION]), int(found[_OFFSET])
    record = Record(*place, event_id, key, value, stamp)
    return DeadLetter(record, found[_REASON], found[_DETAIL], int(found[_ATTEMPTS]))
