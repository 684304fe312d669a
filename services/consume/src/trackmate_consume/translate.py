"""
From record to document, as the built-in pipeline `store` keeps it:
`{"tm": {what the platform knows}, "event": the exact bytes}`.
"""

from base64 import b64encode
from collections.abc import Sequence

import msgspec

from trackmate_consume.sink import Document
from trackmate_contract.record import Record


class Meta(msgspec.Struct, omit_defaults=True, rename="camel"):
    """The document's `tm`: the record's headers, and where the record is."""

    id: str
    stream: str
    partition: int
    offset: int
    received: int
    key: str
    type: str | None = None
    content_type: str | None = None
    encoding: str | None = None
    """`base64` where `event` is a string that holds a raw body."""
    ip: str | None = None
    user_agent: str | None = None
    origin: str | None = None


_encode = msgspec.json.Encoder().encode


def to_document(record: Record) -> Document:
    """
    >>> from trackmate_contract.record import Stamp
    >>> record = Record("events", 0, 7, "e1", None, b'{"a":  1}', Stamp(5, "web"))
    >>> to_document(record).value.decode()[-19:]
    ',"event":{"a":  1}}'
    """
    stamp = record.stamp
    raw = stamp.content_type is not None
    meta = Meta(
        record.id,
        record.stream,
        record.partition,
        record.offset,
        stamp.received_ms,
        stamp.key,
        stamp.type,
        stamp.content_type,
        "base64" if raw else None,
        stamp.ip,
        stamp.user_agent,
        stamp.origin,
    )
    event = b'"%b"' % b64encode(record.value) if raw else record.value
    return Document(b'{"tm":%b,"event":%b}' % (_encode(meta), event))


class StoreProgram:
    """The program of the pipeline `store`: every event is kept, as one document."""

    async def translate(self, records: Sequence[Record]) -> list[tuple[Document]]:
        return [(to_document(record),) for record in records]

    async def close(self) -> None:
        """Nothing is held."""
