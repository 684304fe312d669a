"""
Users of a broker that asks for credentials: their passwords, and what they may do. By literal ACLs,
as Trackmate's are.
"""

from collections.abc import Iterable

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from kafka_broker import Cluster
from trackmate_contract.kafka_rights import Right, pipeline_rights
from waiting_for import wait_until

_KINDS = {"Topic": ResourceType.TOPIC, "Group": ResourceType.GROUP}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
OPERATIONS = {
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Alter": AclOperation.ALTER,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}
"""Of an operator's user, by the names of Kafka's documentation."""


def allow(cluster: Cluster, user: str, topic: str, *operations: AclOperation) -> None:
    _allow(cluster, user, ResourceType.TOPIC, topic, *operations)


def allow_cluster(cluster: Cluster, user: str, *operations: AclOperation) -> None:
    _allow(cluster, user, ResourceType.BROKER, "kafka-cluster", *operations)


def allow_every_topic(cluster: Cluster, user: str, *operations: AclOperation) -> None:
    _allow(cluster, user, ResourceType.TOPIC, "*", *operations)


def allow_transactional_id(cluster: Cluster, user: str, name: str) -> None:
    _allow(cluster, user, ResourceType.TRANSACTIONAL_ID, name, WRITE)


def allow_group(cluster: Cluster, user: str, group: str) -> None:
    _allow(cluster, user, ResourceType.GROUP, group, READ)


def allow_consume(cluster: Cluster, user: str, affiliate: str, pipeline: str, stream: str) -> None:
    """All that a pipeline's user may."""
    grant(cluster, user, pipeline_rights(affiliate, pipeline, [stream]))


def grant(cluster: Cluster, user: str, rights: Iterable[Right]) -> None:
    for right in rights:
        operations = [_OPERATIONS[one] for one in right.operations]
        _allow(cluster, user, _KINDS[right.resource], right.name, *operations)


def _allow(
    cluster: Cluster, user: str, kind: ResourceType, name: str, *operations: AclOperation
) -> None:
    literal, may = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    bindings = [
        AclBinding(kind, name, literal, f"User:{user}", "*", operation, may)
        for operation in operations
    ]
    if not bindings:
        return
    admin = cluster.admin()
    for made in admin.create_acls(bindings).values():
        made.result(timeout=20)
    wait_until(lambda: all(_is_there(admin, one) for one in bindings), "the ACLs are in force")


def _is_there(admin: AdminClient, one: AclBinding) -> bool:
    wanted = AclBindingFilter(
        one.restype,
        one.name,
        one.resource_pattern_type,
        one.principal,
        one.host,
        one.operation,
        one.permission_type,
    )
    return bool(admin.describe_acls(wanted).result(timeout=20))


def set_password(cluster: Cluster, user: str, password: str) -> None:
    """Make the user, or change the password."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    admin = cluster.admin()
    changed = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(user, info, password.encode())]
    )
    for done in changed.values():
        done.result(timeout=20)
