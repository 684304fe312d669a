"""
Every user that the operator made for three affiliates, with the password that it gave, against
every topic, every group and the cluster itself; also where one affiliate's name begins another's.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions as OfGroup
from confluent_kafka import Producer, TopicPartition

from kafka_broker import Cluster, kafka_brokers
from kafka_operating import Watched, access, wanted
from kafka_trying import ASKED_S, Attempts, Did, Who
from trackmate_operator.kafka.admin import Admin

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(300)]

AFFILIATES = ("acme", "acme-2", "globex")
STREAMS = {"events": 1, "events-2": 1}
PIPELINES = {"crm": "events", "bi": "events-2"}
TOPICS = [
    f"{a}.{name}" for a in AFFILIATES for name in (*STREAMS, *(f"{p}.dead" for p in PIPELINES))
]
GROUPS = [f"{a}.{p}{end}" for a in AFFILIATES for p in PIPELINES for end in ("", ".replay")]


class Given(NamedTuple):
    cluster: Cluster
    passwords: dict[str, str]
    """By user; the users of all affiliates."""


def allowed(user: str) -> set[Did]:
    """What a user must be able to do, and nothing else: written out beside the plan."""
    if user.endswith("-ingest"):
        affiliate = user.removesuffix("-ingest")
        streams = [f"{affiliate}.{stream}" for stream in STREAMS]
        return {*product(("produce", "describe", "read configs"), streams)}
    affiliate, _, pipeline = user.partition(".")
    stream, dead = f"{affiliate}.{PIPELINES[pipeline]}", f"{user}.dead"
    return {
        *product(("fetch", "describe"), (stream, dead)),
        ("produce", dead),
        *product(("join", "commit", "read offsets", "describe group"), (user, f"{user}.replay")),
    }


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    with kafka_brokers(secured=True) as cluster:
        made = asyncio.run(_made(cluster, tmp_path_factory.mktemp("operator")))
        producer = Producer(cluster.settings())
        for topic in TOPICS:
            producer.produce(topic, b"seed")
        assert producer.flush(30) == 0
        producer.close()
        admin = cluster.admin()
        for group in GROUPS:  # it is there once something is committed in it
            topic = f"{group.partition('.')[0]}.events"
            asked = admin.alter_consumer_group_offsets(
                [OfGroup(group, [TopicPartition(topic, 0, 0)])]
            )
            for done in asked.values():
                done.result(ASKED_S)
        yield Given(cluster, made)


async def _made(cluster: Cluster, folder: Path) -> dict[str, str]:
    admin = Admin(access(cluster, folder))
    passwords: dict[str, str] = {}
    for affiliate in AFFILIATES:
        what = wanted(affiliate, STREAMS, PIPELINES)
        kept = await Watched(admin).direct().keep(affiliate, f"id-{affiliate}", what, {})
        assert (kept.faults, kept.awaited) == ({}, {})
        passwords |= kept.passwords
    await admin.close()
    return passwords


def test_a_user_can_do_what_is_its_own_and_nothing_else(given: Given) -> None:
    def tried(user: str) -> set[Did]:
        affiliate = user.removesuffix("-ingest").partition(".")[0]
        own = max(name for did, name in allowed(user) if did == "describe")
        group = user if "." in user else f"{affiliate}.crm"
        victim = "globex.crm" if affiliate != "globex" else "acme.crm"
        settings = given.cluster.settings(user, given.passwords[user])
        who = Who(user, affiliate, own, group, victim)
        return Attempts(settings, who, TOPICS, GROUPS).done()

    users = sorted(given.passwords)
    assert len(users) == len(AFFILIATES) * (1 + len(PIPELINES))
    with ThreadPoolExecutor(len(users)) as together:
        found = dict(zip(users, together.map(tried, users), strict=True))
    assert {user: sorted(did) for user, did in found.items()} == {
        user: sorted(allowed(user)) for user in users
    }
