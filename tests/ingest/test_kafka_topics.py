"""
Topics that break the promise are said with their cure; the brokers are asked as they are.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from kafka_broker import Cluster, kafka_brokers
from trackmate_ingest.kafka_topics import Asked, Topic, Unanswered, described, faults

GOOD = {
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
}
ASKED = Asked("acme", ["events"], 64 << 10)


def said(replicas: int = 3, *, relaxed: bool = False, **changed: str) -> list[str]:
    settings = GOOD | {name.replace("_", "."): value for name, value in changed.items()}
    asked = Asked("acme", ["events"], 64 << 10, relaxed)
    return faults(asked, {"acme.events": Topic(replicas, settings)})


def test_a_topic_that_keeps_the_promise_has_no_fault() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ({"replicas": 1}, "Topic 'acme.events' has 1 replica: it stops, or loses events, with"),
        ({"replicas": 2}, "Topic 'acme.events' has 2 replicas: it stops, or loses events, with"),
        ({"min_insync_replicas": "1"}, "Topic 'acme.events' has min.insync.replicas=1: an ackn"),
        ({"unclean_leader_election_enable": "true"}, "Topic 'acme.events' lets a broker lead"),
        ({"cleanup_policy": "compact,delete"}, "Topic 'acme.events' keeps only the last event"),
        ({"max_message_bytes": "1000"}, "Topic 'acme.events' takes batches of 1000 bytes at mos"),
    ],
)
def test_a_topic_that_breaks_the_promise_is_said_with_its_cure(
    topic: dict[str, Any], told: str
) -> None:
    [found] = said(**topic)

    assert found.startswith(told)
    assert "set" in found or "give it" in found


def test_all_faults_are_said_at_once() -> None:
    assert len(said(1, min_insync_replicas="1", cleanup_policy="compact")) == 3


def test_development_on_one_broker_is_let_through_but_for_what_drops_events() -> None:
    assert said(1, relaxed=True, min_insync_replicas="1") == []
    assert len(said(1, relaxed=True, cleanup_policy="compact")) == 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        cluster.create("acme.events", max_message_bytes="2000")
        yield cluster


@pytest.mark.needs("kafka")
def test_the_brokers_are_asked_as_they_are(cluster: Cluster) -> None:
    there = asyncio.run(described(cluster.admin(), ["acme.events", "acme.images"]))

    assert list(there) == ["acme.events"]
    assert there["acme.events"].replicas == 1
    assert there["acme.events"].settings["max.message.bytes"] == "2000"
    asked = Asked("acme", ["events", "images"], 64 << 10)
    assert [one.split(": ")[0].split(", and")[0] for one in faults(asked, there)] == [
        "Topic 'acme.events' has 1 replica",
        "Topic 'acme.events' has min.insync.replicas=1",
        "Topic 'acme.events' takes batches of 2000 bytes at most",
        "Kafka has no topic 'acme.images'; make it with 3 replicas and min.insync.replicas=2.",
    ]


def test_brokers_that_do_not_answer_are_said() -> None:
    admin = AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})

    with pytest.raises(Unanswered, match="Kafka could not be asked about its topics: "):
        asyncio.run(described(admin, ["acme.events"]))
