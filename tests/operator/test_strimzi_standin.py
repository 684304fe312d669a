"""
What Trackmate relies on of Strimzi's operators, case by case: with the stand-in, and by `make
verify-strimzi` with the real ones.
"""

import json
import secrets
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from kafka_broker import Cluster
from kafka_users import set_password
from operating import topics, users
from strimzi_reached import Reached, strimzi_reached
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(400)]

MANAGED = "strimzi.io/managed"
PAUSED = "strimzi.io/pause-reconciliation"


@pytest.fixture(scope="module")
def at() -> Iterator[Reached]:
    with strimzi_reached() as found:
        yield found


@pytest.fixture
def made(at: Reached) -> Iterator[Callable[[dict[str, Any]], str]]:
    """Applies KafkaTopics and KafkaUsers, which are gone afterwards."""
    there: list[tuple[str, str]] = []

    def make(document: dict[str, Any]) -> str:
        name: str = document["metadata"]["name"]
        at.plane.apply(document)
        there.append((document["kind"].lower(), name))
        return name

    yield make
    for kind, name in there:
        at.plane.kubectl("delete", kind, name, "-n", at.namespace, "--ignore-not-found")


Make = Callable[[dict[str, Any]], str]


def fresh(what: str) -> str:
    return f"verify-{what}-{secrets.token_hex(3)}"


def config(kafka: Cluster, topic: str) -> dict[str, str]:
    admin = kafka.admin()
    [found] = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in found.result(timeout=20).items()}


def logs_in(kafka: Cluster, user: str, password: str) -> bool:
    admin = AdminClient({**kafka.settings(user, password), "log_level": 0})
    try:
        admin.list_topics(timeout=3)
    except KafkaException:
        return False
    return True


def secret(at: Reached, name: str) -> dict[str, str]:
    found = at.read("secret", name)
    return {key: b64decode(text).decode() for key, text in found["data"].items()} if found else {}


# topics


def test_a_topic_is_made_and_named_with_its_id(at: Reached, made: Make) -> None:
    name = made(at.topic(fresh("made"), partitions=2, config={"retention.ms": "60000"}))
    at.wait_for("kafkatopic", name, "Ready")
    found = at.read("kafkatopic", name)
    assert found["metadata"]["finalizers"] == ["strimzi.io/topic-operator"]
    assert found["status"]["topicName"] == name
    assert found["status"]["topicId"]
    assert config(at.kafka, name)["retention.ms"] == "60000"


def test_partitions_are_added_and_none_is_taken_away_but_all_else_is_done(
    at: Reached, made: Make
) -> None:
    name = made(at.topic(fresh("grown")))
    made(at.topic(name, partitions=3))
    at.wait_for("kafkatopic", name, "Ready")
    assert len(at.kafka.admin().list_topics(timeout=10).topics[name].partitions) == 3

    made(at.topic(name, partitions=2, config={"retention.ms": "60000"}))

    said = at.wait_for("kafkatopic", name, "Ready", "False")
    assert said == ("NotSupported", "Decreasing partitions not supported")
    assert config(at.kafka, name)["retention.ms"] == "60000"


def test_replicas_are_not_changed(at: Reached, made: Make) -> None:
    name = made(at.topic(fresh("replicas")))
    at.wait_for("kafkatopic", name, "Ready")
    made(at.topic(name, replicas=2))
    reason, message = at.wait_for("kafkatopic", name, "Ready", "False")
    assert reason == "NotSupported"
    assert message.startswith("Replication factor change not supported")


def test_of_two_for_one_topic_the_older_has_it(at: Reached, made: Make) -> None:
    name = made(at.topic(fresh("older")))
    at.wait_for("kafkatopic", name, "Ready")
    other = made(at.topic(fresh("newer"), topicName=name))
    reason, message = at.wait_for("kafkatopic", other, "Ready", "False")
    assert reason == "ResourceConflict"
    assert name in message


def test_what_kafka_refuses_is_told(at: Reached, made: Make) -> None:
    name = made(at.topic(fresh("refused"), config={"cleanup.policy": "burn"}))
    reason, _ = at.wait_for("kafkatopic", name, "Ready", "False")
    assert reason == "KafkaError"


def test_a_deleted_topic_takes_its_data_along(at: Reached, made: Make) -> None:
    name = made(at.topic(fresh("deleted")))
    at.wait_for("kafkatopic", name, "Ready")
    at.delete("kafkatopic", name)
    assert name not in topics(at.kafka)


def test_a_topic_that_was_let_go_of_stays_when_its_resource_is_deleted(
    at: Reached, made: Make
) -> None:
    name = made(at.topic(fresh("kept")))
    at.wait_for("kafkatopic", name, "Ready")
    at.annotate("kafkatopic", name, f"{MANAGED}=false")
    at.wait_for("kafkatopic", name, "Unmanaged")
    assert [*at.conditions("kafkatopic", name)] == ["Unmanaged"]
    assert "topicId" not in at.read("kafkatopic", name)["status"]
    at.delete("kafkatopic", name)
    assert name in topics(at.kafka)
    made(at.topic(name))
    at.wait_for("kafkatopic", name, "Ready")


