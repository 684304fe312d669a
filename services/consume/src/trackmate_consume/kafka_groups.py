"""
What consumer groups have committed, asked from outside: nobody joins one to look at its books.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from trackmate_consume.kafka_positions import Position, from_metadata
from trackmate_consume.kafka_source import DEAD
from trackmate_consume.ledger import Place

_ASKED_S = 10.0


class Groups:
    """The groups of one affiliate. Blocks: call it on a thread."""

    def __init__(self, affiliate: str, settings: Callable[[], Mapping[str, Any]]) -> None:
        self._prefix = f"{affiliate}."
        self._settings = settings
        self._admin: AdminClient | None = None

    def positions(self, name: str) -> dict[Place, Position]:
        """What a group committed. Raises KafkaException, and Unreadable where it is not ours."""
        asked = [ConsumerGroupTopicPartitions(name)]
        found = self.admin.list_consumer_group_offsets(asked, request_timeout=_ASKED_S)
        positions = {}
        for one in found[name].result().topic_partitions:
            if one.error:
                raise KafkaException(one.error)
            if one.offset >= 0:
                place = self._stream(one.topic), one.partition
                positions[place] = from_metadata(one.offset, one.metadata or "")
        return positions

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The offsets behind the last records, by topic and partition."""
        return self._offsets(topics, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def beginnings(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The offsets of the oldest records that are kept."""
        return self._offsets(topics, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def _offsets(self, topics: Iterable[str], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        known = self.admin.list_topics(timeout=_ASKED_S).topics
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

    def _stream(self, topic: str) -> str:
        name = topic.removeprefix(self._prefix)
        return DEAD if name.endswith(".dead") else name

    @property
    def admin(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(dict(self._settings()))
        return self._admin
