"""
ACLs as Kafka has them, with its own numbers, and those that a user is to have. Pure.
"""

from typing import NamedTuple

from trackmate_operator.plan.kafka import User

_KINDS = {"Topic": 2, "Group": 3}
_OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8, "DescribeConfigs": 10}
_LITERAL, _ALLOW = 3, 3
_ANY_HOST = "*"
_USER = "User:"


class Acl(NamedTuple):
    """One entry, in the order and with the numbers of Kafka's protocol."""

    kind: int
    name: str
    pattern: int
    principal: str
    host: str
    operation: int
    permission: int


def wanted_acls(user: User) -> frozenset[Acl]:
    """All that the user may do; one that is not among these is surplus."""
    return frozenset(
        Acl(
            _KINDS[right.resource],
            right.name,
            _LITERAL,
            principal(user.name),
            _ANY_HOST,
            _OPERATIONS[operation],
            _ALLOW,
        )
        for right in user.rights
        for operation in right.operations
    )


def principal(user: str) -> str:
    """
    >>> principal("acme-ingest")
    'User:acme-ingest'
    """
    return _USER + user


def user_of(acl: Acl) -> str:
    """The user that it is for; "" for a principal of another type."""
    return acl.principal[len(_USER) :] if acl.principal.startswith(_USER) else ""


def is_of(affiliate: str, user: str) -> bool:
    """
    Whether this is a user of the affiliate, wanted or not.

    >>> [is_of("acme", user) for user in ("acme-ingest", "acme.crm", "acme-2-ingest", "acme-2.crm")]
    [True, True, False, False]
    """
    return user == f"{affiliate}-ingest" or user.startswith(f"{affiliate}.")
