"""
Who may do what: the roles that this product and its tests need, with the rights that ns_server
gives them (`menelaus_roles.erl`).
"""

from collections.abc import Iterable
from enum import StrEnum

from couchbase_standin.state import Role, User


class Right(StrEnum):
    """What a role lets a user do."""

    READ = "read a document"
    WRITE = "write a document"
    META = "see a bucket's settings"
    COLLECTIONS = "make and drop scopes and collections"
    BUCKET = "change or drop a bucket"
    BUCKETS = "make buckets"
    USERS = "manage users"
    CLUSTER = "see the cluster"


_DATA = frozenset({Right.READ, Right.WRITE})
_SEEN = frozenset({Right.META, Right.CLUSTER})
_OF_BUCKET = frozenset({Right.META, Right.COLLECTIONS, Right.BUCKET})
ROLES: dict[str, frozenset[Right]] = {
    "admin": frozenset(Right),
    "ro_admin": _SEEN,
    "cluster_admin": _OF_BUCKET | {Right.BUCKETS, Right.CLUSTER},
    "security_admin": frozenset({Right.USERS, Right.CLUSTER}),
    "bucket_admin": _OF_BUCKET | _SEEN,
    "bucket_full_access": _DATA | _SEEN,
    "scope_admin": frozenset({Right.COLLECTIONS}),
    "data_reader": _SEEN | {Right.READ},
    "data_writer": _SEEN | {Right.WRITE},
}
GLOBAL = frozenset({"admin", "ro_admin", "cluster_admin", "security_admin"})
"""Roles that are on everything, and are given without a bucket."""

DEEPEST = {"bucket_admin": 1, "bucket_full_access": 1, "scope_admin": 2}
"""How deep a role may be placed: bucket, scope, collection; three for those not here."""


def may(user: User, right: Right, *where: str) -> bool:
    """
    Whether a user may do this there: in a bucket, a scope of it, a collection of that.

    >>> reader = User("a", "", (Role("data_reader", "acme", "web"),))
    >>> may(reader, Right.READ, "acme", "web", "clicks"), may(reader, Right.READ, "acme")
    (True, False)
    """
    return any(right in ROLES[role.name] and _covers(role, where) for role in user.roles)


def may_somewhere(user: User, *where: str) -> bool:
    """
    Whether a user has any role on data inside there, or around it.

    >>> reader = User("a", "", (Role("data_reader", "acme", "web"),))
    >>> may_somewhere(reader, "acme"), may_somewhere(reader, "globex")
    (True, False)
    """
    return any(
        all(mine in ("", "*", asked) for mine, asked in zip(_place(role), where, strict=False))
        for role in user.roles
        if ROLES[role.name] & (_DATA | {Right.META})
    )


def _covers(role: Role, where: Iterable[str]) -> bool:
    asked = [*where]
    named = [part for part in _place(role) if part not in ("", "*")]
    return asked[: len(named)] == named


def _place(role: Role) -> tuple[str, str, str]:
    return role.bucket, role.scope, role.collection
