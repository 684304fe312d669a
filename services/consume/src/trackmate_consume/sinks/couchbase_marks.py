"""
Which record a document in Couchbase is of, and what a key's holder means for an event that comes
under the same id.

A document of the built-in pipeline says it itself, in `tm`, and holds the event's bytes. One that a
transform made must have nothing of ours in it: its mark is an extended attribute.
"""

from base64 import b64decode
from enum import Enum
from typing import NamedTuple

import msgspec

from trackmate_consume.fingerprint import fingerprint
from trackmate_contract.record import Record

_OPENING, _MIDDLE, _END = b'{"tm":', b',"event":', b"}"


class Mark(NamedTuple):
    """The record that a document is of."""

    stream: str
    partition: int
    offset: int
    fingerprint: bytes | None
    """None where somebody wrote the document anew, so that the event's bytes are not known."""
    parts: int = 1
    """Documents that were made of the event."""


class Verdict(Enum):
    """What a holder of a key is to an event."""

    AGAIN = "the same record: after a crash, an answer that was lost, or in a replay"
    DUPLICATE = "the same event, from another record"
    OTHER = "another event"


def mark_of(record: Record, parts: int = 1) -> Mark:
    known = fingerprint(record.value, segment=record.stamp.type is not None)
    return Mark(record.stream, record.partition, record.offset, known, parts)


def compare(mine: Mark, there: Mark | None) -> Verdict:
    """
    The place alone does not say that two records are one: a topic may have been made anew.

    >>> mine = Mark("events", 0, 7, b"1")
    >>> compare(mine, mine).name, compare(mine, Mark("events", 0, 9, b"1")).name
    ('AGAIN', 'DUPLICATE')
    >>> compare(mine, Mark("events", 0, 7, b"2")).name, compare(mine, None).name
    ('OTHER', 'OTHER')
    """
    if there is None:
        return Verdict.OTHER
    same_place = mine[:3] == there[:3]
    if same_place and there.fingerprint in (None, mine.fingerprint):
        return Verdict.AGAIN
    return Verdict.DUPLICATE if there.fingerprint == mine.fingerprint else Verdict.OTHER


class _Tm(msgspec.Struct, rename="camel"):
    """Of the document's `tm`, what tells records apart."""

    stream: str
    partition: int
    offset: int
    type: str | None = None
    encoding: str | None = None


class _Rewritten(msgspec.Struct):
    tm: _Tm


def from_document(value: bytes) -> Mark | None:
    """
    The mark of a document of the built-in pipeline; None where it is none of ours.

    >>> from_document(b'{"tm":{"stream":"events","partition":0,"offset":7},"event":{"a":  1}}')[:3]
    ('events', 0, 7)
    >>> from_document(b'{"event": {"a": 1}, "tm": {"stream":"e","partition":0,"offset":7}}')
    Mark(stream='e', partition=0, offset=7, fingerprint=None, parts=1)
    >>> from_document(b'{"name": "somebody"}')
    """
    head, middle, rest = value.partition(_MIDDLE)  # in `tm`, a quote within a text is escaped
    if not (middle and head.startswith(_OPENING) and rest.endswith(_END)):
        return _of_rewritten(value)
    try:
        tm = msgspec.json.decode(head.removeprefix(_OPENING), type=_Tm)
        event = rest.removesuffix(_END)
        raw = b64decode(event.strip(b'"'), validate=True) if tm.encoding == "base64" else event
    except (msgspec.DecodeError, ValueError):
        return _of_rewritten(value)
    known = fingerprint(raw, segment=tm.type is not None)
    return Mark(tm.stream, tm.partition, tm.offset, known)


def _of_rewritten(value: bytes) -> Mark | None:
    """Of a document that somebody's query wrote anew, which is JSON, and not byte by byte ours."""
    try:
        tm = msgspec.json.decode(value, type=_Rewritten).tm
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return Mark(tm.stream, tm.partition, tm.offset, None)


class _Attribute(msgspec.Struct):
    """A mark as it is kept beside a document."""

    stream: str
    partition: int
    offset: int
    sha256: str
    parts: int


def to_attribute(mark: Mark) -> bytes:
    """
    >>> mark = Mark("events", 0, 7, b"\\x01" * 32, 2)
    >>> from_attribute(to_attribute(mark)) == mark
    True
    """
    known = (mark.fingerprint or b"").hex()
    return msgspec.json.encode(
        _Attribute(mark.stream, mark.partition, mark.offset, known, mark.parts)
    )


def from_attribute(text: bytes) -> Mark | None:
    """None for what is none of ours."""
    try:
        found = msgspec.json.decode(text, type=_Attribute)
        known = bytes.fromhex(found.sha256)
    except (msgspec.DecodeError, ValueError):
        return None
    return Mark(found.stream, found.partition, found.offset, known, found.parts)
