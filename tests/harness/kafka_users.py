"""
Users of a secured Kafka: their passwords, and what they may do.
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

TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE


def set_password(cluster: Cluster, user: str, password: str) -> None:
    """Make the user, or change the password."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    admin = cluster.admin()
    changed = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(user, info, password.encode())]
    )
    for done in changed.values():
        done.result(timeout=20)


def allow(
    cluster: Cluster, user: str, kind: ResourceType, name: str, *operations: AclOperation
) -> None:
    """By a literal ACL, as Trackmate's are."""
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]
    admin = cluster.admin()
    for made in admin.create_acls(bindings).values():
        made.result(timeout=20)


def allow_consume(cluster: Cluster, user: str, affiliate: str, pipeline: str, stream: str) -> None:
    """What a pipeline's user may: read its stream and groups, write and read its dead letters."""
    allow(cluster, user, TOPIC, f"{affiliate}.{stream}", READ, DESCRIBE)
    allow(cluster, user, TOPIC, f"{affiliate}.{pipeline}.dead", READ, WRITE, DESCRIBE)
    for group in (f"{affiliate}.{pipeline}", f"{affiliate}.{pipeline}.replay"):
        allow(cluster, user, GROUP, group, READ)
