"""
What of an event counts in figures: a few facts, read from its document. Whatever JSON an event is,
it has facts; what it does not say is "".
"""

from typing import Any, NamedTuple

import msgspec

from trackmate_consume.expressions import reading
from trackmate_contract.record import Record

_RAW, _UNNAMED = "(raw)", "(unnamed)"
_LONGEST = 200  # characters of a name or a page


class Fact(NamedTuple):
    """One event, as figures see it."""

    at_ms: int
    """When it was received."""
    stream: str
    name: str
    """Its `event`, else its `type`, else its `name`."""
    page: str
    """The path of where it happened, without query and fragment."""
    person: str
    """Its `userId`, else its `anonymousId`."""
    view: bool
    """Whether it is a page view."""


class _Tm(msgspec.Struct, gc=False):
    stream: str
    received: int
    type: str | None = None
    encoding: str | None = None


class _Document(msgspec.Struct, gc=False):
    tm: _Tm
    event: msgspec.Raw


class _Page(msgspec.Struct, gc=False):
    path: Any = None
    url: Any = None


class _Context(msgspec.Struct, gc=False):
    page: _Page | None = None


class _Event(msgspec.Struct, rename="camel", gc=False):
    """What is read of an event that has its members as Segment's clients write them."""

    event: Any = None
    name: Any = None
    type: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    context: _Context | None = None
    properties: _Page | None = None


_read_document = msgspec.json.Decoder(_Document).decode
_read_event = msgspec.json.Decoder(_Event).decode


def fact_of(document: bytes) -> Fact:
    """
    The facts of a document as `trackmate_consume.translate.to_document` makes them.

    >>> tm = b'{"tm":{"stream":"events","received":5},"event":'
    >>> fact_of(tm + b'{"type":"page","userId":"u","properties":{"path":"/a?b"}}}')
    Fact(at_ms=5, stream='events', name='page', page='/a', person='u', view=True)
    >>> fact_of(tm + b"17}").name
    '(unnamed)'
    """
    try:
        read = _read_document(document)
    except msgspec.MsgspecError:  # it takes no half of a surrogate pair, not even unread
        read = _read_document(reading.whole(document))
    tm = read.tm
    if tm.encoding:
        return Fact(tm.received, tm.stream, _RAW, "", "", view=False)
    event = _event(bytes(read.event))
    person = _text(event.user_id) or _text(event.anonymous_id)
    view = "page" in (tm.type, event.type)
    return Fact(tm.received, tm.stream, _called(event, tm.type), _where(event), person, view=view)


def event_name(record: Record) -> str:
    """
    What to call an event in figures: `Fact.name`.

    >>> from trackmate_contract.record import Stamp
    >>> event = b'{"type": "track", "event": "Sign Up"}'
    >>> event_name(Record("events", 0, 0, "1", None, event, Stamp(0, "web")))
    'Sign Up'
    """
    if record.stamp.content_type is not None:
        return _RAW
    return _called(_event(record.value), record.stamp.type)


def _event(text: bytes) -> _Event:
    try:
        return _read_event(text)
    except msgspec.MsgspecError:  # no object, or one whose members are of other kinds
        return _leniently(text)


def _leniently(text: bytes) -> _Event:
    try:
        value = reading.value(reading.whole(text))
    except (ValueError, RecursionError):
        return _Event()
    if not isinstance(value, dict):
        return _Event()
    return _Event(
        value.get("event"),
        value.get("name"),
        value.get("type"),
        value.get("userId"),
        value.get("anonymousId"),
        _Context(_page(_members(value.get("context")).get("page"))),
        _page(value.get("properties")),
    )


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _page(value: Any) -> _Page:
    members = _members(value)
    return _Page(members.get("path"), members.get("url"))


def _called(event: _Event, tm_type: str | None) -> str:
    for name in (event.event, event.type, event.name, tm_type):
        if isinstance(name, str) and name:
            return name[:_LONGEST]
    return _UNNAMED


def _where(event: _Event) -> str:
    """The page that the event's context names, else its properties."""
    context = event.context.page if event.context else None
    for page in (context, event.properties):
        if page is None:
            continue
        for named in (page.path, page.url):
            if path := _path(named):
                return path
    return ""


def _path(named: Any) -> str:
    """
    >>> _path("https://www.acme.example/checkout?step=1#pay"), _path("https://acme.example")
    ('/checkout', '/')
    >>> _path("/a/b?c"), _path(7), _path("about")
    ('/a/b', '', '')
    """
    if not isinstance(named, str):
        return ""
    path = named.partition("#")[0].partition("?")[0]
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path[:_LONGEST] if path.startswith("/") else ""


def _text(value: Any) -> str:
    """An id as text; some number their users."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""
