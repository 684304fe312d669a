"""
Names that more than one part must derive alike: two parts that disagree on one lose events.

Every function is injective over valid names (see `NAME`): affiliates, streams and pipelines hold no
dot and no colon, so the separators below cannot be forged. Limits: Kafka topics 249 of
`[a-zA-Z0-9._-]` (kafka `Topic.MAX_NAME_LENGTH`), Kubernetes namespaces 63 (RFC 1123), Couchbase
keys 250 bytes.
"""

import re
from hashlib import sha256

NAME = r"^[a-z][a-z0-9-]*[a-z0-9]$"
"""What affiliates, streams, keys and pipelines may be called; at most `NAME_LENGTH` characters."""

NAME_LENGTH = 40

_LONGEST_PLAIN_ID = 150  # bytes; with prefix, stream and fingerprint a key stays under 250
_DIGEST = re.compile(r"[0-9a-f]{64}")


def topic(affiliate: str, stream: str) -> str:
    """
    >>> topic("acme", "events")
    'acme.events'
    """
    return f"{affiliate}.{stream}"


def dead_letter_topic(affiliate: str, pipeline: str) -> str:
    """
    >>> dead_letter_topic("acme", "bookings-to-crm")
    'acme.bookings-to-crm.dead'
    """
    return f"{affiliate}.{pipeline}.dead"


def group(affiliate: str, pipeline: str) -> str:
    """
    The consumer group of a pipeline.

    >>> group("acme", "store")
    'acme.store'
    """
    return f"{affiliate}.{pipeline}"


def replay_group(affiliate: str, pipeline: str) -> str:
    """
    The consumer group of a pipeline's replays.

    >>> replay_group("acme", "store")
    'acme.store.replay'
    """
    return f"{affiliate}.{pipeline}.replay"


def namespace(affiliate: str) -> str:
    """
    The default Kubernetes namespace of an affiliate.

    >>> namespace("acme")
    'trackmate-acme'
    """
    return f"trackmate-{affiliate}"


def bucket(affiliate: str) -> str:
    """
    The Couchbase bucket (or, in a shared bucket, the scope) of an affiliate.

    >>> bucket("acme")
    'acme'
    """
    return affiliate


def events_collection(scope: str) -> str:
    """
    The Couchbase collection of the built-in pipeline `store`. Only the scope `_default` can have a
    collection `_default`.

    >>> events_collection("_default"), events_collection("acme")
    ('_default', 'events')
    """
    return "_default" if scope == "_default" else "events"


def keys_secret(affiliate: str) -> str:
    """
    The Secret that holds an affiliate's write keys.

    >>> keys_secret("acme")
    'acme-keys'
    """
    return f"{affiliate}-keys"


def is_own_secret(affiliate: str, secret: str) -> bool:
    """
    Whether a Secret in the affiliate's namespace has a name that Trackmate's own have.

    >>> is_own_secret("acme", "acme-keys"), is_own_secret("acme", "trackmate-ingest-kafka")
    (True, True)
    >>> is_own_secret("acme", "crm")
    False
    """
    return secret == keys_secret(affiliate) or secret.startswith("trackmate-")


def document_key(stream: str, event_id: str) -> str:
    """
    The key of an event's document in the store.

    An id over 150 bytes stands by its SHA-256. So does an id that looks like one: else a short id
    could be chosen to meet the digest of a long one.

    >>> document_key("events", "order-1")
    'e::events::order-1'
    >>> len(document_key("events", "x" * 151)) == len("e::events::") + 64
    True
    """
    return f"e::{stream}::{_bounded(event_id)}"


def conflict_key(stream: str, event_id: str, fingerprint: str) -> str:
    """
    The key of another event that came under an id already taken: nothing is overwritten or dropped.

    >>> conflict_key("events", "order-1", "ab" * 32)
    'c::events::order-1::abababababababababababababababab'
    """
    return f"c::{stream}::{_bounded(event_id)}::{fingerprint[:32]}"


def made_key(pipeline: str, event_id: str, part: int) -> str:
    """
    The key of a document that a pipeline made of an event: its first is part 0.

    >>> made_key("to-orders", "order-1", 0)
    'd::to-orders::0::order-1'
    """
    return f"d::{pipeline}::{part}::{_bounded(event_id)}"


def made_conflict_key(pipeline: str, event_id: str, part: int, fingerprint: str) -> str:
    """
    The same, of another event that came under an id already taken.

    >>> made_conflict_key("to-orders", "order-1", 0, "ab" * 32)
    'x::to-orders::0::order-1::abababababababababababababababab'
    """
    return f"x::{pipeline}::{part}::{_bounded(event_id)}::{fingerprint[:32]}"


def _bounded(event_id: str) -> str:
    raw = event_id.encode()
    if len(raw) > _LONGEST_PLAIN_ID or _DIGEST.fullmatch(event_id):
        return sha256(raw).hexdigest()
    return event_id
