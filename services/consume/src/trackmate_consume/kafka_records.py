"""
From a message of Kafka to a record.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Message

from trackmate_contract.record import Record, Stamp, from_headers


def headers_of(message: Message) -> Sequence[tuple[str, bytes]]:
    """Those that have a value."""
    found: Any = message.headers() or ()
    return [one for one in found if one[1] is not None]


def record_of(message: Message, topics: Mapping[str, str]) -> Record:
    """
    The record of a message that is no error; `topics` are streams by their topics. What was not
    written by ingest is known by its place.
    """
    partition, offset = message.partition() or 0, message.offset() or 0
    try:
        event_id, stamp = from_headers(message.headers() or ())  # type: ignore[arg-type]
    except (KeyError, ValueError, AttributeError):
        event_id, stamp = f"{partition}-{offset}", Stamp(message.timestamp()[1], "")
    key = message.key()
    return Record(
        topics[message.topic() or ""],
        partition,
        offset,
        event_id,
        None if key is None else key.decode("utf-8", "replace"),
        message.value() or b"",
        stamp,
    )
