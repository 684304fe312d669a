"""
RFC 8259 again, slowly: what the differential test holds the slicer against.

Written from the grammar of the RFC (and of RFC 3629 for UTF-8), byte by byte, with nothing of the
product and no parser of anybody. A function takes a body and a place and gives the place where its
production ends, or raises `NotJson` at the first byte that can no longer belong to a JSON text.
"""

from collections.abc import Iterator

MAX_DEPTH = 128

_WHITE_SPACE = b" \t\n\r"
_DIGITS = b"0123456789"
_HEX = b"0123456789abcdefABCDEF"
_ESCAPED = {
    b'"': '"',
    b"\\": "\\",
    b"/": "/",
    b"b": "\b",
    b"f": "\f",
    b"n": "\n",
    b"r": "\r",
    b"t": "\t",
}
_UNLIMITED = 10**9


class NotJson(Exception):  # noqa: N818 - what the reference found
    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def json_events(body: bytes) -> list[bytes]:
    """The elements of a top-level array, or the one text."""
    start = space(body, 0)
    if body[start : start + 1] == b"[":
        events = list(_elements(body, start))
        end = value(body, start, MAX_DEPTH + 1)
    else:
        end = value(body, start, MAX_DEPTH)
        events = [body[start:end]]
    _finished(body, end)
    return _some(events)


def lines_events(body: bytes) -> list[bytes]:
    """Texts with a newline between any two."""
    events: list[bytes] = []
    at = space(body, 0)
    while at < len(body) or not events:
        end = value(body, at, MAX_DEPTH)
        events.append(body[at:end])
        at = space(body, end)
        if at < len(body) and b"\n" not in body[end:at]:
            raise NotJson(at)
    return events


def batch_events(body: bytes) -> list[bytes]:
    """The elements of the last member `batch` of an object, if it is an array."""
    last = None
    start = space(body, 0)
    _exactly(body, start, b"{")
    _finished(body, value(body, start, _UNLIMITED))
    for name, at in _members(body, start):
        if name == "batch":
            last = at
    if last is None or body[last : last + 1] != b"[":
        raise NotJson(0)
    return _some(list(_elements(body, last)))


def call_events(body: bytes) -> list[bytes]:
    """The one object."""
    start = space(body, 0)
    if body[start : start + 1] != b"{":
        raise NotJson(start)
    end = value(body, start, MAX_DEPTH)
    _finished(body, end)
    return [body[start:end]]


def members(text: bytes) -> dict[str, bytes]:
    """The members of a text, each as written, of duplicates the last; none if it is no object."""
    if not text.startswith(b"{"):
        return {}
    places = dict(_members(text, 0))
    return {name: text[at : value(text, at, _UNLIMITED)] for name, at in places.items()}


def decoded(text: bytes) -> str:
    """The characters of a string; a surrogate without its other half becomes U+FFFD."""
    units: list[str] = []
    at = 1
    while text[at : at + 1] != b'"':
        if text[at : at + 2] == b"\\u":
            units.append(chr(int(text[at + 2 : at + 6], 16)))
            at += 6
        elif text[at : at + 1] == b"\\":
            units.append(_ESCAPED[text[at + 1 : at + 2]])
            at += 2
        else:
            end = character(text, at)
            units.append(text[at:end].decode())
            at = end
    return "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def space(body: bytes, at: int) -> int:
    while at < len(body) and body[at] in _WHITE_SPACE:
        at += 1
    return at


def value(body: bytes, at: int, room: int) -> int:
    """One JSON text that may nest `room` levels."""
    first = body[at : at + 1]
    if first == b'"':
        return _string(body, at)
    if first in (b"{", b"["):
        if not room:
            raise NotJson(at)
        return _object(body, at, room) if first == b"{" else _array(body, at, room)
    for literal in (b"true", b"false", b"null"):
        if first == literal[:1]:
            return _exactly(body, at, literal)
    return _number(body, at)


