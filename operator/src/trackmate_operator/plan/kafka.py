"""
An affiliate's topics and users in Kafka, however they are made.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trackmate_contract.kafka_rights import Right, ingest_rights, pipeline_rights
from trackmate_contract.kafka_sizes import LARGEST_LETTER, largest_batch
from trackmate_contract.names import dead_letter_topic, topic
from trackmate_operator.settings import Topics
from trackmate_operator.tenant import Tenant

_DEAD_LETTERS_KEPT_MS = 90 * 24 * 3600 * 1000
_QUOTA_HEADROOM = 2  # what the affiliate may send, with retries and what compression does not save
_CATCH_UP = 10  # times what the affiliate may send, that a pipeline may read after an outage

INGEST = "ingest"


@dataclass(frozen=True)
class Topic:
    """One topic as it is to be."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]
    """By Kafka's own names; what is not in it is nobody's business."""


@dataclass(frozen=True)
class User:
    """One user that logs in by SCRAM-SHA-512, and all that it may do."""

    name: str
    rights: tuple[Right, ...]
    produce_bytes: int | None = None
    """A second and broker, at most; None is no limit."""
    consume_bytes: int | None = None


@dataclass(frozen=True)
class Wanted:
    """Everything of one affiliate in Kafka."""

    topics: tuple[Topic, ...]
    users: tuple[User, ...]


def ingest_user(affiliate: str) -> str:
    """
    Its name; injective with those of pipelines, as no affiliate's name has a dot.

    >>> ingest_user("acme"), pipeline_user("acme", "ingest")
    ('acme-ingest', 'acme.ingest')
    """
    return f"{affiliate}-{INGEST}"


def pipeline_user(affiliate: str, pipeline: str) -> str:
    return f"{affiliate}.{pipeline}"


def wanted(tenant: Tenant, topics: Topics) -> Wanted:
    """What is to be in Kafka for this affiliate."""
    spec, name, rate = tenant.spec, tenant.name, tenant.spec.ingest.limits.bytes_per_second
    streams = [stream.name for stream in spec.streams]
    return Wanted(
        (
            *(_stream(tenant, index, topics) for index in range(len(streams))),
            *(_dead_letters(name, one.name, topics) for one in tenant.pipelines),
        ),
        (
            User(
                ingest_user(name),
                ingest_rights(name, streams),
                produce_bytes=rate * _QUOTA_HEADROOM,
            ),
            *(
                User(
                    pipeline_user(name, one.name),
                    pipeline_rights(name, one.name, [one.spec.stream]),
                    produce_bytes=rate * _QUOTA_HEADROOM,
                    consume_bytes=rate * _CATCH_UP,
                )
                for one in tenant.pipelines
            ),
        ),
    )


def _stream(tenant: Tenant, index: int, topics: Topics) -> Topic:
    stream = tenant.spec.streams[index]
    return Topic(
        topic(tenant.name, stream.name),
        stream.partitions,
        topics.replicas,
        {
            **_kept_safe(topics),
            "retention.ms": str(stream.retention_s * 1000),
            "max.message.bytes": str(largest_batch(tenant.spec.ingest.limits.event_bytes)),
        },
    )


def _dead_letters(affiliate: str, pipeline: str, topics: Topics) -> Topic:
    """A log of its own that also says what became of each: one partition, in order."""
    return Topic(
        dead_letter_topic(affiliate, pipeline),
        1,
        topics.replicas,
        {
            **_kept_safe(topics),
            "retention.ms": str(_DEAD_LETTERS_KEPT_MS),
            "max.message.bytes": str(LARGEST_LETTER),
        },
    )


def _kept_safe(topics: Topics) -> dict[str, str]:
    """What the answer 200 rests on."""
    return {
        "cleanup.policy": "delete",
        "min.insync.replicas": str(topics.min_insync_replicas),
        "unclean.leader.election.enable": "false",
    }
