"""
Who may do what on a Kafka that asks for ACLs: every user of three affiliates against every topic,
every group and the cluster itself. What `kafka_rights` lists works, and all else is refused for
want of a right; also where one affiliate's name begins another's.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import pytest
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import ConsumerGroupTopicPartitions as OfGroup
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from kafka_broker import Cluster, kafka_brokers
from kafka_reading import whole_topic
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
_ASKED_S = 20.0
_SOON_S = 3.0
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)

_NO_RIGHT = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


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
Did = tuple[str, str]


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
        done.result(_ASKED_S)


class Attempts:
    """All that a user tries."""

    def __init__(self, cluster: Cluster, user: User) -> None:
        self.user = user
        self.settings = cluster.settings(user.name, PASSWORD) | {"log_level": 0}
        self.admin = AdminClient(self.settings)
        self.topics: dict[str, Callable[[str], None]] = {
            "produce": self.produce,
            "fetch": self.fetch,
            "describe": self.describe,
            "read configs": self.read_configs,
            "change configs": self.change_configs,
            "add partitions": self.add_partitions,
            "delete records": self.delete_records,
            "delete": self.delete,
        }
        self.groups: dict[str, Callable[[str], None]] = {
            "join": self.join,
            "commit": self.commit,
            "read offsets": self.read_offsets,
            "describe group": self.describe_group,
            "delete group": self.delete_group,
        }
        self.others: dict[str, Callable[[], None]] = {
            "create a topic of its own": partial(self.create, f"{user.affiliate}.new"),
            "create another's topic": partial(self.create, "elsewhere.new"),
            "list rights": self.list_rights,
            "give rights": self.give_rights,
            "change a password": self.change_password,
            "read a broker's configs": self.read_broker,
        }

    def done(self) -> set[Did]:
        """What was not refused; whatever else went wrong is raised."""
        tries: dict[Did, Callable[[], None]] = {
            (name, ""): work for name, work in self.others.items()
        }
        for kind, names in ((self.topics, TOPICS), (self.groups, GROUPS)):
            tries |= {(name, on): partial(kind[name], on) for name, on in product(kind, names)}
        return {tried for tried, work in tries.items() if _works(work)}

    # topics

    def produce(self, topic: str) -> None:
        errors: list[KafkaError | None] = []
        producer = Producer({**self.settings, "enable.idempotence": True})
        value = b"of %b" % self.user.name.encode()
        producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error))
        producer.flush(_ASKED_S)
        producer.close()
        [error] = errors
        _raise(error)

    def fetch(self, topic: str) -> None:
        """The client waits for ever for a topic that it may not ask about."""
        self.describe(topic)
        consumer = Consumer({**self.settings, "group.id": f"{self.user.affiliate}.{PIPELINE}"})
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            _poll_until(consumer, lambda message: message.error() is None)
        finally:
            consumer.close()

    def describe(self, topic: str) -> None:
        _raise(self.admin.list_topics(topic, timeout=_ASKED_S).topics[topic].error)

    def read_configs(self, topic: str) -> None:
        self._of_resource(ResourceType.TOPIC, topic)

    def change_configs(self, topic: str) -> None:
        change = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
        _result(self.admin.incremental_alter_configs([resource]))

    def add_partitions(self, topic: str) -> None:
        _result(self.admin.create_partitions([NewPartitions(topic, 9)]))

    def delete_records(self, topic: str) -> None:
        """The client asks who leads it first, and is told of no such topic."""
        try:
            _result(self.admin.delete_records([TopicPartition(topic, 0, 1)]))
        except KafkaException as fault:
            unseen = fault.args[0].code() == KafkaError._NOENT  # noqa: SLF001
            raise KafkaException(_NO_RIGHT) if unseen else fault from None

    def delete(self, topic: str) -> None:
        _result(self.admin.delete_topics([topic]))

    # groups

    def join(self, group: str) -> None:
        consumer = Consumer({**self.settings, "group.id": group, "session.timeout.ms": 6000})
        joined: list[object] = []
        try:
            consumer.subscribe([self.user.topic], on_assign=lambda *_: joined.append(True))
            _poll_until(consumer, lambda _: False, lambda: bool(joined))
        finally:
            consumer.close()

    def commit(self, group: str) -> None:
        offsets = [TopicPartition(self.user.topic, 0, 0)]
        _result(self.admin.alter_consumer_group_offsets([OfGroup(group, offsets)]))

    def read_offsets(self, group: str) -> None:
        """By a consumer: see `kafka_groups` on what an AdminClient makes of a refusal."""
        consumer = Consumer({**self.settings, "group.id": group})
        try:
            [found] = consumer.committed([TopicPartition(self.user.topic, 0)], timeout=_SOON_S)
            _raise(found.error)
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError._TIMED_OUT:  # noqa: SLF001 - it has no other name
                raise
            _poll_until(consumer, lambda _: False)  # it waits for a coordinator, and says why there
        finally:
            consumer.close()

    def describe_group(self, group: str) -> None:
        _result(self.admin.describe_consumer_groups([group]))

    def delete_group(self, group: str) -> None:
        _result(self.admin.delete_consumer_groups([group]))

    # the cluster

    def create(self, topic: str) -> None:
        _result(self.admin.create_topics([NewTopic(topic, 1, 1)]))

    def list_rights(self) -> None:
        literal, anything = ResourcePatternType.ANY, AclPermissionType.ANY
        anyone: Any = None
        every = AclBindingFilter(
            ResourceType.ANY, anyone, literal, anyone, anyone, AclOperation.ANY, anything
        )
        if not self.admin.describe_acls(every).result(_ASKED_S):  # it makes none of a refusal
            raise KafkaException(_NO_RIGHT)

    def give_rights(self) -> None:
        literal, may = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
        name = f"User:{self.user.name}"
        binding = AclBinding(ResourceType.TOPIC, "*", literal, name, "*", AclOperation.ALL, may)
        _result(self.admin.create_acls([binding]))

    def change_password(self) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion("globex-ingest", info, b"stolen")
        _result(self.admin.alter_user_scram_credentials([change]))

    def read_broker(self) -> None:
        self._of_resource(ResourceType.BROKER, "0")

    def _of_resource(self, kind: ResourceType, name: str) -> None:
        _result(self.admin.describe_configs([ConfigResource(kind, name)]))


def _works(work: Callable[[], None]) -> bool:
    try:
        work()
    except KafkaException as fault:
        if fault.args[0].code() not in _DENIED:
            raise
        return False
    return True


def _result(futures: dict[Any, Any]) -> Any:
    [future] = futures.values()
    return future.result(_ASKED_S)


def _raise(error: KafkaError | None) -> None:
    if error is not None:
        raise KafkaException(error)


def _poll_until(
    consumer: Consumer,
    enough: Callable[[Any], bool],
    joined: Callable[[], bool] = lambda: False,
) -> None:
    """Raises what is said of the topic or, where nothing else is waited for, of the group."""
    for _ in range(int(_ASKED_S / 0.2)):
        message = consumer.poll(0.2)
        if joined() or (message is not None and enough(message)):
            return
        error = None if message is None else message.error()
        if error is not None and error.code() in _DENIED:
            _raise(error)
    raise AssertionError("neither done nor refused")


@pytest.fixture(scope="module")
def done(cluster: Cluster) -> dict[User, set[Did]]:
    with ThreadPoolExecutor(len(USERS)) as together:
        found = together.map(lambda user: Attempts(cluster, user).done(), USERS)
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
    topics = set(admin.list_topics(timeout=_ASKED_S).topics)
    groups = {one.group_id for one in admin.list_consumer_groups().result(_ASKED_S).valid}

    assert topics == {what for name, what in allowed(user) if name == "describe"}
    assert groups == {what for name, what in allowed(user) if name == "describe group"}


def test_what_was_refused_left_nothing(cluster: Cluster, done: dict[User, set[Did]]) -> None:
    """Every topic has what was there, and what those wrote who may."""
    for topic in TOPICS:
        found = whole_topic(cluster.settings(), topic, partitions=1)
        who = [one for one in USERS if ("produce", topic) in allowed(one)]
        wrote = [b"of %b" % one.name.encode() for one in who]
        assert sorted(message.value() or b"" for message in found) == sorted([b"seed", *wrote])
    there = cluster.admin().list_topics(timeout=_ASKED_S).topics
    assert {name for name in there if name[0] != "_"} == set(TOPICS)
