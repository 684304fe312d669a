"""
Users of a broker that asks for credentials: their passwords, and what they may do. By literal ACLs,
as Trackmate's are.
"""

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from kafka_broker import Cluster

READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE


def allow(cluster: Cluster, user: str, topic: str, *operations: AclOperation) -> None:
    _allow(cluster, user, ResourceType.TOPIC, topic, *operations)


def allow_group(cluster: Cluster, user: str, group: str) -> None:
    _allow(cluster, user, ResourceType.GROUP, group, READ)


def allow_consume(cluster: Cluster, user: str, affiliate: str, pipeline: str, stream: str) -> None:
    """What a pipeline's user may: read its stream and groups, write and read its dead letters."""
    allow(cluster, user, f"{affiliate}.{stream}", READ, DESCRIBE)
    allow(cluster, user, f"{affiliate}.{pipeline}.dead", READ, WRITE, DESCRIBE)
    for group in (f"{affiliate}.{pipeline}", f"{affiliate}.{pipeline}.replay"):
        allow_group(cluster, user, group)


def _allow(
    cluster: Cluster, user: str, kind: ResourceType, name: str, *operations: AclOperation
) -> None:
    literal, may = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    bindings = [
        AclBinding(kind, name, literal, f"User:{user}", "*", operation, may)
        for operation in operations
    ]
    admin = cluster.admin()
    for made in admin.create_acls(bindings).values():
        made.result(timeout=20)


def set_password(cluster: Cluster, user: str, password: str) -> None:
    """Make the user, or change the password."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    admin = cluster.admin()
    changed = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(user, info, password.encode())]
    )
    for done in changed.values():
        done.result(timeout=20)