def character(body: bytes, at: int) -> int:
    """One character of UTF-8 (RFC 3629, section 4)."""
    first = body[at]
    if first < 0x80:
        return at + 1
    low, high, tail = 0x80, 0xBF, 1
    if 0xE0 <= first <= 0xEF:
        tail = 2
        low = 0xA0 if first == 0xE0 else low
        high = 0x9F if first == 0xED else high
    elif 0xF0 <= first <= 0xF4:
        tail = 3
        low = 0x90 if first == 0xF0 else low
        high = 0x8F if first == 0xF4 else high
    elif not 0xC2 <= first <= 0xDF:
        raise NotJson(at)
    for place in range(at + 1, at + 1 + tail):
        if place >= len(body) or not low <= body[place] <= high:
            raise NotJson(place)
        low, high = 0x80, 0xBF
    return at + 1 + tail


def _string(body: bytes, at: int) -> int:
    at += 1
    while at < len(body):
        byte = body[at : at + 1]
        if byte == b'"':
            return at + 1
        if byte < b" ":
            raise NotJson(at)
        at = _escape(body, at) if byte == b"\\" else character(body, at)
    raise NotJson(at)


def _escape(body: bytes, at: int) -> int:
    letter = body[at + 1 : at + 2]
    if letter in _ESCAPED:
        return at + 2
    if letter != b"u":
        raise NotJson(at + 1)
    for place in range(at + 2, at + 6):
        if place >= len(body) or body[place] not in _HEX:
            raise NotJson(place)
    return at + 6


def _number(body: bytes, at: int) -> int:
    at += body[at : at + 1] == b"-"
    at = at + 1 if body[at : at + 1] == b"0" else _digits(body, at)
    if body[at : at + 1] == b".":
        at = _digits(body, at + 1)
    if body[at : at + 1] in (b"e", b"E"):
        at += 1
        at += body[at : at + 1] in (b"+", b"-")
        at = _digits(body, at)
    return at


def _digits(body: bytes, at: int) -> int:
    start = at
    while at < len(body) and body[at] in _DIGITS:
        at += 1
    if at == start:
        raise NotJson(at)
    return at


def _array(body: bytes, at: int, room: int) -> int:
    at = space(body, at + 1)
    if body[at : at + 1] == b"]":
        return at + 1
    while True:
        at = space(body, value(body, at, room - 1))
        if body[at : at + 1] == b"]":
            return at + 1
        at = space(body, _exactly(body, at, b","))


def _object(body: bytes, at: int, room: int) -> int:
    at = space(body, at + 1)
    if body[at : at + 1] == b"}":
        return at + 1
    while True:
        _exactly(body, at, b'"')
        at = _exactly(body, space(body, _string(body, at)), b":")
        at = space(body, value(body, space(body, at), room - 1))
        if body[at : at + 1] == b"}":
            return at + 1
        at = space(body, _exactly(body, at, b","))


def _elements(body: bytes, start: int) -> Iterator[bytes]:
    value(body, start, MAX_DEPTH + 1)
    at = space(body, start + 1)
    while body[at : at + 1] != b"]":
        end = value(body, at, MAX_DEPTH)
        yield body[at:end]
        at = space(body, end)
        at = space(body, at + (body[at : at + 1] == b","))


def _members(body: bytes, start: int) -> Iterator[tuple[str, int]]:
    """The names of an object that is known to be good, and where their values begin."""
    at = space(body, start + 1)
    while body[at : at + 1] != b"}":
        end = _string(body, at)
        place = space(body, space(body, end) + 1)
        yield decoded(body[at:end]), place
        at = space(body, value(body, place, _UNLIMITED))
        at = space(body, at + (body[at : at + 1] == b","))


def _exactly(body: bytes, at: int, expected: bytes) -> int:
    for place, byte in enumerate(expected, at):
        if body[place : place + 1] != bytes([byte]):
            raise NotJson(place)
    return at + len(expected)


def _finished(body: bytes, end: int) -> None:
    at = space(body, end)
    if at < len(body):
        raise NotJson(at)


def _some(events: list[bytes]) -> list[bytes]:
    if not events:
        raise NotJson(0)
    return events
