"""
All that somebody with a Kafka user may try on a broker that asks for rights.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

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

ASKED_S = 20.0
_SOON_S = 3.0
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)

_NO_RIGHT = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
Did = tuple[str, str]
"""What was tried, and on what."""


class Who(NamedTuple):
    """A Kafka user of an affiliate, and what it tries with."""

    name: str
    affiliate: str
    topic: str
    """One that it may use in one way or the other."""
    group: str
    """One of its affiliate."""
    victim: str
    """A user of another."""


class Attempts:
    """All that a user tries."""

    def __init__(
        self, settings: Mapping[str, Any], who: Who, topics: Sequence[str], groups: Sequence[str]
    ) -> None:
        self.who = who
        self.settings = {**settings, "log_level": 0}
        self.on_topics, self.on_groups = topics, groups
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
            "create a topic of its own": partial(self.create, f"{who.affiliate}.new"),
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
        for kind, names in ((self.topics, self.on_topics), (self.groups, self.on_groups)):
            tries |= {(name, on): partial(kind[name], on) for name, on in product(kind, names)}
        return {tried for tried, work in tries.items() if _works(work)}

    # topics

    def produce(self, topic: str) -> None:
        errors: list[KafkaError | None] = []
        producer = Producer({**self.settings, "enable.idempotence": True})
        value = b"of %b" % self.who.name.encode()
        producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error))
        producer.flush(ASKED_S)
        producer.close()
        [error] = errors
        _raise(error)

    def fetch(self, topic: str) -> None:
        """The client waits for ever for a topic that it may not ask about."""
        self.describe(topic)
        consumer = Consumer({**self.settings, "group.id": self.who.group})
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            _poll_until(consumer, lambda message: message.error() is None)
        finally:
            consumer.close()

    def describe(self, topic: str) -> None:
        _raise(self.admin.list_topics(topic, timeout=ASKED_S).topics[topic].error)

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
            consumer.subscribe([self.who.topic], on_assign=lambda *_: joined.append(True))
            _poll_until(consumer, lambda _: False, lambda: bool(joined))
        finally:
            consumer.close()

    def commit(self, group: str) -> None:
        offsets = [TopicPartition(self.who.topic, 0, 0)]
        _result(self.admin.alter_consumer_group_offsets([OfGroup(group, offsets)]))

    def read_offsets(self, group: str) -> None:
        """By a consumer: see `kafka_groups` on what an AdminClient makes of a refusal."""
        consumer = Consumer({**self.settings, "group.id": group})
        try:
            [found] = consumer.committed([TopicPartition(self.who.topic, 0)], timeout=_SOON_S)
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
        if not self.admin.describe_acls(every).result(ASKED_S):  # it makes none of a refusal
            raise KafkaException(_NO_RIGHT)

    def give_rights(self) -> None:
        literal, may = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
        name = f"User:{self.who.name}"
        binding = AclBinding(ResourceType.TOPIC, "*", literal, name, "*", AclOperation.ALL, may)
        _result(self.admin.create_acls([binding]))

    def change_password(self) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(self.who.victim, info, b"stolen")
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
    return future.result(ASKED_S)


def _raise(error: KafkaError | None) -> None:
    if error is not None:
        raise KafkaException(error)


def _poll_until(
    consumer: Consumer,
    enough: Callable[[Any], bool],
    joined: Callable[[], bool] = lambda: False,
) -> None:
    """Raises what is said of the topic or, where nothing else is waited for, of the group."""
    for _ in range(int(ASKED_S / 0.2)):
        message = consumer.poll(0.2)
        if joined() or (message is not None and enough(message)):
            return
        error = None if message is None else message.error()
        if error is not None and error.code() in _DENIED:
            _raise(error)
    raise AssertionError("neither done nor refused")
