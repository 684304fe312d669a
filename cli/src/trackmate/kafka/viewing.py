"""
Records on Kafka for those who look on, as they are and as they come. They join no group.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from trackmate.backbone import Wanted
from trackmate_consume.kafka_records import record_of
from trackmate_contract.record import Record

_log = logging.getLogger("trackmate.kafka")

_ASKED_S = 10.0
_TURN = 500  # records
_POLL_S = 0.2

Settings = Mapping[str, Any]


class Onlooker:
    """One who reads topics of an affiliate, from places of their own choosing."""

    def __init__(self, settings: Settings, topics: Mapping[str, str]) -> None:
        """`topics`: streams by their topics."""
        self._topics = topics
        self._consumer = Consumer(
            {
                **settings,
                "group.id": "trackmate-dev",  # never joined
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "logger": _log,
            }
        )
        self._turn = Lock()
        self._next: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def begin(self, *, since_ms: int = 0, from_end: bool = False) -> None:
        """Go to the first records that may be wanted, and note where the log ends now."""
        known = self._consumer.list_topics(timeout=_ASKED_S).topics
        places = [
            TopicPartition(name, number, since_ms)
            for name in self._topics
            if name in known
            for number in known[name].partitions
        ]
        for one in places:
            low, high = self._consumer.get_watermark_offsets(one, timeout=_ASKED_S)
            self._ends[one.topic, one.partition] = high
            self._next[one.topic, one.partition] = high if from_end else low
        if since_ms and not from_end:
            for one in self._consumer.offsets_for_times(places, timeout=_ASKED_S):
                high = self._ends[one.topic, one.partition]
                self._next[one.topic, one.partition] = one.offset if one.offset >= 0 else high
        self._consumer.assign([TopicPartition(*place, at) for place, at in self._next.items()])

    @property
    def at_the_end(self) -> bool:
        """Whether all was read that was there at the beginning."""
        return all(at >= self._ends[place] for place, at in self._next.items())

    def read(self, *, most: int, wait_s: float) -> list[Record]:
        """What comes within so many seconds. Raises KafkaException."""
        with self._turn:
            messages = self._consumer.consume(most, wait_s) if self._next else []
        return [record_of(one, self._topics) for one in messages if self._is_record(one)]

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            place = message.topic() or "", message.partition() or 0
            self._next[place] = (message.offset() or 0) + 1
            return True
        if error.code() in _PASSING:
            return False
        raise KafkaException(error)

    def all(self) -> Iterator[Record]:
        """Every record that is there now, in the order of each partition."""
        self.begin()
        while not self.at_the_end:
            yield from self.read(most=_TURN, wait_s=_POLL_S)

    def close(self) -> None:
        with self._turn:
            self._next = {}
            self._consumer.close()


_PASSING = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})  # noqa: SLF001


@contextmanager
def _looking(settings: Settings, topics: Mapping[str, str]) -> Iterator[Onlooker]:
    """Closed once nobody reads any more: who asked may go away while a thread does."""
    onlooker = Onlooker(settings, topics)
    try:
        yield onlooker
    finally:
        asyncio.get_running_loop().run_in_executor(None, onlooker.close)


async def records(
    settings: Settings, topics: Mapping[str, str], wanted: Wanted, closing: asyncio.Event
) -> AsyncIterator[Sequence[Record]]:
    """In the order of each partition."""
    left = wanted.limit
    with _looking(settings, topics) as onlooker:
        await asyncio.to_thread(onlooker.begin, since_ms=wanted.since_ms, from_end=wanted.from_end)
        while (left is None or left > 0) and not closing.is_set():
            if onlooker.at_the_end and not wanted.follow:
                return
            found = await asyncio.to_thread(onlooker.read, most=_TURN, wait_s=_POLL_S)
            kept = [one for one in found if one.stamp.received_ms >= wanted.since_ms][:left]
            left = None if left is None else left - len(kept)
            if kept:
                yield kept


async def newest(
    settings: Settings,
    topics: Mapping[str, str],
    closing: asyncio.Event,
    *,
    most: int,
    every_s: float,
    at_most_s: float,
) -> AsyncIterator[tuple[int, Sequence[Record]]]:
    loop = asyncio.get_running_loop()
    with _looking(settings, topics) as onlooker:
        await asyncio.to_thread(onlooker.begin, from_end=True)
        yield 0, ()
        said_at = loop.time()
        while not closing.is_set():
            found = await asyncio.to_thread(onlooker.read, most=10 * _TURN, wait_s=every_s)
            if found or loop.time() - said_at > at_most_s:
                said_at = loop.time()
                yield max(0, len(found) - most), found[-most:]
