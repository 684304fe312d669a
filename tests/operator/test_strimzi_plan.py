"""
The KafkaTopics and KafkaUsers of an affiliate, whole: what Strimzi reads is what is written here.
"""

from tenants import tenant
from trackmate_operator.plan.kafka import wanted
from trackmate_operator.plan.strimzi import resources
from trackmate_operator.settings import Strimzi, Topics

STRIMZI = Strimzi(cluster="events", namespace="kafka")
METADATA = {
    "namespace": "kafka",
    "labels": {
        "trackmate.io/affiliate": "acme",
        "app.kubernetes.io/managed-by": "trackmate-operator",
        "strimzi.io/cluster": "events",
    },
}


def test_an_affiliate_with_one_pipeline() -> None:
    found = {
        (one["kind"], one["metadata"]["name"]): one
        for one in resources("acme", wanted(tenant(pipelines=("crm",)), Topics()), STRIMZI)
    }
    assert [*found] == [
        ("KafkaTopic", "acme.events"),
        ("KafkaTopic", "acme.crm.dead"),
        ("KafkaUser", "acme-ingest"),
        ("KafkaUser", "acme.crm"),
    ]
    topic = found["KafkaTopic", "acme.events"]
    assert topic["apiVersion"] == "kafka.strimzi.io/v1"
    assert topic["metadata"] == {"name": "acme.events", **METADATA}
    assert topic["spec"]["replicas"] == 3
    assert topic["spec"]["config"]["min.insync.replicas"] == "2"
    user = found["KafkaUser", "acme-ingest"]
    assert user["metadata"] == {"name": "acme-ingest", **METADATA}
    assert user["spec"]["authentication"] == {"type": "scram-sha-512"}
    assert user["spec"]["authorization"] == {
        "type": "simple",
        "acls": [
            {
                "type": "allow",
                "resource": {"type": "topic", "name": "acme.events", "patternType": "literal"},
                "operations": ["Write", "Describe", "DescribeConfigs"],
                "host": "*",
            }
        ],
    }
    assert [*user["spec"]["quotas"]] == ["producerByteRate"]
    pipeline = found["KafkaUser", "acme.crm"]
    assert sorted(pipeline["spec"]["quotas"]) == ["consumerByteRate", "producerByteRate"]
    assert {
        (acl["resource"]["type"], acl["resource"]["name"])
        for acl in pipeline["spec"]["authorization"]["acls"]
    } == {
        ("topic", "acme.events"),
        ("topic", "acme.crm.dead"),
        ("group", "acme.crm"),
        ("group", "acme.crm.replay"),
    }
    every = [
        acl
        for one in found.values()
        for acl in one["spec"].get("authorization", {}).get("acls", [])
    ]
    assert {acl["resource"]["patternType"] for acl in every} == {"literal"}
