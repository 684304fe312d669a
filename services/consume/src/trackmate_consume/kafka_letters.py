"""
Dead letters on Kafka: records of the topic `<affiliate>.<pipeline>.dead`, which has one partition.

A letter is the original bytes and headers, and beside them why, and from where; its key is where
the event is in the log. What became of it later is another record of the same key, with an outcome
and no bytes. `letterbox` says what they mean together.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from trackmate_consume.ledger import Outcome
from trackmate_consume.letterbox import Answered, Origin, Waiting
from trackmate_consume.letters import DeadLetter
from trackmate_consume.sink import Down
from trackmate_contract.kafka_sizes import BATCH, LARGEST_LETTER
from trackmate_contract.names import dead_letter_topic
from trackmate_contract.record import Header, Record, from_headers, to_headers
from trackmate_programs.kafka_dying import RAISED, error_of, let_go

_log = logging.getLogger("trackmate.kafka")

_PARTITION_OF_ALL = 0  # what becomes of a letter must come behind it
_SURE_S = 10.0  # until the brokers have a letter, or it is tried again

PROMISES: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.timeout.ms": int(_SURE_S * 1000),
    "socket.timeout.ms": 8000,
    "allow.auto.create.topics": False,
    "topic.metadata.propagation.max.ms": 5000,  # else 30 s until a missing topic is said
    "batch.size": BATCH,
    "message.max.bytes": LARGEST_LETTER,
}

_REASON, _DETAIL, _ATTEMPTS = "tm-dead-reason", "tm-dead-detail", "tm-dead-attempts"
_STREAM, _PARTITION, _OFFSET = "tm-dead-stream", "tm-dead-partition", "tm-dead-offset"
_KEY = "tm-dead-key"
_AGAIN = "tm-dead-again"  # put aside by a replay: the books have an outcome of the event already
_OUTCOME, _OUTCOME_REASON, _DOCUMENTS = (
    "tm-answer-outcome",
    "tm-answer-reason",
    "tm-answer-documents",
)

Put = tuple[bytes, bytes | None, list[Any]]
"""A record's key, value and headers."""