@pytest.mark.parametrize("kind", ["topic", "user"])
def test_what_is_paused_is_neither_ready_nor_not(at: Reached, made: Make, kind: str) -> None:
    name = made(at.topic(fresh("paused")) if kind == "topic" else at.user(fresh("paused")))
    at.wait_for(f"kafka{kind}", name, "Ready")
    at.annotate(f"kafka{kind}", name, f"{PAUSED}=true")
    at.wait_for(f"kafka{kind}", name, "ReconciliationPaused")
    assert [*at.conditions(f"kafka{kind}", name)] == ["ReconciliationPaused"]


@pytest.mark.parametrize(
    ("kind", "spec", "sentence"),
    [
        ("topic", {"partitions": 0}, "spec.partitions"),
        ("topic", {"replicas": 40000}, "spec.replicas"),
        ("user", {"authentication": {"type": "plain"}}, "spec.authentication.type"),
        ("user", {"authorization": {"type": "simple"}}, "spec.authorization.acls"),
        ("user", {"quotas": {"producerByteRate": -1}}, "spec.quotas.producerByteRate"),
    ],
)
def test_the_schema_refuses(at: Reached, kind: str, spec: dict[str, Any], sentence: str) -> None:
    document = (at.topic if kind == "topic" else at.user)(fresh("odd"), **spec)
    said = at.plane.refused("apply", "--server-side", "-f", "-", input=json.dumps(document))
    assert sentence in said


# users


def test_a_user_gets_a_secret_with_what_it_logs_in_with(at: Reached, made: Make) -> None:
    name = made(at.user(fresh("user"), template={"secret": {"metadata": {"labels": {"a": "b"}}}}))
    at.wait_for("kafkauser", name, "Ready")
    status = at.read("kafkauser", name)["status"]
    assert (status["username"], status["secret"]) == (name, name)
    metadata = at.read("secret", name)["metadata"]
    assert metadata["labels"]["strimzi.io/kind"] == "KafkaUser"
    assert metadata["labels"]["a"] == "b"
    [owner] = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("KafkaUser", name)
    held = secret(at, name)
    assert {*held} == {"password", "sasl.jaas.config"}
    wait_until(lambda: logs_in(at.kafka, name, held["password"]), "it logs in")


def test_a_password_lives_as_long_as_its_secret(at: Reached, made: Make) -> None:
    name = made(at.user(fresh("password")))
    at.wait_for("kafkauser", name, "Ready")
    first = secret(at, name)["password"]
    made(at.user(name, quotas={"consumerByteRate": 1 << 20}))
    at.wait_for("kafkauser", name, "Ready")
    assert secret(at, name)["password"] == first

    at.delete("secret", name)

    wait_until(
        lambda: secret(at, name).get("password", first) != first,
        "there is another password",
        seconds=at.answered_s,
    )
    second = secret(at, name)["password"]
    wait_until(lambda: logs_in(at.kafka, name, second), "it logs in", seconds=at.answered_s)
    assert not logs_in(at.kafka, name, first)


def test_a_deleted_user_logs_in_no_more(at: Reached, made: Make) -> None:
    name = made(at.user(fresh("gone"), topic="anything"))
    at.wait_for("kafkauser", name, "Ready")
    at.delete("kafkauser", name)
    wait_until(lambda: name not in users(at.kafka), "it is gone", seconds=at.answered_s)
    wait_until(lambda: at.read("secret", name) is None, "so is its Secret", seconds=at.answered_s)


def test_a_user_that_no_kafkauser_asks_for_is_removed(at: Reached) -> None:
    """Why the operator never makes users itself beside a User Operator."""
    name = fresh("stray")
    set_password(at.kafka, name, "a password of its own")
    wait_until(lambda: name not in users(at.kafka), "it is removed", seconds=at.answered_s)


def test_a_copied_secret_is_removed_where_it_kept_strimzis_labels(at: Reached, made: Make) -> None:
    """Why the copies of the operator carry none."""
    name = made(at.user(fresh("origin")))
    at.wait_for("kafkauser", name, "Ready")
    labels = at.read("secret", name)["metadata"]["labels"]
    strimzis = {key: value for key, value in labels.items() if key.startswith("strimzi.io/")}
    copy, plain = f"{name}-copy", f"{name}-plain"
    for one in (copy, plain):
        at.plane.kubectl("create", "secret", "generic", one, "-n", at.namespace)
    words = [f"{key}={value}" for key, value in strimzis.items()]
    at.plane.kubectl("label", "secret", copy, "-n", at.namespace, *words)
    wait_until(lambda: at.read("secret", copy) is None, "it is removed", seconds=at.answered_s)
    assert at.read("secret", plain) is not None
    at.delete("secret", plain)
