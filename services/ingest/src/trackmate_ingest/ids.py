"""
The id of an event that brings none.
"""

import time
from os import urandom

from trackmate_contract.record import Event
from trackmate_ingest.slicing import Sliced


def uuid7() -> str:
    """
    A UUID of version 7 (RFC 9562 5.7): its first 48 bits are the time, so ids sort by their making.

    >>> len(uuid7()), uuid7()[14]
    (36, '7')
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(urandom(10), "big")
    value = value & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x7000 << 64 | 0x8000 << 48
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def with_ids(sliced: list[Sliced], idempotency_key: bytes | None) -> list[Event]:
    """
    Give every event an id: its own; else the request's Idempotency-Key and the event's index, which
    a repeat makes again; else a new one, and then a repeat may be a second event.

    >>> [event.id for event in with_ids([Sliced("a", None, b"1"), Sliced(None, None, b"2")], b"k")]
    ['a', 'k:1']
    """
    return [
        Event(event_id or _made(idempotency_key, index), key, value)
        for index, (event_id, key, value) in enumerate(sliced)
    ]


def _made(idempotency_key: bytes | None, index: int) -> str:
    if not idempotency_key:
        return uuid7()
    return f"{idempotency_key.decode('latin-1')}:{index}"