class KafkaLetters:
    """
    The dead letters of one pipeline. Keeps trackmate_consume.letters.DeadLetters.

    `settings` are asked for when a producer is made, so that it has the credentials of the moment.
    """

    def __init__(
        self, affiliate: str, pipeline: str, settings: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._topic = dead_letter_topic(affiliate, pipeline)
        self._settings = settings
        self._producer: Producer | None = None
        self._stale = False
        self._turn = asyncio.Lock()

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Raises Down; what of the letters is there is then not known."""
        await self._write([_to_put(letter, again=False) for letter in letters])

    async def put_again(self, letters: Sequence[DeadLetter]) -> None:
        """Those that a replay put aside. Raises Down."""
        await self._write([_to_put(letter, again=True) for letter in letters])

    async def answer(self, answers: Sequence[tuple[Origin, Answered]]) -> None:
        """Say what became of letters: they wait no more. Raises Down."""
        await self._write(
            [(_place(origin), None, to_answer_headers(one)) for origin, one in answers]
        )

    def renew(self) -> None:
        """The settings have changed: the next letters go with the new ones."""
        self._stale = True

    def close(self) -> None:
        """Let go of the connections."""
        producer, self._producer = self._producer, None
        if producer is not None:
            let_go(producer)  # what is under way is Down already

    async def _write(self, puts: Sequence[Put]) -> None:
        async with self._turn:
            await asyncio.to_thread(self._produce, puts)

    def _ready(self) -> Producer:
        if self._stale:
            self._stale = False
            self.close()
        if self._producer is None:
            self._producer = Producer({**self._settings(), **PROMISES, "logger": _log})
        return self._producer

    def _produce(self, puts: Sequence[Put]) -> None:
        producer = self._ready()
        faults: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                faults.append(error)

        try:
            for key, value, headers in puts:
                producer.produce(
                    self._topic,
                    value,
                    key,
                    _PARTITION_OF_ALL,
                    on_delivery=delivered,
                    headers=headers,
                )
            left = producer.flush(_SURE_S + 1)
        except BufferError as fault:
            raise self._not_kept(str(fault)) from None
        except RAISED as fault:
            raise self._not_kept(in_words(error_of(fault), self._topic)) from None
        if faults or left:
            said = in_words(faults[0], self._topic) if faults else "no answer in time"
            raise self._not_kept(said)

    def _not_kept(self, said: str) -> Down:
        self.close()  # whatever state it is in; another has the credentials of then
        return Down(f"the dead letters could not be kept: {said}")


def in_words(error: KafkaError, topic: str) -> str:
    """
    What keeps us from a topic of dead letters, with the cure where there is one.

    >>> in_words(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "acme.crm.dead")
    "Kafka has no topic 'acme.crm.dead'; make it, with 1 partition"
    """
    if error.code() in _MISSING:
        return f"Kafka has no topic {topic!r}; make it, with 1 partition"
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        may = "Read, Write and Describe"
        return f"Kafka does not let its user use topic {topic!r}; allow it {may} on it"
    return error.str()


_MISSING = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)


def _to_put(letter: DeadLetter, *, again: bool) -> Put:
    record = letter.record
    headers = to_dead_headers(letter)
    if again:
        headers.append((_AGAIN, b"1"))
    return _place(Origin(record.stream, record.partition, record.offset)), record.value, headers


def _place(origin: Origin) -> bytes:
    return b"%b/%d/%d" % (origin.stream.encode(), origin.partition, origin.offset)


def to_dead_headers(letter: DeadLetter) -> list[Header]:
    """The headers of a letter's record: those of the original, and what it is put aside for."""
    record = letter.record
    key = [] if record.key is None else [(_KEY, record.key.encode())]
    return [
        *to_headers(record.id, record.stamp),
        *key,
        (_REASON, letter.reason.encode()),
        (_DETAIL, letter.detail.encode("utf-8", "replace")),
        (_ATTEMPTS, b"%d" % letter.attempts),
        (_STREAM, record.stream.encode()),
        (_PARTITION, b"%d" % record.partition),
        (_OFFSET, b"%d" % record.offset),
    ]


def from_dead(value: bytes, headers: Iterable[Header]) -> DeadLetter:
    """
    The letter of a record. Raises KeyError where a header is missing: we did not write it.

    >>> from trackmate_contract.record import Stamp
    >>> record = Record("events", 1, 7, "e1", "ann", b"{}", Stamp(5, "web"))
    >>> letter = DeadLetter(record, "sink_refused", "answered 422", 3)
    >>> from_dead(b"{}", to_dead_headers(letter)) == letter
    True
    """
    kept = list(headers)
    found = {name: value.decode() for name, value in kept}
    event_id, stamp = from_headers(kept)
    place = found[_STREAM], int(found[_PARTITION]), int(found[_OFFSET])
    record = Record(*place, event_id, found.get(_KEY), value, stamp)
    return DeadLetter(record, found[_REASON], found[_DETAIL], int(found[_ATTEMPTS]))


def to_answer_headers(answered: Answered) -> list[Header]:
    """The headers of the record that says what became of a letter."""
    outcome = "" if answered.outcome is None else answered.outcome.value
    return [
        (_OUTCOME, outcome.encode()),
        (_OUTCOME_REASON, answered.reason.encode()),
        (_DOCUMENTS, b"%d" % answered.documents),
    ]


def read_dead(
    number: int, key: bytes, headers: Iterable[Header]
) -> tuple[Origin, Waiting | Answered]:
    """
    A record of the topic. Raises KeyError or ValueError where we did not
    write it.

    >>> answered = Answered(Outcome.FILTERED, "false", 0)
    >>> read_dead(3, b"events/1/7", to_answer_headers(answered))
    (Origin(stream='events', partition=1, offset=7), Answered(outcome=<Outcome.FILTERED: \
'filtered'>, reason='false', documents=0))
    """
    stream, partition, offset = key.decode().rsplit("/", 2)
    origin = Origin(stream, int(partition), int(offset))
    found = {name: value.decode() for name, value in headers}
    if _OUTCOME in found:
        outcome = Outcome(found[_OUTCOME]) if found[_OUTCOME] else None
        return origin, Answered(outcome, found[_OUTCOME_REASON], int(found[_DOCUMENTS]))
    return origin, Waiting(
        number,
        found.get(_KEY),
        int(found["tm-received"]),
        found[_REASON],
        int(found[_ATTEMPTS]),
        counted=_AGAIN not in found,
    )
