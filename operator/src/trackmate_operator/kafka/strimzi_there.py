"""
Whether there is a Strimzi that makes topics and users where the settings say.
"""

from collections.abc import Iterator

from trackmate_operator.cluster import Cluster
from trackmate_operator.kinds import CRD, KAFKA, KAFKA_TOPIC, KAFKA_USER, Ref, serves
from trackmate_operator.settings import Strimzi
from trackmate_operator.tenant import Document

_OPERATORS = {"topicOperator": "topics", "userOperator": "users"}


async def what_is_missing(cluster: Cluster, strimzi: Strimzi) -> list[str]:
    """A sentence each, with the cure. Raises Unanswered and Denied."""
    unknown = []
    for kind in (KAFKA, KAFKA_TOPIC, KAFKA_USER):
        found = await cluster.get(Ref(CRD, kind.resource))
        if found is None or not serves(found, kind):
            unknown.append(
                f"The API server does not know {kind.resource} in version {kind.version}; "
                "install Strimzi 0.49 or newer."
            )
    if unknown:
        return unknown
    kafka = await cluster.get(Ref(KAFKA, strimzi.cluster, strimzi.namespace))
    return [*unfit(kafka, strimzi)]


def unfit(kafka: Document | None, strimzi: Strimzi) -> Iterator[str]:
    """
    Why the operators of this Kafka resource do nothing for us.

    >>> [*unfit(None, Strimzi(cluster="events", namespace="kafka"))]
    ["There is no Kafka 'events' in namespace kafka; apply it, or name another in the setting \
strimzi."]
    """
    where = f"Kafka {strimzi.cluster!r} in namespace {strimzi.namespace}"
    if kafka is None:
        yield f"There is no {where}; apply it, or name another in the setting strimzi."
        return
    operators = (kafka.get("spec") or {}).get("entityOperator") or {}
    for name, what in _OPERATORS.items():
        if operators.get(name) is None:
            yield f"{where} has nobody who makes {what}; add spec.entityOperator.{name} to it."


def elsewhere(kafka: Document | None, cluster_id: str, strimzi: Strimzi) -> Iterator[str]:
    """Whether the operator reaches another Kafka than the one that the resource stands for."""
    found = ((kafka or {}).get("status") or {}).get("clusterId", cluster_id)
    if found != cluster_id:
        yield (
            f"The setting kafka.bootstrapServers leads to the cluster {cluster_id!r}, and Kafka "
            f"{strimzi.cluster!r} in namespace {strimzi.namespace} is {found!r}; name the servers "
            "of that one."
        )


def secret_of(kafka: Document | None, user: str) -> str:
    """
    The name of the Secret that a user gets.

    >>> prefixed = {"entityOperator": {"userOperator": {"secretPrefix": "kafka-"}}}
    >>> secret_of({"spec": prefixed}, "acme-ingest")
    'kafka-acme-ingest'
    """
    operators = ((kafka or {}).get("spec") or {}).get("entityOperator") or {}
    return f"{(operators.get('userOperator') or {}).get('secretPrefix', '')}{user}"
