"""
What consumer groups have committed, asked from outside: nobody joins one to look at its books.

By a consumer of the group, not by an AdminClient: with that, the answer of a coordinator that moves
ends the process (librdkafka 2.16, `rd_kafka_handle_OffsetFetch` on a client without a group).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from trackmate_consume.kafka_positions import Position, from_metadata
from trackmate_consume.kafka_reading import DEAD
from trackmate_consume.ledger import Place
from trackmate_consume.sink import Down
from trackmate_programs.kafka_topic_ids import url_safe

Answer = TypeVar("Answer")

_log = logging.getLogger("trackmate.kafka")

QUIET = {"log_level": 2}
"""Of an AdminClient: its faults are raised, and it cannot be given a logger."""

_ASKED_S = 10.0
_ASK_AGAIN_S = 0.1
_PATIENCE_S = 3.0
_MOVING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - it has no other name
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # one that was just made
    }
)


class Groups:
    """The groups of one affiliate. Blocks, and raises Down: call it on a thread."""

    def __init__(self, affiliate: str, settings: Callable[[], Mapping[str, Any]]) -> None:
        self._prefix = f"{affiliate}."
        self._settings = settings
        self._admin: AdminClient | None = None
        self._consumers: dict[str, Consumer] = {}
        self._turn = threading.Lock()

    def positions(self, name: str) -> dict[Place, Position]:
        """What a group committed. Raises Unreadable where it is not ours."""
        with self._turn:
            found = _patiently(lambda: self._committed(name))
        return {
            (self._stream(one.topic), one.partition): from_metadata(one.offset, one.metadata or "")
            for one in found
            if one.offset >= 0
        }

    def _committed(self, name: str) -> Sequence[TopicPartition]:
        asked = [
            TopicPartition(topic, number)
            for topic, known in self._known().topics.items()
            if topic.startswith(self._prefix)
            for number in known.partitions
        ]
        if not asked:
            return []
        found = self._consumer(name).committed(asked, timeout=_ASKED_S)
        for one in found:
            if one.error:
                raise KafkaException(one.error)
        return list(found)

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The offsets behind the last records, by topic and partition."""
        return self._offsets(topics, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def beginnings(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The offsets of the oldest records that are kept."""
        return self._offsets(topics, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def topic_id(self, topic: str) -> str:
        """One that is made again has another. It may name a file."""

        def ask() -> str:
            asked = self.admin.describe_topics(TopicCollection([topic]), request_timeout=_ASKED_S)
            return url_safe(str(asked[topic].result().topic_id))

        return _patiently(ask)

    def close(self) -> None:
        """Let go of the connections; they come back, with the settings of then, when needed."""
        with self._turn:
            self._admin = None
            for consumer in self._consumers.values():
                consumer.close()
            self._consumers.clear()

    def _offsets(self, topics: Iterable[str], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        wanted = list(topics)
        return _patiently(lambda: self._asked_offsets(wanted, spec))

    def _asked_offsets(self, topics: Sequence[str], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        known = self._known().topics
        asked = {
            TopicPartition(name, number): spec
            for name in topics
            if name in known
            for number in known[name].partitions
        }
        if not asked:
            return {}
        found = self.admin.list_offsets(asked, request_timeout=_ASKED_S)
        return {(one.topic, one.partition): answer.result().offset for one, answer in found.items()}

    def _known(self) -> ClusterMetadata:
        return self.admin.list_topics(timeout=_ASKED_S)

    def _stream(self, topic: str) -> str:
        name = topic.removeprefix(self._prefix)
        return DEAD if name.endswith(".dead") else name

    def _consumer(self, name: str) -> Consumer:
        if name not in self._consumers:
            settings = {
                **self._settings(),
                "group.id": name,
                "enable.auto.commit": False,
                "logger": _log,
            }
            self._consumers[name] = Consumer(settings)
        return self._consumers[name]

    @property
    def admin(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient({**self._settings(), **QUIET})
        return self._admin


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """What moves, or has just started, is asked again for a while. Raises Down."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException as fault:
            error = fault.args[0]
            if error.code() not in _MOVING or time.monotonic() > until:
                raise Down(f"Kafka could not be asked: {error.str()}") from None
            time.sleep(_ASK_AGAIN_S)
