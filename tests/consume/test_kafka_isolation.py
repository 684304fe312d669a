"""
Who may do what on a Kafka that asks for ACLs: every user of three affiliates against every topic,
every group and the cluster itself. What `kafka_rights` lists works, and all else is refused for
want of a right; also where one affiliate's name begins another's.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions as OfGroup
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_broker import Cluster, kafka_brokers
from kafka_reading import whole_topic
from kafka_trying import ASKED_S, Attempts, Did, Who
from kafka_users import grant, set_password
from trackmate_contract.kafka_rights import ingest_rights, pipeline_rights

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(300)]

AFFILIATES = ("acme", "acme-2", "globex")
STREAMS = ("events", "events-2")
READ_STREAM = "events"
PIPELINE = "crm"
PASSWORD = "secret"
TOPICS = [f"{a}.{name}" for a in AFFILIATES for name in (*STREAMS, f"{PIPELINE}.dead")]
GROUPS = [f"{a}.{name}" for a in AFFILIATES for name in (PIPELINE, f"{PIPELINE}.replay")]


class User(NamedTuple):
    """A Kafka user of an affiliate."""

    affiliate: str
    part: str
    """`ingest` or `consume`."""

    @property
    def name(self) -> str:
        return f"{self.affiliate}-{self.part}"

    @property
    def topic(self) -> str:
        """One that it may use in one way or the other."""
        return f"{self.affiliate}.{READ_STREAM}"


USERS = [User(*pair) for pair in product(AFFILIATES, ("ingest", "consume"))]


def allowed(user: User) -> set[Did]:
    """What a user must be able to do, and nothing else: written out beside `kafka_rights`."""
    affiliate = user.affiliate
    if user.part == "ingest":
        streams = [f"{affiliate}.{stream}" for stream in STREAMS]
        return {*product(("produce", "describe", "read configs"), streams)}
    dead = f"{affiliate}.{PIPELINE}.dead"
    groups = [group for group in GROUPS if group.startswith(f"{affiliate}.")]
    return {
        *product(("fetch", "describe"), (user.topic, dead)),
        ("produce", dead),
        *product(("join", "commit", "read offsets", "describe group"), groups),
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        cluster.create(*TOPICS, partitions=1)
        producer = Producer(cluster.settings())
        for topic in TOPICS:
            producer.produce(topic, b"seed")
        assert producer.flush(30) == 0
        producer.close()
        for affiliate in AFFILIATES:
            grant(cluster, f"{affiliate}-ingest", ingest_rights(affiliate, STREAMS))
            rights = pipeline_rights(affiliate, PIPELINE, [READ_STREAM])
            grant(cluster, f"{affiliate}-consume", rights)
        for user in USERS:
            set_password(cluster, user.name, PASSWORD)
        _commit_in_each(cluster)
        yield cluster


def _commit_in_each(cluster: Cluster) -> None:
    """A group is there once something is committed in it."""
    admin = cluster.admin()
    for group in GROUPS:
        topic = f"{group.partition('.')[0]}.{READ_STREAM}"
        [done] = admin.alter_consumer_group_offsets(
            [OfGroup(group, [TopicPartition(topic, 0, 0)])]
        ).values()
        done.result(ASKED_S)


def attempts(cluster: Cluster, user: User) -> Attempts:
    group = f"{user.affiliate}.{PIPELINE}"
    who = Who(user.name, user.affiliate, user.topic, group, "globex-ingest")
    return Attempts(cluster.settings(user.name, PASSWORD), who, TOPICS, GROUPS)


@pytest.fixture(scope="module")
def done(cluster: Cluster) -> dict[User, set[Did]]:
    with ThreadPoolExecutor(len(USERS)) as together:
        found = together.map(lambda user: attempts(cluster, user).done(), USERS)
        return dict(zip(USERS, found, strict=True))


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_a_user_can_do_what_is_its_own_and_nothing_else(
    done: dict[User, set[Did]], user: User
) -> None:
    assert sorted(done[user]) == sorted(allowed(user))


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_a_user_sees_no_name_of_another(
    cluster: Cluster, done: dict[User, set[Did]], user: User
) -> None:
    admin = AdminClient(cluster.settings(user.name, PASSWORD))
    topics = set(admin.list_topics(timeout=ASKED_S).topics)
    groups = {one.group_id for one in admin.list_consumer_groups().result(ASKED_S).valid}

    assert topics == {what for name, what in allowed(user) if name == "describe"}
    assert groups == {what for name, what in allowed(user) if name == "describe group"}


def test_what_was_refused_left_nothing(cluster: Cluster, done: dict[User, set[Did]]) -> None:
    """Every topic has what was there, and what those wrote who may."""
    for topic in TOPICS:
        found = whole_topic(cluster.settings(), topic, partitions=1)
        who = [one for one in USERS if ("produce", topic) in allowed(one)]
        wrote = [b"of %b" % one.name.encode() for one in who]
        assert sorted(message.value() or b"" for message in found) == sorted([b"seed", *wrote])
    there = cluster.admin().list_topics(timeout=ASKED_S).topics
    assert {name for name in there if name[0] != "_"} == set(TOPICS)
