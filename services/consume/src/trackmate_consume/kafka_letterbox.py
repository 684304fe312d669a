"""
Reads a pipeline's dead-letter topic: what waits in it, and the letters themselves. Nothing is held
open between two looks: most pipelines have no dead letters, and an open reader costs threads.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from trackmate_consume.kafka_letters import from_dead, in_words, read_dead
from trackmate_consume.kafka_records import headers_of
from trackmate_consume.letterbox import Answered, Letterbox, Waiting
from trackmate_consume.letters import Kept
from trackmate_consume.sink import Down
from trackmate_contract.names import dead_letter_topic, group

_log = logging.getLogger("trackmate.kafka")

_ASKED_S = 10.0
_TURN = 1000  # records

Settings = Callable[[], Mapping[str, Any]]
"""Of librdkafka, with the credentials of the moment."""


class Unread(Down):
    """The brokers did not give the topic to its end."""


class KafkaLetterbox:
    """The letters of one pipeline. Blocks, and raises Unread: call it on a thread."""

    def __init__(self, affiliate: str, pipeline: str, settings: Settings) -> None:
        self.topic = dead_letter_topic(affiliate, pipeline)
        self._group = group(affiliate, pipeline)
        self._settings = settings
        self._box = Letterbox()
        self._turn = threading.Lock()
        self.lost = False
        """Whether retention has taken records: what waits is then fewer than what the books say."""

    @contextmanager
    def read(self, until: int | None = None) -> Iterator[Letterbox]:
        """
        The state up to an offset, or to the end of now; nobody reads on while it is looked at.
        Raises Unread.
        """
        with self._turn:
            if until is None or until > self._box.next:
                with self._opened() as consumer:
                    self._read_on(consumer, until)
            yield self._box

    def end(self) -> int:
        """The offset that the next record will have. Raises Unread."""
        with self._opened() as consumer:
            return self._edges(consumer)[1]

    def letters(self, *, after: int = 0, most: int = 100) -> list[Kept]:
        """Those that wait now, in the order of being put aside, behind a number."""
        with self.read() as box:
            waiting = sorted(
                (letter for letter in box.waiting.values() if letter.number > after),
                key=lambda letter: letter.number,
            )[:most]
        return self._fetch(waiting)

    def letter(self, number: int) -> Kept | None:
        """The one that waits now under this number."""
        found = self.letters(after=number - 1, most=1)
        return found[0] if found and found[0].number == number else None

    def _fetch(self, waiting: Sequence[Waiting]) -> list[Kept]:
        if not waiting:
            return []
        wanted = {letter.number: letter for letter in waiting}
        found: list[Kept] = []
        with self._opened() as consumer:
            for message in self._messages(consumer, waiting[0].number - 1, waiting[-1].number):
                number = (message.offset() or 0) + 1
                if number in wanted:
                    letter = from_dead(message.value() or b"", headers_of(message))
                    letter = letter._replace(attempts=wanted[number].attempts)
                    found.append(Kept(number, letter, message.timestamp()[1]))
        return found

    def _read_on(self, consumer: Consumer, until: int | None) -> None:
        low, high = self._edges(consumer)
        self.lost = self.lost or low > 0
        self._box.next = max(self._box.next, low)
        until = high if until is None else min(until, high)
        for message in self._messages(consumer, self._box.next, until):
            number = (message.offset() or 0) + 1
            self._fold(number, message)
            self._box.next = number

    def _fold(self, number: int, message: Message) -> None:
        try:
            origin, said = read_dead(number, message.key() or b"", headers_of(message))
        except (KeyError, ValueError):
            return  # somebody else's; there is nothing to send again
        if isinstance(said, Answered):
            self._box.answer(origin, said)
        else:
            self._box.put(origin, said)

    def _messages(self, consumer: Consumer, first: int, until: int) -> Iterator[Message]:
        """Those of the numbers from `first` on, up to `until`, which is there."""
        if first >= until:
            return
        consumer.assign([TopicPartition(self.topic, 0, first)])
        at = first
        while at < until:
            messages = consumer.consume(min(_TURN, until - at), _ASKED_S)  # waits for all of them
            if not messages:
                raise Unread(f"Kafka did not give {self.topic} from {at} on, in {_ASKED_S:.0f} s")
            for message in messages:
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
                at = (message.offset() or 0) + 1
                if at <= until:
                    yield message

    def _edges(self, consumer: Consumer) -> tuple[int, int]:
        place = TopicPartition(self.topic, 0, OFFSET_BEGINNING)
        low, high = consumer.get_watermark_offsets(place, timeout=_ASKED_S)
        return low, high

    @contextmanager
    def _opened(self) -> Iterator[Consumer]:
        settings = {
            **self._settings(),
            "group.id": self._group,  # which it may ask about, and does not join
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "check.crcs": True,
            "logger": _log,
        }
        try:
            with closing(Consumer(settings)) as consumer:
                yield consumer
        except KafkaException as fault:
            said = in_words(fault.args[0], self.topic)
            raise Unread(f"the dead letters of {self.topic!r} cannot be read: {said}") from None
