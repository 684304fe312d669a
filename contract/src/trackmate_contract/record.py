"""
The record: an event's bytes in the log, and what the platform adds beside them, never inside.

`Stamp` and `Event` are what ingest appends; `Record` is what consume reads back. On Kafka the stamp
travels in record headers (`to_headers`, `from_headers`); the embedded log keeps it once a request.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Stamp(NamedTuple):
    """What every event of one request shares."""

    received_ms: int
    """When ingest had the whole request. Milliseconds since 1970, the server's clock."""
    key: str
    """The name of the write key, never the key."""
    type: str | None = None
    """The call's name on Segment routes (`track`, `batch`, …)."""
    content_type: str | None = None
    """On `/v1/raw` as sent; None means JSON."""
    ip: str | None = None
    user_agent: str | None = None
    origin: str | None = None


class Event(NamedTuple):
    """One event on its way into the log."""

    id: str
    key: str | None
    """What decides the partition: events of one key stay in order."""
    value: bytes
    """The event's bytes exactly as sent."""


class Record(NamedTuple):
    """One event in the log."""

    stream: str
    partition: int
    offset: int
    id: str
    key: str | None
    value: bytes
    stamp: Stamp


Header = tuple[str, bytes]

_OPTIONAL = {
    "type": "tm-type",
    "content_type": "tm-content-type",
    "ip": "tm-ip",
    "user_agent": "tm-user-agent",
    "origin": "tm-origin",
}


def to_headers(event_id: str, stamp: Stamp) -> list[Header]:
    """
    The Kafka record headers of an event.

    >>> to_headers("e1", Stamp(received_ms=5, key="web"))
    [('tm-id', b'e1'), ('tm-received', b'5'), ('tm-key', b'web')]
    """
    return [("tm-id", event_id.encode()), *stamp_headers(stamp)]


def stamp_headers(stamp: Stamp) -> list[Header]:
    """What the records of one request share."""
    headers = [("tm-received", b"%d" % stamp.received_ms), ("tm-key", stamp.key.encode())]
    for field, header in _OPTIONAL.items():
        text = getattr(stamp, field)
        if text is not None:
            headers.append((header, text.encode()))
    return headers


def from_headers(headers: Iterable[tuple[str, bytes | None]]) -> tuple[str, Stamp]:
    """
    The id and the stamp of a record; a header without a value is as none. Raises KeyError where
    `tm-id`, `tm-received` or `tm-key` is missing: such a record was not written by ingest.
    """
    found = {name: value.decode() for name, value in headers if value is not None}
    get = found.get
    stamp = Stamp(
        int(found["tm-received"]),
        found["tm-key"],
        get("tm-type"),
        get("tm-content-type"),
        get("tm-ip"),
        get("tm-user-agent"),
        get("tm-origin"),
    )
    return found["tm-id"], stamp
