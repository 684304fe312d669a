"""
From a request body to the exact bytes of its events: what comes in is what gets stored.

The hot path of ingest. msgspec cuts the body and reads the few fields we need, without decoding the
rest; nothing is ever encoded again. Whatever msgspec refuses, `strict` decides.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from trackmate_ingest import strict
from trackmate_ingest.fields import ABSENT, Fields, decoded_string, string
from trackmate_ingest.refusals import NO_EVENT, Malformed, OverLimit
from trackmate_ingest.scanning import is_too_deep

__all__ = ["Malformed", "OverLimit", "Sliced", "Slicer", "write_key"]


class Sliced(NamedTuple):
    """One event of a body."""

    id: str | None
    """The id the event brings."""
    key: str | None
    """What decides the partition."""
    value: bytes
    """From the first to the last byte of the JSON text, as sent."""


class Slicer:
    """Cuts the bodies of one stream into events."""

    def __init__(
        self,
        id_from: str = "messageId",
        partition_by: Sequence[str] = ("anonymousId", "userId"),
        *,
        max_events: int,
        max_event_bytes: int,
    ) -> None:
        self._fields = Fields(id_from, partition_by)
        self._max_events = max_events
        self._max_event_bytes = max_event_bytes

    def json(self, body: bytes) -> list[Sliced]:
        """The elements of a top-level array; anything else is one event."""
        try:
            text = _utf8(body).strip(_WHITE_SPACE)
            if text.startswith(b"["):
                return self._read(list(map(bytes, _ARRAY.decode(text))))
            return self._sized([self._read_one(text)])
        except _UNDECIDED:
            return self._read_exactly(strict.json(body, self._max_events))

    def lines(self, body: bytes) -> list[Sliced]:
        """The JSON texts of a body that has at least one newline between any two (NDJSON)."""
        try:
            return self._read(_lines(body))
        except _UNDECIDED:
            return self._read_exactly(strict.lines(body, self._max_events))

    def sniffed(self, body: bytes) -> list[Sliced]:
        """As `json` if the body is one JSON text, else as `lines`."""
        try:
            return self.json(body)
        except Malformed as as_json:
            try:
                return self.lines(body)
            except Malformed as as_lines:
                raise max(as_json, as_lines, key=_offset) from None  # what got further was meant

    def batch(self, body: bytes) -> list[Sliced]:
        """The elements of `batch` in a Segment batch."""
        try:
            return self._read(list(map(bytes, _BATCH.decode(_utf8(body)).batch)))
        except _UNDECIDED:
            return self._read_exactly(strict.batch(body, self._max_events))

    def call(self, body: bytes) -> list[Sliced]:
        """The one object of a Segment call."""
        try:
            return self._read([_utf8(body).strip(_WHITE_SPACE)])
        except _UNDECIDED:
            return self._read_exactly([strict.call(body)])

    def whole(self, body: bytes) -> list[Sliced]:
        """The body as one event, whatever it is."""
        if not body:
            raise Malformed(NO_EVENT, offset=0)
        return self._sized([Sliced(None, None, body)])

    def _read(self, events: list[bytes]) -> list[Sliced]:
        if not 0 < len(events) <= self._max_events:
            raise _Undecided
        return self._sized([self._read_one(event) for event in events])

    def _read_one(self, event: bytes) -> Sliced:
        event_id, key = self._fields.read(event)
        if is_too_deep(event):
            raise _Undecided
        return Sliced(event_id, key, event)

    def _read_exactly(self, events: list[bytes]) -> list[Sliced]:
        return self._sized([Sliced(*self._fields.read_exactly(event), event) for event in events])

    def _sized(self, events: list[Sliced]) -> list[Sliced]:
        for index, event in enumerate(events):
            if len(event.value) > self._max_event_bytes:
                raise OverLimit.too_large(index, len(event.value), limit=self._max_event_bytes)
        return events


def write_key(body: bytes) -> str | None:
    """The `writeKey` of a body that is an object, without a look at its events."""
    try:
        return string(_ENVELOPE.decode(_utf8(body)).write_key)
    except _UNDECIDED:
        return decoded_string(strict.write_key(body))


class _Undecided(Exception):  # noqa: N818 - no error yet: the strict reading must tell
    pass


_UNDECIDED = (_Undecided, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Envelope(msgspec.Struct):
    write_key: Raw = msgspec.field(name="writeKey", default=ABSENT)


class _Batch(msgspec.Struct):
    batch: list[Raw]


_ARRAY = msgspec.json.Decoder(list[Raw])
_BATCH = msgspec.json.Decoder(_Batch)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_WHITE_SPACE = b" \t\n\r"


def _utf8(body: bytes) -> bytes:
    body.decode()  # msgspec does not look
    return body


def _lines(body: bytes) -> list[bytes]:
    lines = (line.strip(_WHITE_SPACE) for line in _utf8(body).split(b"\n"))
    return [line for line in lines if line]


def _offset(fault: Malformed) -> int:
    return fault.offset
