"""
The exact reading of a body: the bytes of its events, or which event is at fault, where and why.

`slicing` asks here whenever msgspec, which is faster, refuses a body: msgspec refuses some JSON
(lone surrogates) and tells neither the event nor the whole truth. One JSON text is the business of
`scanning`; this module knows what stands around the events.
"""

import re
from collections.abc import Iterator
from typing import NoReturn

from trackmate_ingest.refusals import (
    NO_BATCH,
    NO_EVENT,
    NO_NEWLINE,
    NO_OBJECT,
    Malformed,
    OverLimit,
)
from trackmate_ingest.scanning import (
    NO_COLON,
    NO_COMMA,
    NO_NAME,
    TRAILING_COMMA,
    WHITE_SPACE,
    Fault,
    is_too_deep,
    refuse_beyond,
    scan,
)

_VISIBLE = re.compile(rf"[^{WHITE_SPACE}]")
_INVALID_UTF8 = "invalid UTF-8"
_NEVER_JSON = "\0"  # ends every text, so that it is at fault where it ends


def json(body: bytes, most: int) -> list[bytes]:
    """The elements of a top-level array, else the one text."""
    reading = _Reading(body)
    is_array = reading.peek() == "["
    try:
        events = reading.array(most) if is_array else [reading.event(0)]
    except OverLimit:
        reading.at = 0
        reading.value()
        reading.end()  # else it is no array that is too long, but a line of several
        raise
    reading.end()
    return _some(events)


def lines(body: bytes, most: int) -> list[bytes]:
    """The texts of a body that has a newline between any two."""
    reading = _Reading(body)
    events: list[bytes] = []
    while not (events and reading.is_at_end()):
        if events and not reading.on_new_line:
            reading.fail(NO_NEWLINE)
        events.append(reading.event(len(events)))
        if len(events) > most:
            raise OverLimit.too_many(most)
    return events


def batch(body: bytes, most: int) -> list[bytes]:
    """The elements of an object's array `batch`; of duplicates the last."""
    reading = _Reading(body)
    last: object = None
    start = 0
    for name in reading.members():
        is_batch = name == "batch" and reading.peek() == "["
        start = reading.at if is_batch else start
        try:
            value = reading.value()
        except Malformed:
            if is_batch:
                reading.array(most)  # tells which event
            raise
        last = value if name == "batch" else last
    reading.end()
    if not isinstance(last, list):
        raise Malformed(NO_BATCH, offset=0)
    reading.at = start
    return _some(reading.array(most))


def call(body: bytes) -> bytes:
    """The one object that the body is."""
    reading = _Reading(body)
    if reading.peek() != "{":
        reading.fail(NO_OBJECT, index=0)
    value = reading.event(0)
    reading.end()
    return value


def write_key(body: bytes) -> object:
    """The member `writeKey` of the object that the body is, whatever its type."""
    reading = _Reading(body)
    members = {name: reading.value() for name in reading.members()}
    reading.end()
    return members.get("writeKey")


def _some(events: list[bytes]) -> list[bytes]:
    if not events:
        raise Malformed(NO_EVENT, offset=0)
    return events


def _decode(body: bytes) -> tuple[str, str]:
    """The text as far as it is UTF-8, and what is wrong with reading beyond it."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return body[: error.start].decode(), _INVALID_UTF8
    return text, "the body ends early" if text.strip(WHITE_SPACE) else NO_EVENT


class _Reading:
    """A body that is read from front to back, and fails with Malformed."""

    def __init__(self, body: bytes) -> None:
        text, self._beyond = _decode(body)
        self._text = text + _NEVER_JSON
        self._end = len(text)
        self.at = 0
        self.on_new_line = True
        """Whether the white space that was passed over last has a newline."""

    def peek(self) -> str:
        """Pass over white space; give the character there, at the end one that is not JSON."""
        start = self.at
        if self._text[start] in WHITE_SPACE:
            self.at = next(_VISIBLE.finditer(self._text, start)).start()
        self.on_new_line = "\n" in self._text[start : self.at]
        return self._text[self.at]

    def take(self, char: str) -> bool:
        """Pass over this character, if it is the next."""
        found = self.peek() == char
        self.at += found
        return found

    def is_at_end(self) -> bool:
        self.peek()
        if self.at == self._end and self._beyond == _INVALID_UTF8:
            self.fail(_INVALID_UTF8)
        return self.at == self._end

    def end(self) -> None:
        if not self.is_at_end():
            self.fail("text after the end of the JSON text")

    def value(self, index: int | None = None) -> object:
        """Pass over one JSON text; give it decoded."""
        self.peek()
        try:
            value, self.at = scan(self._text, self.at)
        except Fault as fault:
            self.fail(fault.what, at=fault.at, index=index)
        return value

    def event(self, index: int) -> bytes:
        """Pass over one JSON text that is an event; give its bytes."""
        if self.is_at_end():
            self.fail(self._beyond)
        start = self.at
        self.value(index)
        event = self._text[start : self.at].encode()
        if is_too_deep(event):
            self._refuse_deep(start, index)
        return event

    def array(self, most: int) -> list[bytes]:
        """Pass over an array of events; give their bytes."""
        events: list[bytes] = []
        for _ in self.items("]"):
            events.append(self.event(len(events)))
            if len(events) > most:
                raise OverLimit.too_many(most)
        return events

    def members(self) -> Iterator[object]:
        """Pass over an object; give each name and stop at its value, for the caller to pass."""
        if self.peek() != "{":
            self.fail(NO_OBJECT)
        for _ in self.items("}"):
            if self.peek() != '"':
                self.fail(NO_NAME)
            name = self.value()
            if not self.take(":"):
                self.fail(NO_COLON)
            yield name

    def items(self, closing: str) -> Iterator[None]:
        """Pass over an array or object; stop at each item, for the caller to pass."""
        self.at += 1
        if self.take(closing):
            return
        while True:
            yield
            follower, at = self.peek(), self.at
            if follower not in (closing, ","):
                self.fail(NO_COMMA)
            self.at += 1
            if follower == closing:
                return
            if self.peek() == closing:
                self.fail(TRAILING_COMMA, at=at)

    def fail(self, what: str, *, at: int | None = None, index: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        if at >= self._end:
            at, what = self._end, self._beyond
        raise Malformed(what, offset=len(self._text[:at].encode()), index=index)

    def _refuse_deep(self, start: int, index: int) -> None:
        try:
            refuse_beyond(self._text, start, self.at)
        except Fault as fault:
            self.fail(fault.what, at=fault.at, index=index)
