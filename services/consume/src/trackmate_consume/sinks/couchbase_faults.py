"""
What a fault of Couchbase's SDK means for the events that were being written, by its name and the
reasons that the SDK repeated the operation for.

Whether a write that got no answer is there is not known; it is asked again, which is safe: a key is
only ever claimed, and what is there is looked at. So all of that is `Down`, and so is what somebody
has to mend. Nothing here lowers the durability that was asked for.
"""

from dataclasses import dataclass

from trackmate_consume.sink import Down, Refused

LARGEST_VALUE = 20 << 20
"""Bytes of a document, with its extended attributes (Couchbase's documentation, "Limits")."""
LONGEST_KEY = 250
"""Bytes."""

_TOO_LARGE = 104  # the SDK's own number: this one has no class


@dataclass(frozen=True)
class Place:
    """Where was written, and how."""

    user: str
    bucket: str
    scope: str
    collection: str
    durability: str

    def __str__(self) -> str:
        return f"collection {self.collection!r} of scope {self.scope!r} in bucket {self.bucket!r}"


class NoPlace(Down):
    """The scope or the collection is not there, or not for this user; the server does not say."""


_UNKNOWN = {
    "AmbiguousTimeoutException": "no answer in time",
    "DurabilitySyncWriteAmbiguousException": "a node failed while it was written",
    "RequestCanceledException": "the connection broke",
}
_TRANSIENT = {
    "UnAmbiguousTimeoutException": "no answer in time",
    "TemporaryFailException": "the server is busy, or has no memory left",
    "DurabilitySyncWriteInProgressException": "another durable write of the key is under way",
    "DocumentLockedException": "somebody holds a lock on the document",
    "ServiceUnavailableException": "the data service does not run",
    "InternalServerFailureException": "the server failed",
    "RateLimitedException": "the user's rate is used up",
    "QuotaLimitedException": "the quota of the scope or the bucket is used up",
}
_REASONS = {
    "key_value_temporary_failure": "the server is busy, or has no memory left",
    "key_value_sync_write_in_progress": "another durable write of the key is under way",
    "key_value_locked": "somebody holds a lock on the document",
}
_NO_PLACE = frozenset({"ScopeNotFoundException", "CollectionNotFoundException"})
_NO_COLLECTION = "key_value_collection_outdated"

LOST = frozenset(
    {"AmbiguousTimeoutException", "UnAmbiguousTimeoutException", "RequestCanceledException"}
)
"""After which the connection itself may be of no more use, unless there were reasons to repeat."""


def fault_of(
    name: str, place: Place, *, reasons: frozenset[str] = frozenset(), code: int = 0
) -> Down | Refused:
    """
    >>> place = Place("app", "acme", "_default", "_default", "Majority")
    >>> fault_of("RequestCanceledException", place)
    Down('whether it was written is not known: the connection broke')
    >>> fault_of("DurabilityImpossibleException", place)  # doctest: +ELLIPSIS
    Down("the durability 'Majority' is not possible now in bucket 'acme': too few of its nodes ...
    """
    if code == _TOO_LARGE:
        return Refused(f"answered that a document is too large: {LARGEST_VALUE} bytes at most")
    if name in _NO_PLACE or _NO_COLLECTION in reasons:
        return NoPlace(
            f"there is no {place}, or the user {place.user!r} may do nothing there; make it, or "
            "give the user data_reader and data_writer there"
        )
    declared = _about_what_is_declared(name, place)
    if declared:
        return Down(declared)
    repeated = next((words for reason, words in _REASONS.items() if reason in reasons), "")
    if repeated or name in _TRANSIENT:
        return Down(repeated or _TRANSIENT[name])
    if name in _UNKNOWN:
        return Down(f"whether it was written is not known: {_UNKNOWN[name]}")
    return Down(f"answered {name}")


def _about_what_is_declared(name: str, place: Place) -> str | None:
    if name == "AuthenticationException":
        return (
            f"the user {place.user!r} may not read or not write in {place}; give it data_reader "
            "and data_writer there"
        )
    if name == "BucketNotFoundException":
        return no_bucket(place.user, place.bucket)
    if name == "DurabilityImpossibleException":
        return (
            f"the durability {place.durability!r} is not possible now in bucket {place.bucket!r}: "
            "too few of its nodes are there; bring them back"
        )
    if name == "DurabilityInvalidLevelException":
        return (
            f"the bucket {place.bucket!r} has no durability {place.durability!r}: with 3 replicas "
            "there is none, and in memory alone no persisting one; change the bucket"
        )
    return None


def no_bucket(user: str, bucket: str) -> str:
    """The server does not say which of the two it is."""
    return (
        f"there is no bucket {bucket!r}, or the user {user!r} may do nothing in it; make it, or "
        "give the user data_reader and data_writer there"
    )


def not_let_in(user: str, password_file: str) -> str:
    return (
        f"the server does not let the user {user!r} in with the password in {password_file!r}; "
        "mend one of them"
    )


def check(key: str, size: int) -> None:
    """
    What would never be taken. Raises Refused.

    >>> check("e::events::1", LARGEST_VALUE + 1)
    Traceback (most recent call last):
    trackmate_consume.sink.Refused: a document has 20971521 bytes; Couchbase keeps 20971520 at most
    """
    if size > LARGEST_VALUE:
        raise Refused(f"a document has {size} bytes; Couchbase keeps {LARGEST_VALUE} at most")
    length = len(key.encode())
    if length > LONGEST_KEY:
        raise Refused(f"a key has {length} bytes; Couchbase takes {LONGEST_KEY} at most")
