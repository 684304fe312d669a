"""
What a fault of Couchbase's SDK means for the events that were being written, by its number (the
same in every SDK: Couchbase's SDK-RFC 58) and the reasons that the SDK repeated the operation for.
Not by its class: an insert that finds its key taken, after it was repeated for a busy server, comes
as TemporaryFailException.

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

_CANCELED, _AMBIGUOUS_TIMEOUT, _TIMEOUT = 2, 13, 14
_LET_IN, _BUCKET, _COLLECTION, _SCOPE = 6, 10, 11, 16
NOT_FOUND, _TOO_LARGE, EXISTS = 101, 104, 105
_INVALID_DURABILITY, _IMPOSSIBLE, _AMBIGUOUS = 107, 108, 109


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


class Unknown(Down):
    """Whether it was done is not known, and it may be asked again at once."""


_UNKNOWN = {
    _AMBIGUOUS: "a node failed while it was written",
    _CANCELED: "the connection broke",
}
_TRANSIENT = {
    4: "the data service does not run",
    5: "the server failed",
    7: "the server is busy, or has no memory left",
    _AMBIGUOUS_TIMEOUT: "no answer in time",
    _TIMEOUT: "no answer in time",
    21: "the user's rate is used up",
    22: "the quota of the scope or the bucket is used up",
    103: "somebody holds a lock on the document",
    110: "another durable write of the key is under way",
    111: "another durable write of the key is under way",
}
_REASONS = {
    "key_value_temporary_failure": _TRANSIENT[7],
    "key_value_sync_write_in_progress": _TRANSIENT[110],
    "key_value_sync_write_re_commit_in_progress": _TRANSIENT[111],
    "key_value_locked": _TRANSIENT[103],
}
_NO_COLLECTION = "key_value_collection_outdated"

_LOST = frozenset({_CANCELED, _LET_IN, _BUCKET, _AMBIGUOUS_TIMEOUT, _TIMEOUT})


def is_lost(code: int, reasons: frozenset[str]) -> bool:
    """
    Whether the connection may be of no more use; not so where the server answered meanwhile.

    >>> is_lost(14, frozenset({"node_not_available"}))
    True
    >>> is_lost(14, frozenset({"key_value_temporary_failure"}))
    False
    """
    return code in _LOST and not reasons & {*_REASONS, _NO_COLLECTION}


def fault_of(
    code: int, place: Place, *, reasons: frozenset[str] = frozenset(), name: str = ""
) -> Down | Refused:
    """
    `name`: what it is called where its number is not known here.

    >>> place = Place("app", "acme", "_default", "_default", "Majority")
    >>> fault_of(2, place)
    Unknown('whether it was written is not known: the connection broke')
    >>> fault_of(108, place)  # doctest: +ELLIPSIS
    Down("the durability 'Majority' is not possible now in bucket 'acme': too few of its nodes ...
    """
    if code == _TOO_LARGE:
        return Refused(f"answered that a document is too large: {LARGEST_VALUE} bytes at most")
    if code in {_SCOPE, _COLLECTION} or _NO_COLLECTION in reasons:
        return NoPlace(
            f"there is no {place}, or the user {place.user!r} may do nothing there; make it, or "
            "give the user data_reader and data_writer there"
        )
    if code in _UNKNOWN:
        return Unknown(f"whether it was written is not known: {_UNKNOWN[code]}")
    if code in _TRANSIENT:
        repeated = [words for reason, words in _REASONS.items() if reason in reasons]
        return Down([*repeated, _TRANSIENT[code]][0])
    return Down(_about_what_is_declared(code, place) or f"answered {name or code}")


def _about_what_is_declared(code: int, place: Place) -> str | None:
    if code == _LET_IN:
        return (
            f"the user {place.user!r} may not read or not write in {place}; give it data_reader "
            "and data_writer there"
        )
    if code == _BUCKET:
        return _no_bucket(place.user, place.bucket)
    if code == _IMPOSSIBLE:
        return (
            f"the durability {place.durability!r} is not possible now in bucket {place.bucket!r}: "
            "too few of its nodes are there; bring them back"
        )
    if code == _INVALID_DURABILITY:
        return (
            f"the bucket {place.bucket!r} has no durability {place.durability!r}: with 3 replicas "
            "there is none, and in memory alone no persisting one; change the bucket"
        )
    return None


def not_connected(code: int, place: Place, password_file: str) -> str | None:
    """What is said where a connection was refused; None where none came about."""
    if code == _LET_IN:
        return (
            f"the server does not let the user {place.user!r} in with the password in "
            f"{password_file!r}; mend one of them"
        )
    return _no_bucket(place.user, place.bucket) if code == _BUCKET else None


def _no_bucket(user: str, bucket: str) -> str:
    """The server does not say which of the two it is."""
    return (
        f"there is no bucket {bucket!r}, or the user {user!r} may do nothing in it; make it, or "
        "give the user data_reader and data_writer there"
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
