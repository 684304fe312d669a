"""
An affiliate's topics and users as Strimzi's resources: what its operators make of them is theirs.
"""

from collections.abc import Iterator

from trackmate_contract.kafka_rights import Right
from trackmate_operator.kinds import KAFKA_TOPIC, KAFKA_USER
from trackmate_operator.plan.kafka import Topic, User, Wanted
from trackmate_operator.plan.objects import AFFILIATE, made
from trackmate_operator.settings import Strimzi
from trackmate_operator.tenant import Document

CLUSTER = "strimzi.io/cluster"
"""The label by which the operators of one Kafka resource know what is theirs."""

_KINDS = {"Topic": "topic", "Group": "group"}


def resources(affiliate: str, wanted: Wanted, strimzi: Strimzi) -> Iterator[Document]:
    """All KafkaTopics and KafkaUsers of the affiliate, beside the Kafka resource."""
    for topic in wanted.topics:
        yield _topic(affiliate, topic, strimzi)
    for user in wanted.users:
        yield _user(affiliate, user, strimzi)


def _topic(affiliate: str, topic: Topic, strimzi: Strimzi) -> Document:
    return made(
        KAFKA_TOPIC.api_version,
        KAFKA_TOPIC.kind,
        topic.name,
        affiliate=affiliate,
        namespace=strimzi.namespace,
        labels={CLUSTER: strimzi.cluster},
        spec={
            "partitions": topic.partitions,
            "replicas": topic.replicas,
            "config": dict(topic.config),
        },
    )


def _user(affiliate: str, user: User, strimzi: Strimzi) -> Document:
    """Its Secret carries the affiliate's label, so that a change of it is seen."""
    quotas = {"producerByteRate": user.produce_bytes, "consumerByteRate": user.consume_bytes}
    limits = {name: rate for name, rate in quotas.items() if rate is not None}
    return made(
        KAFKA_USER.api_version,
        KAFKA_USER.kind,
        user.name,
        affiliate=affiliate,
        namespace=strimzi.namespace,
        labels={CLUSTER: strimzi.cluster},
        spec={
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": [_acl(right) for right in user.rights]},
            **({"quotas": limits} if limits else {}),
            "template": {"secret": {"metadata": {"labels": {AFFILIATE: affiliate}}}},
        },
    )


def _acl(right: Right) -> Document:
    return {
        "type": "allow",
        "resource": {
            "type": _KINDS[right.resource],
            "name": right.name,
            "patternType": "literal",
        },
        "operations": [*right.operations],
        "host": "*",
    }
