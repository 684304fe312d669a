"""
Events as people and programs look at them: the lines of `trackmate tail`, and the live feed.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

from trackmate.backbone import Backbone, Wanted
from trackmate_contract.record import Record

_LIVE_EVERY_S = 0.1  # a page that shows more often shows nothing more
_LIVE_MOST = 100  # events a round; what is beyond is counted, not sent
_SIGN_OF_LIFE_S = 10.0


def line(record: Record) -> dict[str, Any]:
    """The form that proves bytes."""
    return {
        "stream": record.stream,
        "partition": record.partition,
        "offset": record.offset,
        "id": record.id,
        "received": record.stamp.received_ms,
        "sha256": sha256(record.value).hexdigest(),
        "base64": b64encode(record.value).decode(),
    }


async def tail(backbone: Backbone, closing: asyncio.Event, wanted: Wanted) -> AsyncIterator[bytes]:
    """One JSON line an event."""
    async for records in backbone.records(wanted, closing):
        yield b"".join(json.dumps(line(record)).encode() + b"\n" for record in records)


async def live(backbone: Backbone, closing: asyncio.Event) -> AsyncIterator[str]:
    """Server-Sent Events: the newest records as they come, and how many were left out."""
    rounds = backbone.newest(
        closing, most=_LIVE_MOST, every_s=_LIVE_EVERY_S, at_most_s=_SIGN_OF_LIFE_S
    )
    async for skipped, records in rounds:
        if skipped:
            yield f"event: skipped\ndata: {json.dumps({'events': skipped})}\n\n"
        for record in records:
            yield f"data: {json.dumps(_live_line(record))}\n\n"
        if not records:
            yield ": alive\n\n"


def _live_line(record: Record) -> dict[str, Any]:
    stamp = record.stamp
    return {**line(record), "key": stamp.key, "type": stamp.type, "size": len(record.value)}
