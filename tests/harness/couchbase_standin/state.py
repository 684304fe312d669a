"""
What the stand-in holds: buckets with their scopes, collections and documents, and users with their
roles. Everything is in memory, and of one node.
"""

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

DEFAULT = "_default"
MOST_BUCKETS = 30
MOST_COLLECTIONS = 1000
LEVELS = ("none", "majority", "majorityAndPersistActive", "persistToMajority")
"""Durabilities, by their number on the wire."""

_FIRST_ID = 8  # of a collection: those below are the server's


@dataclass
class Stored:
    """A document."""

    value: bytes
    flags: int
    cas: int
    datatype: int = 0
    expires_at: int = 0
    """Seconds since 1970; 0 is never."""
    xattrs: dict[str, bytes] = field(default_factory=dict)
    """JSON by name."""


@dataclass
class Collection:
    id: int
    documents: dict[bytes, Stored] = field(default_factory=dict)


@dataclass
class Scope:
    id: int
    collections: dict[str, Collection] = field(default_factory=dict)


@dataclass
class Bucket:
    """A bucket, with the settings that it was made with."""

    name: str
    ram_mb: int = 100
    replicas: int = 0
    durability: int = 0
    """The least that a write gets, whatever it asks for."""
    max_ttl: int = 0
    uuid: str = field(default_factory=lambda: uuid4().hex)
    manifest: int = 0
    """Counts the changes of scopes and collections."""
    scopes: dict[str, Scope] = field(
        default_factory=lambda: {DEFAULT: Scope(0, {DEFAULT: Collection(0)})}
    )

    def __post_init__(self) -> None:
        self._ids = itertools.count(_FIRST_ID)

    def add_scope(self, name: str) -> None:
        self.scopes[name] = Scope(next(self._ids))
        self.manifest += 1

    def add_collection(self, scope: str, name: str) -> None:
        self.scopes[scope].collections[name] = Collection(next(self._ids))
        self.manifest += 1

    def drop_scope(self, name: str) -> None:
        del self.scopes[name]
        self.manifest += 1

    def drop_collection(self, scope: str, name: str) -> None:
        del self.scopes[scope].collections[name]
        self.manifest += 1

    def by_id(self, number: int) -> tuple[str, str, Collection] | None:
        """Scope, name and collection; None where there is none of this id."""
        for scope, name, collection in self.each():
            if collection.id == number:
                return scope, name, collection
        return None

    def each(self) -> Iterator[tuple[str, str, Collection]]:
        for scope, held in self.scopes.items():
            for name, collection in held.collections.items():
                yield scope, name, collection

    def as_manifest(self) -> dict[str, object]:
        """As both the management API and the data service show it."""
        return {
            "uid": f"{self.manifest:x}",
            "scopes": [
                {
                    "name": scope,
                    "uid": f"{held.id:x}",
                    "collections": [
                        {"name": name, "uid": f"{collection.id:x}"}
                        for name, collection in held.collections.items()
                    ],
                }
                for scope, held in self.scopes.items()
            ],
        }


@dataclass(frozen=True)
class Role:
    """A role, on everything (`*`), a bucket, a scope or a collection."""

    name: str
    bucket: str = ""
    """Empty for roles that are not about a bucket."""
    scope: str = ""
    collection: str = ""

    def __str__(self) -> str:
        where = ":".join(part for part in (self.bucket, self.scope, self.collection) if part)
        return f"{self.name}[{where}]" if where else self.name


@dataclass
class User:
    """
    A local user. `password` stands here in the clear: a server keeps what SCRAM needs of it.
    """

    id: str
    password: str
    roles: tuple[Role, ...] = ()
    name: str = ""
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))


@dataclass
class State:
    """Everything."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    uuid: str = field(default_factory=lambda: uuid4().hex)
    revision: int = 1
    """Of the cluster's configuration."""

    def add_bucket(self, bucket: Bucket) -> Bucket:
        self.buckets[bucket.name] = bucket
        self.revision += 1
        return bucket

    def drop_bucket(self, name: str) -> None:
        del self.buckets[name]
        self.revision += 1

    @property
    def collections(self) -> int:
        return sum(len([*bucket.each()]) for bucket in self.buckets.values())
