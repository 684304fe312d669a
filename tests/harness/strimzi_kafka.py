"""
What the stand-in for Strimzi does in Kafka: with librdkafka as the administrator, and for quotas,
which it does not know, with the bytes of the protocol over the brokers' own listener.
"""

import re
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from kafka_broker import Cluster
from trackmate_programs.kafka_topic_ids import url_safe

_TYPES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.BROKER,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
_PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
_PERMISSIONS = {"allow": AclPermissionType.ALLOW, "deny": AclPermissionType.DENY}
_ITERATIONS = 4096
_NOT_THERE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.RESOURCE_NOT_FOUND}
_ALTER_CLIENT_QUOTAS = 49
_QUOTAS = ("producer_byte_rate", "consumer_byte_rate")


@dataclass(frozen=True)
class FoundTopic:
    """As Kafka has it."""

    id: str
    partitions: int
    replicas: int
    config: Mapping[str, str]
    """What was set of this topic."""


class InKafka:
    """Every method raises KafkaException."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._admin = cluster.admin()

    def cluster_id(self) -> str:
        return str(self._admin.describe_cluster().result(timeout=20).cluster_id)

    # topics

    def topic(self, name: str) -> FoundTopic | None:
        asked = self._admin.describe_topics(TopicCollection([name]))[name]
        found = _unless_missing(asked)
        if found is None:
            return None
        resource = ConfigResource(ResourceType.TOPIC, name)
        [config] = self._admin.describe_configs([resource]).values()
        own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        return FoundTopic(
            url_safe(str(found.topic_id)),
            len(found.partitions),
            len(found.partitions[0].replicas),
            {
                entry.name: entry.value
                for entry in config.result(timeout=20).values()
                if entry.source == own
            },
        )

    def create(self, name: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        new = NewTopic(name, partitions, replicas, config=dict(config))
        self._admin.create_topics([new])[name].result(timeout=20)

    def grow(self, name: str, partitions: int) -> None:
        asked = self._admin.create_partitions([NewPartitions(name, partitions)])
        asked[name].result(timeout=20)

    def configure(self, name: str, config: Mapping[str, str], found: Mapping[str, str]) -> None:
        """Set these, and take all others away."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
            if found.get(key) != value
        ]
        entries += [
            ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE)
            for key in found
            if key not in config
        ]
        if not entries:
            return
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        [done] = self._admin.incremental_alter_configs([resource]).values()
        done.result(timeout=20)

    def delete(self, name: str) -> None:
        _unless_missing(self._admin.delete_topics([name])[name])

    # users

    def logins(self) -> set[str]:
        asked: Any = self._admin.describe_user_scram_credentials()
        return {*asked.result(timeout=20)}

    def set_password(self, user: str, password: str) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        self._admin.alter_user_scram_credentials([change])[user].result(timeout=20)

    def drop_password(self, user: str) -> None:
        change = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
        _unless_missing(self._admin.alter_user_scram_credentials([change])[user])

    def acls(self) -> list[AclBinding]:
        nobody: Any = None  # which the types do not know, and which is everybody
        everything = AclBindingFilter(
            ResourceType.ANY,
            nobody,
            ResourcePatternType.ANY,
            nobody,
            nobody,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        return [*self._admin.describe_acls(everything).result(timeout=20)]

    def set_acls(self, user: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """These, and no others of the user."""
        wanted = {one for rule in rules for one in _bindings(user, rule)}
        found = {one for one in self.acls() if one.principal == f"User:{user}"}
        if wanted - found:
            for made in self._admin.create_acls([*(wanted - found)]).values():
                made.result(timeout=20)
        surplus = [_exactly(one) for one in found - wanted]
        if surplus:
            for gone in self._admin.delete_acls(surplus).values():
                gone.result(timeout=20)

    def set_quotas(self, user: str, quotas: Mapping[str, float]) -> None:
        """These by Kafka's names, and no others of the user."""
        operations = b"".join(
            _string(name) + struct.pack(">d?", quotas.get(name, 0.0), name not in quotas)
            for name in _QUOTAS
        )
        entity = struct.pack(">i", 1) + _string("user") + _string(user)
        entry = entity + struct.pack(">i", len(_QUOTAS)) + operations
        answer = self._ask(_ALTER_CLIENT_QUOTAS, struct.pack(">i", 1) + entry + b"\0")
        # correlation id, throttle time, number of entries, then the first one's error
        [error] = struct.unpack_from(">h", answer, 12)
        assert error == 0, f"Kafka refuses the quotas of {user!r}: error {error}"

    def remove(self, user: str) -> None:
        self.set_acls(user, [])
        self.drop_password(user)
        self.set_quotas(user, {})

    def _ask(self, key: int, body: bytes) -> bytes:
        """One request of version 0, as the brokers themselves ask."""
        properties = (self._cluster.brokers[0].home / "server.properties").read_text("utf-8")
        found = re.search(r"^listeners=.*BROKERS://127\.0\.0\.1:(\d+)", properties, re.MULTILINE)
        assert found
        request = struct.pack(">hhi", key, 0, 1) + _string("stand-in") + body
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=20) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            [size] = struct.unpack(">i", _read(connection, 4))
            return _read(connection, size)


def _read(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        more = connection.recv(size - len(read))
        if not more:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))  # noqa: SLF001 - no other name
        read += more
    return read


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded


def _bindings(user: str, rule: Mapping[str, Any]) -> list[AclBinding]:
    """Of one entry of a KafkaUser, with what is there where it says nothing."""
    resource = rule["resource"]
    name = "kafka-cluster" if resource["type"] == "cluster" else resource["name"]
    return [
        AclBinding(
            _TYPES[resource["type"]],
            name,
            _PATTERNS[resource.get("patternType", "literal")],
            f"User:{user}",
            rule.get("host", "*"),
            AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()],
            _PERMISSIONS[rule.get("type", "allow")],
        )
        for operation in rule["operations"]
    ]


def _exactly(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype,
        one.name,
        one.resource_pattern_type,
        one.principal,
        one.host,
        one.operation,
        one.permission_type,
    )


def _unless_missing(asked: Any) -> Any:
    """None where there is no such thing."""
    try:
        return asked.result(timeout=20)
    except KafkaException as fault:
        if fault.args[0].code() not in _NOT_THERE:
            raise
        return None
