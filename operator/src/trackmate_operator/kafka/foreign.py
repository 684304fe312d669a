"""
Whether somebody else deletes what the operator would make: Strimzi's User Operator removes, every
two minutes, each user, ACL and quota that no KafkaUser asks for. Pure.
"""

from collections.abc import Iterable, Iterator

from trackmate_operator.tenant import Document


def user_operators(kafkas: Iterable[Document], cluster_id: str) -> Iterator[str]:
    """
    The Kafka resources, as namespace/name, whose User Operator works on the cluster of this id.

    >>> spec = {"entityOperator": {"userOperator": {}}}
    >>> kafka = {"metadata": {"namespace": "kafka", "name": "events"}, "spec": spec}
    >>> [*user_operators([{**kafka, "status": {"clusterId": "C1"}}], "C1")]
    ['kafka/events']
    >>> [*user_operators([{**kafka, "status": {"clusterId": "C2"}}], "C1")]
    []
    """
    for kafka in kafkas:
        operators = (kafka.get("spec") or {}).get("entityOperator") or {}
        if (
            operators.get("userOperator") is not None
            and (kafka.get("status") or {}).get("clusterId") == cluster_id
        ):
            yield f"{kafka['metadata']['namespace']}/{kafka['metadata']['name']}"
