"""
The topics of the affiliates in development: made where they are missing, grown where the manifest
asks for more partitions, and else left as they are.
"""

from collections.abc import Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewPartitions, NewTopic

from trackmate.backbone import Unready
from trackmate_consume.kafka_groups import QUIET
from trackmate_contract.affiliate import Affiliate, Stream
from trackmate_contract.kafka_sizes import LARGEST_LETTER, largest_batch
from trackmate_contract.names import dead_letter_topic, topic

_ASKED_S = 10.0
_MOST_REPLICAS = 3
_LETTERS_KEPT_MS = 90 * 24 * 3600 * 1000


class Topics:
    """Those of one cluster. Blocks, and raises Unready: call it on a thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})

    def carry(self, affiliate: Affiliate) -> int:
        """Make or grow the topics of its streams; return how many replicas one can have here."""
        known = self._known()
        event_bytes = affiliate.spec.ingest.limits.event_bytes
        for stream in affiliate.spec.streams:
            name = topic(affiliate.name, stream.name)
            self._make(known, name, stream.partitions, _config(stream, event_bytes))
        return _replicas(known)

    def streams(self, affiliate: str) -> set[str]:
        """Those that have a topic."""
        parts = [name.split(".") for name in self._known().topics]
        return {part[1] for part in parts if part[0] == affiliate and len(part) == 2}  # noqa: PLR2004 - dead letters have three

    def carry_letters(self, affiliate: str, pipeline: str) -> None:
        """Make the topic of a pipeline's dead letters."""
        config = {"retention.ms": str(_LETTERS_KEPT_MS), "max.message.bytes": str(LARGEST_LETTER)}
        self._make(self._known(), dead_letter_topic(affiliate, pipeline), 1, config)

    def _known(self) -> ClusterMetadata:
        try:
            return self._admin.list_topics(timeout=_ASKED_S)
        except KafkaException as fault:
            raise Unready(
                f"Kafka at {self._bootstrap!r} does not answer ({fault.args[0].str()}); start it, "
                "or give --kafka the address of one that runs"
            ) from None

    def _make(
        self, known: ClusterMetadata, name: str, partitions: int, config: Mapping[str, str]
    ) -> None:
        there, replicas = known.topics.get(name), _replicas(known)
        try:
            if there is None:
                least = {"min.insync.replicas": str(max(1, replicas - 1))}
                asked = NewTopic(name, partitions, replicas, config={**config, **least})
                self._admin.create_topics([asked])[name].result(_ASKED_S)
            elif len(there.partitions) < partitions:
                grown = NewPartitions(name, partitions)
                self._admin.create_partitions([grown])[name].result(_ASKED_S)
        except KafkaException as fault:
            raise Unready(f"Kafka did not make the topic {name!r}: {fault.args[0].str()}") from None


def _replicas(known: ClusterMetadata) -> int:
    """How many a topic can have, at most three."""
    return min(_MOST_REPLICAS, len(known.brokers))


def _config(stream: Stream, event_bytes: int) -> dict[str, str]:
    return {
        "retention.ms": str(stream.retention_s * 1000),
        "max.message.bytes": str(largest_batch(event_bytes)),
    }
